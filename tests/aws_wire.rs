//! What goes over the wire to AWS, looked at by others: botocore signs every request once
//! more, since moto takes any signature or none.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/program.rs"]
mod program;
#[path = "common/proxy.rs"]
mod proxy;
#[path = "common/tunnel.rs"]
mod tunnel;

use common::{Folder, context};
use libkms::{
    KeyId, Wait, WrappedDek,
    kek::{AwsKms, KmsBackend},
};
use moto::*;
use program::{environment, kms, run, said};
use proxy::Request;
use serde_json::{Value, json};
use std::{
    io::Write,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};
use tunnel::Tunnel;

/// Access keys and what they sign with.
const SECRETS: [&str; 2] = ["AKIDMARKER=SECRETMARKER", "AKIDPROFILE=s+e/c=ret"];
/// What every request to KMS must sign: its place, its time and what it asks for.
const SIGNED: [&str; 4] = ["content-type", "host", "x-amz-date", "x-amz-target"];

/// What botocore says of each.
fn signatures(requests: &[Request]) -> Vec<Value> {
    let as_json =
        |r: &Request| json!({ "method": r.method, "path": r.path, "headers": r.headers, "text": r.text });
    let all = Value::from_iter(requests.iter().map(as_json)).to_string();
    let mut botocore = python("signatures.py", &SECRETS);
    let mut botocore = botocore.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    botocore.stdin.take().unwrap().write_all(all.as_bytes()).unwrap();
    let output = botocore.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All are right, by this access key, for KMS in these regions, in turn.
fn are_right(requests: &[Request], access: &str, regions: &[&str], signs_a_token: bool) {
    let all = signatures(requests);
    assert_eq!(all.iter().map(|s| s["region"].as_str().unwrap()).collect::<Vec<_>>(), regions);
    for (said, request) in all.iter().zip(requests) {
        assert_eq!(
            (&said["right"], &said["access"], &said["service"]),
            (&json!(true), &json!(access), &json!("kms"))
        );
        let signed: Vec<_> = said["signed"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
        assert!(SIGNED.iter().all(|name| signed.contains(name)), "{signed:?}");
        assert_eq!(signed.contains(&"x-amz-security-token"), signs_a_token, "{}", request.operation);
        assert_eq!(request.header("x-amz-security-token").is_some(), signs_a_token);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(seconds(said["at"].as_str().unwrap())) < 240, "{said}");
    }
}

/// Since 1970, of a date as in 20261103T235959Z.
fn seconds(date: &str) -> u64 {
    let date = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..8],
        &date[9..11],
        &date[11..13],
        &date[13..15]
    );
    let date =
        aws_sdk_kms::primitives::DateTime::from_str(&date, aws_sdk_kms::primitives::DateTimeFormat::DateTime);
    date.unwrap().secs().try_into().unwrap()
}

/// A context that JSON must escape, or must not.
fn hard() -> libkms::EncryptionContext {
    context(&[("purpose", "naïve = & \" \\ \u{7f} 東京 \u{1f511}"), ("Purpose", "7"), ("empty", "")])
}

/// Every call that the library makes, with a session token, in two regions.
fn recorded() -> Vec<Request> {
    let (proxy, key, far) = (proxy(), new_key(), new_key_in(OTHER_REGION, json!({})));
    let kek = AwsKms::from_client(client(proxy.at), &key).unwrap().accept(&far).unwrap();
    let (dek, wrapped) = kek.generate_dek(&hard()).wait().unwrap();
    kek.wrap_dek(&dek, &hard()).wait().unwrap();
    kek.unwrap_dek(&wrapped, &hard()).wait().unwrap();
    kek.current_key().wait().unwrap();
    let foreign = WrappedDek::new(KeyId::new(far).unwrap(), vec![7; 184]);
    kek.unwrap_dek(&foreign, &hard()).wait().unwrap_err();
    proxy.requests()
}

#[test]
fn every_request_of_the_library_is_signed_as_botocore_signs() {
    let requests = recorded();
    let operations: Vec<_> = requests.iter().map(|r| &*r.operation).collect();
    assert_eq!(operations, ["GenerateDataKey", "Encrypt", "Decrypt", "DescribeKey", "Decrypt"]);
    are_right(&requests, "AKIDMARKER", &[REGION, REGION, REGION, REGION, OTHER_REGION], true);
    let token = |r: &Request| r.header("x-amz-security-token").map(String::from);
    assert!(requests.iter().all(|r| token(r).as_deref() == Some("TOKENMARKER")));
}

