//! Configurations that are wrong, odd, or right in other words: the same ones for the same seed.

/// Further bases: what the server's own files do not have.
const BASES: [&str; 5] = [
    r"kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources:
- resources: [events, 'pods']
  providers:
  - identity: {}
- resources:
  - secrets
  - configmaps
  - widgets.example.com
  providers: &common
  - secretbox:
      keys: &keys
      - {name: one, secret: 'QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE='}
      - name: 'a:b'
        secret: |
          QkJCQkJCQkJCQkJCQkJC
          QkJCQkJCQkJCQkJCQkI=
  - aesgcm: {keys: [{name: k, secret: Q0NDQ0NDQ0NDQ0NDQ0NDQw==}]}
- resources: ['*.apps']
  providers: *common
- resources:
  - '*.*'
  providers:
  - kms: &plugin
      apiVersion: v2
      name: first
      endpoint: unix:///run/first.sock
  - kms:
      apiVersion: v1
      name: second
      endpoint: 'unix:///@second'
      cachesize: 10
      timeout: 1m30s
",
    r#"# before
---
{"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1", "resources": [
  {"resources": ["secrets", "*.apps"], "providers": [
    {"aescbc": {"keys": [{"name": "k", "secret": "Q0NDQ0NDQ0NDQ0NDQ0NDQw=="}]}},
    {"identity": {}}]},
  {"resources": ["*."], "providers": [{"kms": {"apiVersion": "v2", "name": "p", "endpoint": "unix:///a"}}]}]}
"#,
    r"defaults: no
kind: EncryptionConfig
apiVersion: v1
resources:
- providers:
  - kms: {<<: {name: p, endpoint: 'unix:///a'}, timeout: 3s, cachesize: 0x10, apiVersion: v1}
  resources: [secrets]
",
    r"kind: EncryptionConfig
apiVersion: v1
resources:
- providers:
  - kms:
      name: p
      endpoint: unix:///a
      timeout: 3s
      cachesize: 1e3
  - identity: {}
  resources: [secrets]
---
kind: Other
",
    r#"{
  "kind": "EncryptionConfiguration",
  "apiVersion": "apiserver.config.k8s.io/v1",
  "resources": [
    {
      "resources": ["secrets"],
      "providers": [
        {"kms": {"apiVersion": "v1", "name": "p\u0041", "endpoint": "unix:///a", "cachesize": 7, "timeout": "2s"}},
        {"aesgcm": {"keys": [{"name": "k", "secret": "Q0NDQ0NDQ0NDQ0NDQ0NDQw=="}]}}
      ]
    }
  ]
}
"#,
];

const SCALARS: &str = r#"yes|NO|on|0x10|1e3|1_000|~|null|''|""|1|1.5|-1|0|.inf|.5|true|2001-01-01|08|0o17|0b11|
'1'|"x"|'yes'|!!str 1|!!int 5|!!int '5'|!!binary YWI=|!own x|&a x|*a|*keys|*common|{}|[]|[a]|{a: b}|[secrets]|
'it''s'|"\x41\u0042\n"|a b|a: b|a #b|a#b|- a|? a|@a|`a|%a|!|&|*|>|>-|a\|b|"a|'a|[a|{a|é|日本|"\ud800"|<<|=|v1|v2|v3|
99999999999|2147483648|-2147483649|18446744073709551616|1e30|7.0|-0|0x|1__0|+5|"#;
const TIMES: &str =
    "3s|0s|-1s|3|1m30s|1.5h|.5s|5 s|10d|''|1e3s|300ms|9223372036854775807ns|2562048h|1µs|+3s|0|'3s'|3S";
