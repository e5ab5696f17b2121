//! A plugin's endpoint, a URL as Go's net/url reads it.
use std::net::Ipv6Addr;

/// The path of its socket, `@NAME` for an abstract one. `Err` says what is wrong.
pub(super) fn socket(endpoint: &str) -> Result<Vec<u8>, &'static str> {
    if endpoint.bytes().any(|b| b < b' ' || b == 0x7f) {
        return Err("has a control character");
    }
    let (url, fragment) = endpoint.split_once('#').unwrap_or((endpoint, ""));
    unescaped(fragment).ok_or(BAD_ESCAPE)?;
    let is_unix = |scheme: &str| scheme.eq_ignore_ascii_case("unix");
    let rest = url.split_once(':').filter(|(scheme, _)| is_unix(scheme)).ok_or(NO_UNIX)?.1;
    let rest = rest.split('?').next().unwrap_or_default();
    if !rest.starts_with('/') {
        // Opaque, as the server has it: it dials a socket without a name.
        return Ok(Vec::new());
    }
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(behind) => {
            let (authority, path) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
            check_authority(authority)?;
            path
        }
    };
    let path = unescaped(path).ok_or(BAD_ESCAPE)?;
    Ok(if path.starts_with(b"/@") { path[1..].to_vec() } else { path })
}

const NO_UNIX: &str = "must be a URL of the scheme unix, as \"unix:///run/kms.sock\"";
const BAD_ESCAPE: &str = "has a % that is followed by no two hexadecimal digits";
const BAD_HOST: &str = "has a host, and one that is none: a path has three slashes before it";

fn check_authority(authority: &str) -> Result<(), &'static str> {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let may_stand = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !user.chars().all(may_stand) || unescaped(user).is_none() {
        return Err(BAD_HOST);
    }
    let is_right = match (host.rfind('['), host.rfind(':')) {
        (None, None) => is_name(host),
        (None, Some(colon)) => is_port(&host[colon..]) && is_name(host),
        (Some(0), _) => {
            host.rsplit_once(']').is_some_and(|(address, port)| is_port(port) && is_ipv6(&address[1..]))
        }
        _ => false,
    };
    if is_right { Ok(()) } else { Err(BAD_HOST) }
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

/// Escaped is only what is no ASCII, and the percent sign.
fn is_name(host: &str) -> bool {
    let is_escape_of_more =
        |escape: &str| escape.get(..2).is_some_and(|e| e == "25" || e.as_bytes()[0] >= b'8');
    let may_stand =
        |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c);
    host.chars().all(may_stand) && unescaped(host).is_some() && host.split('%').skip(1).all(is_escape_of_more)
}

fn is_ipv6(address: &str) -> bool {
    let (address, zone) = address.split_once("%25").map_or((address, None), |(a, zone)| (a, Some(zone)));
    address.parse::<Ipv6Addr>().is_ok() && zone.is_none_or(|zone| !zone.is_empty() && is_name(zone))
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.as_bytes().split(|b| *b == b'%');
    let mut bytes = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|d| d.iter().all(u8::is_ascii_hexdigit))?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        bytes.extend_from_slice(&part[2..]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_go() {
        let good = [
            ("unix:///run/kms.sock", "/run/kms.sock"),
            ("UNIX:///run/a%20b", "/run/a b"),
            ("unix:///@kms", "@kms"),
            ("unix:///run/a#b", "/run/a"),
            ("unix:///run/a?b", "/run/a"),
            ("unix:/run/a", "/run/a"),
            ("unix://h:1/a", "/a"),
            ("unix:run", ""),
            ("unix://", ""),
            ("unix://[::1]:5/a", "/a"),
            ("unix://u:p@h/a", "/a"),
            ("unix:", ""),
        ];
        for (text, path) in good {
            assert_eq!(socket(text).unwrap(), path.as_bytes(), "{text}");
        }
        let bad = [
            "",
            "/run/kms.sock",
            "tcp://a",
            "unix",
            ":",
            "unix:///a%2",
            "unix:///a%zz",
            "unix:///a\n",
            "unix:///a#%",
            "1unix:///a",
            "unix://a b/c",
            "unix://[::1/c",
            "unix://[1.2.3.4]/c",
            "unix://h:x/c",
            "unix://a^@h/c",
            "unix://h%41/c",
            "unix://a[::1]/c",
        ];
        for text in bad {
            assert!(socket(text).is_err(), "{text}");
        }
    }
}