/// That the check above can fail: whatever is changed on the way is noticed.
#[test]
fn a_request_that_was_altered_is_signed_wrongly() {
    let requests = recorded();
    let original = requests.iter().find(|r| r.operation == "Encrypt").unwrap();
    let alter = |header: &str, from: &str, to: &str| {
        let mut altered = original.clone();
        let found = altered.headers.iter_mut().find(|h| h.0.eq_ignore_ascii_case(header)).unwrap();
        assert!(found.1.contains(from), "{found:?}");
        found.1 = found.1.replace(from, to);
        altered
    };
    let mut altered = vec![
        alter("x-amz-security-token", "TOKENMARKER", "TOKENMARKEr"),
        alter("x-amz-target", "Encrypt", "Decrypt"),
        alter("authorization", REGION, OTHER_REGION),
        alter("authorization", "/kms/", "/sts/"),
        alter("authorization", "AKIDMARKER", "AKIDPROFILE"),
        alter("authorization", ";x-amz-security-token", ""),
        alter("host", "127.0.0.1", "127.0.0.2"),
        alter("x-amz-date", "Z", "0Z"),
    ];
    for at in [1, original.text.len() / 2, original.text.len() - 2] {
        let mut bytes = original.text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
        altered.push(Request { text: String::from_utf8_lossy(&bytes).into(), ..original.clone() });
    }
    altered.push(Request { path: "/x".into(), ..original.clone() });
    altered.push(Request { method: "PUT".into(), ..original.clone() });
    for (i, said) in signatures(&altered).iter().enumerate() {
        assert_eq!(said["right"], json!(false), "alteration {i}: {said}");
    }
}

/// Pair for pair, also where JSON has to escape, and as long as contexts may be. moto takes
/// some of these for one another: that each is its own is seen on the wire.
#[test]
fn contexts_go_out_as_they_are_and_signed() {
    let (proxy, key) = (proxy(), new_key());
    let kek = AwsKms::from_client(client(proxy.at), &key).unwrap();
    let controls: String = (0..32).filter_map(char::from_u32).chain(['\u{7f}', '\u{2028}']).collect();
    let (long, most) = ("é".repeat(128), "\"\\".repeat(512));
    let many: Vec<_> = (0..800).map(|i| (format!("k{i}"), "\n".to_owned())).collect();
    let many: Vec<_> = many.iter().map(|(k, v)| (&**k, &**v)).collect();
    for pairs in [
        vec![("tenant", "a"), ("Tenant", "b"), ("TENANT", "c"), ("tenant ", "d")],
        vec![("a", "1"), ("b", "2")],
        vec![("a", "1b2")],
        vec![("quotes", "\" ' \\ / {\"a\":1}"), ("{\"", "\"}")],
        vec![("controls", &*controls)],
        vec![("é", "e\u{301}"), ("e\u{301}", "é"), ("\u{1f511}", "\u{10ffff}")],
        vec![(&*long, &*most), ("empty", "")],
        many,
    ] {
        proxy.forget();
        let context = context(&pairs);
        let (dek, wrapped) = kek.generate_dek(&context).wait().unwrap();
        let opened = kek.unwrap_dek(&wrapped, &context).wait().unwrap();
        assert_eq!(dek.expose().unwrap(), opened.expose().unwrap());
        let requests = proxy.requests();
        let expected = Value::from_iter(pairs.iter().map(|(k, v)| (*k, *v)));
        assert!(requests.iter().all(|r| r.body()["EncryptionContext"] == expected), "{pairs:?}");
        are_right(&requests, "AKIDMARKER", &[REGION, REGION], true);
    }
}