const ENDPOINTS: &str = "unix:///a|unix:///@a|unix:a|unix:/a|unix://h/a|tcp://a|/a|unix|UNIX:///a|unix:///a%20b|\
unix:///a%zz|'unix:///a#b'|'unix:///a?b'|'unix:///a#%'|unix://[::1]:5/a|unix://[::1/a|unix://h:x/a|'unix:///a b'|\
\"unix:///a\\n\"|''|unix:|unix://|unix://u@h/a|'unix://h%41/a'|http://a|'*'|':'|' unix:///a'|unix://a:1:2/b|unix://a<b/c";
const RESOURCES: &str = "'*.*'|'*.'|'*.apps'|'*'|secrets|pods|deployments.apps|Secrets|'*.extensions'|x.extensions|\
events.events.k8s.io|events|'secrets.*'|''|~|.|'*.*.x'|'.*'|apiserveripinfo|serviceipallocations|widgets.example.com|'*.example.com'";
const FIELDS: &str = "kind|apiVersion|resources|providers|aesgcm|aescbc|secretbox|identity|kms|keys|name|secret|\
cachesize|endpoint|timeout|Kind|apiversion|Name|SECRET|pandas|<<|'name'|\"keys\"|1|~|yes|!!str name|? name";
const SECRETS: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=|Q0NDQ0NDQ0NDQ0NDQ0NDQw==|Q0NDQ0NDQ0NDQ0NDQ0NDQx==|\
Q0NDQ0NDQ0NDQ0NDQ0NDQw|Q0NDQ0NDQ0NDQ0NDQ0NDQw=|YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4|YWJj|'====' |Q0ND Q0NDQ0NDQ0NDQ0NDQw==|\
Q0NDQ0NDQ0NDQ0NDQ0N-_w==|\"Q0NDQ0NDQ0ND\\nQ0NDQ0NDQw==\\n\"|\"Q0NDQ0NDQ0NDQ0NDQ0NDQw=\\n=\"";

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }

    fn of<'a>(&mut self, list: &'a str) -> &'a str {
        // An escaped | is one of YAML.
        let all: Vec<_> = list.split('|').filter(|item| !item.ends_with('\\')).collect();
        all[self.below(all.len())].trim_start_matches('\n')
    }
}

/// One of `files` or of the bases, changed one to three times.
pub fn mutated(files: &[String], random: &mut Random) -> String {
    let i = random.below(files.len() + 2 * BASES.len());
    let mut text = files.get(i).cloned().unwrap_or_else(|| BASES[(i - files.len()) % BASES.len()].into());
    for _ in 0..1 + random.below(3) {
        text = once(&text, random);
    }
    text
}

fn once(text: &str, random: &mut Random) -> String {
    let mut lines: Vec<String> = text.lines().map(Into::into).collect();
    let n = random.below(lines.len());
    let Some(line) = lines.get(n).cloned() else { return "\n".into() };
    match random.below(24) {
        0 => drop(lines.remove(n)),
        1 => lines.insert(n, line),
        2 => lines.swap(n, (n + 1).min(text.lines().count() - 1)),
        3 => lines[n] = format!("{}{line}", " ".repeat(1 + random.below(4))),
        4 => lines[n] = line.strip_prefix("  ").unwrap_or(&line).into(),
        5 => lines[n] = line.replacen("  ", "\t", 1),
        6 => {
            lines[n] = format!(
                "{line}{}",
                [" # why", "\t", "#", "  ", " :", ",", "\u{a0}", "\u{7}"][random.below(8)]
            )
        }
        7 => return around(text, random),
        8 => lines[n] = renamed(&line, random.of(FIELDS)),
        9 => lines[n] = change_case(&line, random),
        10 | 11 => lines[n] = with_value(&line, random.of(SCALARS)),
        12 => lines[n] = wrapped(&line, random),
        13 => lines.insert(n, format!("{}{}: {}", indent(&line), random.of(FIELDS), random.of(SCALARS))),
        14 => lines.insert(n, format!("{}- {}", indent(&line), random.of(RESOURCES))),
        _ => return typed(&lines, random),
    }
    lines.join("\n") + "\n"
}