#[test]
fn every_request_of_the_program_is_signed_as_botocore_signs() {
    let (folder, proxy, key) = (Folder::new("aws-signed"), proxy(), new_key());
    std::fs::write(folder.join("a"), "two pounds of tea").unwrap();
    std::fs::create_dir(folder.join(".aws")).unwrap();
    let profile = "[profile shop]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = s+e/c=ret\n";
    std::fs::write(folder.join(".aws/config"), profile).unwrap();
    let seals_and_opens = |env: &[(&str, String)], kek: &str| {
        proxy.forget();
        for args in [vec!["seal", "a", "--force"], vec!["open", "a.kms", "-o", "-"]] {
            let ran = kms(
                &folder,
                env,
                &[&args[..], &["--kek", kek, "--context", "purpose=naïve \"東京\""]].concat(),
            );
            assert!(ran.status.success(), "{}", said(&ran));
        }
        proxy.requests()
    };
    let kek = format!("aws-kms:{key}");
    let mut env = environment(proxy.at);
    let regions = |requests: &[Request]| vec![REGION; requests.len()];
    let requests = seals_and_opens(&env, &kek);
    assert!(requests.len() >= 2);
    are_right(&requests, "AKIDMARKER", &regions(&requests), false);
    env.push(("AWS_SESSION_TOKEN", "TOKENMARKER".into()));
    let requests = seals_and_opens(&env, &kek);
    are_right(&requests, "AKIDMARKER", &regions(&requests), true);
    let env = [("AWS_PROFILE", "shop".into()), ("AWS_ENDPOINT_URL", format!("http://{}", proxy.at))];
    let requests = seals_and_opens(&env, &kek);
    are_right(&requests, "AKIDPROFILE", &regions(&requests), false);
}

/// In a process of its own with this environment: what the KEKs of these URIs say when they
/// are asked.
fn ask(env: &[(&str, String)], uris: &[&str]) -> String {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    let folder = Folder::new(&format!("aws-asks-{}", LAST.fetch_add(1, Relaxed)));
    let keys = "aws_access_key_id = AKIDMARKER\naws_secret_access_key = SECRETMARKER\n\
                aws_session_token = TOKENMARKER\n";
    let safe = "use_fips_endpoint = true\nuse_dualstack_endpoint = true\nregion = us-east-2\n";
    std::fs::create_dir(folder.join(".aws")).unwrap();
    std::fs::write(folder.join(".aws/config"), format!("[default]\n{keys}[profile safe]\n{keys}{safe}"))
        .unwrap();
    let env = [env, &[("ASKED_FOR", uris.join("\n"))]].concat();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "asks", "--ignored", "--nocapture"]);
    let ran = run(child, &folder, &env);
    assert!(ran.status.success(), "{}", said(&ran));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn asks() {
    for uri in std::env::var("ASKED_FOR").unwrap().lines() {
        let kek = libkms::kek::from_uri(uri).wait().unwrap();
        println!("{}", kek.current_key().wait().unwrap_err());
    }
}

/// Whose connections came to the proxy; all of them tunnels, with nothing in plain text.
fn hosts(tunnel: &Tunnel) -> Vec<String> {
    let seen = tunnel.seen();
    for seen in &seen {
        let all = format!("{}{}", seen.head, String::from_utf8_lossy(&seen.then));
        for marker in ["AKIDMARKER", "SECRETMARKER", "TOKENMARKER", "TrentService", "alias/orders", "AWS4"] {
            assert!(!all.contains(marker), "{marker} in {all}");
        }
    }
    seen.iter().map(|s| s.host().unwrap_or_else(|| panic!("no TLS: {s:?}")).to_owned()).collect()
}

fn through(name: &'static str, tunnel: &Tunnel) -> (&'static str, String) {
    (name, format!("http://{}", tunnel.at))
}