/// A value of its kind, in a line that has one of that kind.
fn typed(lines: &[String], random: &mut Random) -> String {
    let (field, values) = [
        ("timeout", TIMES),
        ("endpoint", ENDPOINTS),
        ("secret", SECRETS),
        ("cachesize", SCALARS),
        (
            "apiVersion",
            "v1|v2|v3|''|1|~|/v1|apiserver.config.k8s.io/v1|apiserver.config.k8s.io/__internal|a/b/c",
        ),
        ("name", "a|'a:b'|first|foo|''|~|1|yes|'1'|é|p"),
        ("kind", "EncryptionConfig|EncryptionConfiguration|AdmissionConfiguration|List|''|~"),
        ("- ", RESOURCES),
        ("secrets", RESOURCES),
        ("identity", "{}|~|''|{a: b}|[]|{}}|{ }|null|{<<: {}}"),
        ("keys", "[]|~|{}|[~]|*keys|[{}]|[{name: a, secret: Q0NDQ0NDQ0NDQ0NDQ0NDQw==}]"),
        ("kms", "*plugin|{}|~|{<<: *plugin, name: other}|{<<: *plugin}|{<<: [*plugin], apiVersion: v2}"),
    ][random.below(12)];
    let all: Vec<_> = (0..lines.len()).filter(|i| lines[*i].contains(field)).collect();
    let mut lines = lines.to_vec();
    if !all.is_empty() {
        let n = all[random.below(all.len())];
        let value = random.of(values);
        lines[n] = match field {
            "secrets" => lines[n].replacen("secrets", value, 1),
            _ => with_value(&lines[n], value),
        };
    }
    lines.join("\n") + "\n"
}

fn around(text: &str, random: &mut Random) -> String {
    match random.below(14) {
        0 => format!("\u{feff}{text}"),
        1 => text.replace('\n', "\r\n"),
        2 => format!("{text}---\nother: [\n"),
        3 => format!("---\n{text}...\n"),
        4 => format!("---\n---\n{text}"),
        5 => format!("%YAML 1.{}\n---\n{text}", random.below(4)),
        6 => text.trim_end().into(),
        7 => format!("{text}\n\n# the end"),
        8 => format!("# first\n\n{text}"),
        9 => format!("{text}{{}}"),
        10 => text.chars().take(random.below(text.chars().count())).collect(),
        11 => format!("--- # here\n{text}"),
        12 => format!(" {text}"),
        _ => {
            let at = random.below(text.chars().count());
            let sign = random.of(":|-|{|}|[|]|,|#|&|*|!|'|\"|%|@|`|?|\t|\n| |a|\\");
            let (before, after): (String, String) =
                (text.chars().take(at).collect(), text.chars().skip(at).collect());
            format!("{before}{sign}{after}")
        }
    }
}

fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches(' ').len()]
}

fn with_value(line: &str, value: &str) -> String {
    // In JSON up to the end of the value.
    if let Some((before, after)) = line.split_once("\": ") {
        let end = after.find([',', '}']).unwrap_or(after.len());
        return format!("{before}\": {value}{}", &after[end..]);
    }
    match line.rsplit_once(": ").or_else(|| line.rsplit_once("- ")) {
        Some((before, _)) if line.contains(": ") => format!("{before}: {value}"),
        Some((before, _)) => format!("{before}- {value}"),
        None => format!("{} {value}", line.trim_end()),
    }
}

fn renamed(line: &str, field: &str) -> String {
    let begin = line.find(|c: char| c.is_alphabetic()).unwrap_or(0);
    let length = line[begin..].find(|c: char| !c.is_alphanumeric()).unwrap_or(line.len() - begin);
    format!("{}{field}{}", &line[..begin], &line[begin + length..])
}

fn change_case(line: &str, random: &mut Random) -> String {
    let at = random.below(line.chars().count());
    let change = |(i, c): (usize, char)| if i == at { c.to_ascii_uppercase() } else { c };
    line.chars().enumerate().map(change).collect()
}

/// The value in other words, or a tag or an anchor before it.
fn wrapped(line: &str, random: &mut Random) -> String {
    let (before, value) = match line.rsplit_once(": ").or_else(|| line.rsplit_once("- ")) {
        Some((before, value)) => (&line[..before.len() + 2], value),
        None => return line.into(),
    };
    let below = format!("\n{}      ", indent(line));
    match random.below(14) {
        0 => format!("{before}'{value}'"),
        1 => format!("{before}\"{value}\""),
        2 => format!("{before}|{below}{value}"),
        3 => format!("{before}>-{below}{value}"),
        4 => format!("{before}|-{below}{value}"),
        5 => format!("{before}!!str {value}"),
        6 => format!("{before}! {value}"),
        7 => format!("{before}&x {value}"),
        8 => format!("{before}{below}{value}"),
        9 => format!("{before}[{value}]"),
        10 => format!("{before}!<tag:yaml.org,2002:str> {value}"),
        11 => format!("{before}{value}   # {value}"),
        12 => format!("{before}>{below}{value}"),
        _ => format!("{before}!!binary {value}"),
    }
}