#[test]
fn fips_and_dual_stack_ask_the_hosts_that_aws_has_for_them() {
    let tunnel = Tunnel::start();
    let asked = |env: &[(&'static str, &str)], uris: &[String]| {
        let env: Vec<_> = env.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
        let uris: Vec<_> = uris.iter().map(String::as_str).collect();
        ask(&[&env[..], &[through("HTTPS_PROXY", &tunnel)]].concat(), &uris);
        hosts(&tunnel)
    };
    let table = [
        ("region=eu-central-1", "kms.eu-central-1.amazonaws.com"),
        ("region=us-east-1&fips=true", "kms-fips.us-east-1.amazonaws.com"),
        ("region=eu-central-1&dual-stack=true", "kms.eu-central-1.api.aws"),
        ("region=us-east-1&fips=true&dual-stack=true", "kms-fips.us-east-1.api.aws"),
        ("region=cn-north-1", "kms.cn-north-1.amazonaws.com.cn"),
        ("region=cn-north-1&fips=true", "kms-fips.cn-north-1.amazonaws.com.cn"),
        ("region=cn-northwest-1&dual-stack=true", "kms.cn-northwest-1.api.amazonwebservices.com.cn"),
        ("region=us-gov-west-1", "kms.us-gov-west-1.amazonaws.com"),
        ("region=us-gov-east-1&fips=true", "kms-fips.us-gov-east-1.amazonaws.com"),
        ("region=us-gov-west-1&dual-stack=true", "kms.us-gov-west-1.api.aws"),
        ("region=us-gov-west-1&fips=true&dual-stack=true", "kms-fips.us-gov-west-1.api.aws"),
        ("profile=safe", "kms-fips.us-east-2.api.aws"),
        ("profile=safe&fips=false&dual-stack=false", "kms.us-east-2.amazonaws.com"),
    ];
    let expected = table.map(|(_, host)| format!("{host}:443"));
    assert_eq!(asked(&[], &table.map(|(uri, _)| format!("aws-kms:alias/orders?{uri}"))), expected);

    // The key's own ARN says where, whatever the environment says.
    let arns = ["aws:kms:ap-south-1", "aws-cn:kms:cn-north-1", "aws-us-gov:kms:us-gov-west-1"];
    let arns = arns.map(|place| format!("aws-kms:arn:{place}:111122223333:key/1234abcd"));
    assert_eq!(
        asked(&[("AWS_REGION", "us-west-2"), ("AWS_USE_FIPS_ENDPOINT", "true")], &arns),
        [
            "kms-fips.ap-south-1.amazonaws.com:443",
            "kms-fips.cn-north-1.amazonaws.com.cn:443",
            "kms-fips.us-gov-west-1.amazonaws.com:443"
        ]
    );
    assert_eq!(
        asked(
            &[("AWS_REGION", "us-west-2"), ("AWS_USE_DUALSTACK_ENDPOINT", "true")],
            &["", "?dual-stack=false", "?fips=true"].map(|more| format!("aws-kms:alias/orders{more}"))
        ),
        ["kms.us-west-2.api.aws:443", "kms.us-west-2.amazonaws.com:443", "kms-fips.us-west-2.api.aws:443"]
    );
}

/// Who goes through a proxy, and who does not.
#[test]
fn proxies_are_those_of_the_environment() {
    let (tunnel, folder) = (Tunnel::start(), Folder::new("aws-proxies"));
    let secret = format!("http://PROXYUSER:PROXYSECRET@{}", tunnel.at);
    let no_proxy = |hosts: &str| ("NO_PROXY", hosts.to_owned());
    let is_asked_through: [(Vec<(&str, String)>, bool); 6] = [
        (vec![], false),
        (vec![through("HTTPS_PROXY", &tunnel)], true),
        (vec![("https_proxy", secret), no_proxy("kms.example,.amazonaws.com")], true),
        (vec![through("ALL_PROXY", &tunnel)], true),
        (vec![through("HTTPS_PROXY", &tunnel), no_proxy("example.com, localhost")], false),
        (vec![through("HTTP_PROXY", &tunnel)], false),
    ];
    for (mut env, through) in is_asked_through {
        let mut server = Server::start("tls.py", &[folder.0.to_str().unwrap(), "right"]);
        env.push(("SSL_CERT_FILE", folder.join("ca.pem").to_str().unwrap().to_owned()));
        let host = format!("localhost:{}", server.at.port());
        let said = ask(&env, &[&format!("aws-kms:alias/orders?region=eu-central-1&endpoint=https://{host}")]);
        assert!(!said.contains("PROXY"), "{said}");
        let by_it = hosts(&tunnel);
        assert_eq!(by_it, vec![host; by_it.len()]);
        assert_eq!(
            (by_it.len(), &*server.end()),
            if through { (1, "") } else { (0, "asked\n") },
            "{env:?}: {said}"
        );
    }
}

#[test]
fn the_program_asks_the_host_that_its_environment_means() {
    let (tunnel, folder) = (Tunnel::start(), Folder::new("aws-fips"));
    let mut env = environment(tunnel.at);
    env.retain(|e| e.0 != "AWS_ENDPOINT_URL_KMS");
    env.extend([("AWS_USE_FIPS_ENDPOINT", "true".into()), through("HTTPS_PROXY", &tunnel)]);
    std::fs::write(folder.join("a"), "two pounds of tea").unwrap();
    let sealed = kms(&folder, &env, &["seal", "a", "--kek", "aws-kms:alias/orders"]);
    assert_eq!(sealed.status.code(), Some(7), "{}", said(&sealed));
    let hosts = hosts(&tunnel);
    assert!(
        !hosts.is_empty() && hosts.iter().all(|h| h == "kms-fips.eu-central-1.amazonaws.com:443"),
        "{hosts:?}"
    );
}
