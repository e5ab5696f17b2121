//! Configuration files: what they say holds, and every mistake in one is told with its place.
mod common;

use common::{Folder, context, open};
use libkms::{
    Aad, ErrorKind, KeySet, Purpose, Result, Wait, inspect,
    kek::{Fault, KeyUri, Keyring, KeyringFile, Mock, Schemes},
};
use proptest::prelude::*;
use std::{collections::HashSet, fs, path::Path};

const CLUSTER: &str = include_str!("../examples/cluster.toml");
/// Of another purpose. Two keyrings may call a key by the same name.
const REFUSED: [ErrorKind; 2] = [ErrorKind::NoMatchingKek, ErrorKind::Authentication];
const PURPOSES: [&str; 6] = [
    "control-plane-configuration",
    "control-plane-database",
    "control-plane-main-volume",
    "control-plane-root-volume",
    "node-pool-configuration",
    "node-pool-root-volume",
];

/// `mock:NAME` is a KMS in memory, and there is nothing else.
fn schemes() -> Schemes {
    Schemes::default().with("local", |_| async { Ok(Mock::new("no-file")) })
}

fn parse(text: &str) -> Result<KeySet> {
    KeySet::parse(text, &schemes()).wait()
}

/// A configuration that only its owner can write, whatever the umask.
fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap();
    #[cfg(unix)]
    chmod(path, 0o644);
}

#[cfg(unix)]
fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The example's keyrings, and the example with their paths.
fn cluster(folder: &Folder) -> String {
    for (ring, keys) in [
        ("control-plane", &["configuration", "database", "main-volume", "root-volume"][..]),
        ("control-plane-2025", &["all"]),
        ("recovery", &["main-volume"]),
        ("node-pool", &["configuration", "root-volume"]),
    ] {
        let path = folder.join(&format!("{ring}.json"));
        Keyring::create(&path, keys[0]).unwrap();
        for key in &keys[1..] {
            KeyringFile::at(&path).add(key).unwrap();
        }
    }
    assert_eq!(CLUSTER.matches("local:/etc/kms/").count(), 8);
    CLUSTER.replace("/etc/kms", folder.0.to_str().unwrap())
}

#[test]
fn f61_the_purposes_of_a_cluster_come_back_and_open_nothing_of_each_other() {
    let folder = Folder::new("config-cluster");
    write(&folder.join("cluster.toml"), cluster(&folder));
    let keys = KeySet::load(folder.join("cluster.toml")).wait().unwrap();
    assert_eq!(keys.iter().map(|(name, _)| name).collect::<Vec<_>>(), PURPOSES);
    let sealed: Vec<_> = keys
        .iter()
        .map(|(name, scope)| scope.seal(Aad::from("a"), name.as_bytes()).wait().unwrap())
        .collect();
    for (name, scope) in keys.iter() {
        assert!(scope.context() == &context(&[("cluster", "prod"), ("purpose", name)]));
        for (other, sealed) in PURPOSES.iter().zip(&sealed) {
            match open(scope, "a", sealed) {
                Ok(plaintext) => assert!(name == *other && plaintext == name.as_bytes()),
                Err(e) => assert!(name != *other && REFUSED.contains(&e.kind()), "{e}"),
            }
        }
    }
    // In another process, so to say.
    let again = KeySet::load(folder.join("cluster.toml")).wait().unwrap();
    for (name, sealed) in PURPOSES.iter().zip(&sealed) {
        assert_eq!(open(again.purpose(name).unwrap(), "a", sealed).unwrap(), name.as_bytes());
    }
    let headers: Vec<_> = sealed.iter().map(|s| inspect(s).unwrap()).collect();
    assert_eq!(headers.iter().map(|h| h.recipients().len()).collect::<Vec<_>>(), [1, 1, 2, 1, 1, 1]);
}

#[test]
fn f61_purposes_under_one_kek_have_only_their_own() {
    let folder = Folder::new("config-one-kek");
    Keyring::create(folder.join("ring"), "k").unwrap();
    let uri = format!("local:{}#k", folder.join("ring").display());
    let purpose = |name: &str| format!("[purpose.{name}]\nkeks = ['{uri}']\ncontext.for = '{name}'\n");
    let keys = KeySet::parse(&(purpose("a") + &purpose("b")), &Schemes::default()).wait().unwrap();
    let (a, b) = (keys.purpose("a").unwrap(), keys.purpose("b").unwrap());
    for (one, other) in [(a, b), (b, a)] {
        let sealed = one.seal(Aad::empty(), b"text").wait().unwrap();
        assert_eq!(open(one, "", &sealed).unwrap(), b"text");
        assert_eq!(open(other, "", &sealed).unwrap_err().kind(), ErrorKind::Authentication);
        assert_ne!(
            inspect(&sealed).unwrap().commitment(),
            inspect(&other.seal(Aad::empty(), b"text").wait().unwrap()).unwrap().commitment()
        );
    }
    // A tenant's data is not its purpose's.
    let tenant = a.with("tenant", "7").unwrap();
    let sealed = tenant.seal(Aad::empty(), b"text").wait().unwrap();
    assert_eq!(open(&tenant, "", &sealed).unwrap(), b"text");
    assert_eq!(open(a, "", &sealed).unwrap_err().kind(), ErrorKind::Authentication);
    assert_eq!(a.with("for", "b").unwrap_err().kind(), ErrorKind::Misuse);
}

#[test]
fn the_dek_policy_is_the_one_of_the_file() {
    // So many messages of 40 bytes, so many DEKs.
    for (dek, messages, deks) in [
        ("", 7, 1),
        ("dek = {}", 7, 1),
        ("dek = { messages = 1 }", 7, 7),
        ("dek = { messages = 3 }", 7, 3),
        ("dek.messages = 0x3", 7, 3),
        ("dek = { bytes = 100 }", 7, 4),
        ("dek = { bytes = '100 B', messages = 6 }", 7, 4),
        ("dek = { bytes = '1KiB', messages = 6, time = '1h' }", 7, 2),
        ("dek = { bytes = 1 }", 3, 3),
    ] {
        let text = format!("[purpose.a]\nkeks = ['mock:m']\ncontext = {{}}\n{dek}");
        let keys = parse(&text).unwrap();
        let seal = |_| keys.purpose("a").unwrap().seal(Aad::empty(), &[7; 40]).wait().unwrap();
        let sealed = (0..messages).map(seal).map(|s| *inspect(&s).unwrap().commitment());
        assert_eq!(sealed.collect::<HashSet<_>>().len(), deks, "{dek}");
    }
}

/// A right file, and what a mistake in it is told as: `configuration:LINE: KEY: ` and so on.
const RIGHT: &str = r#"[purpose.orders]
keks = ["mock:a", "mock:b"]
opens_with = ["mock:c"]
context = { purpose = "orders", cluster = "prod" }
dek = { messages = 1000, bytes = "1 GiB", time = "10m" }

[purpose.bills]
keks = [
    "mock:a",
]

[purpose.bills.context]
purpose = "bills"
"#;

const MISTAKES: &[(&str, &str, &str)] = &[
    // What is replaced, by what, what is told.
    ("[purpose.orders]", "[purpose.orders", ":1: purpose.orders: unclosed table"),
    ("[purpose.orders]", "[purposes.orders]", ":1: purposes: unknown key; there is purpose"),
    ("[purpose.orders]", "top = 1\n[purpose.orders]", ":1: top: unknown key"),
    ("[purpose.orders]", "[purpose.\"or ders\"]", ":1: purpose.\"or ders\": a purpose's name"),
    ("[purpose.orders]", "[purpose.\"\"]", ":1: purpose.\"\": a purpose's name"),
    ("[purpose.orders]", "[purpose.\"o\\u001b\"]", ":1: purpose.\"o\\u{1b}\": a purpose's name"),
    ("[purpose.orders]", "[purpose.bills]", ":7: purpose.bills: duplicate key"),
    ("[purpose.orders]", "[[purpose.orders]]", ":1: purpose.orders: must be a table"),
    ("[purpose.orders]", "[[purpose]]", ":1: purpose: must be a table"),
    ("keks = [\"mock:a\", \"mock:b\"]\n", "", ":1: purpose.orders.keks: is missing"),
    ("keks = [\"mock:a\", \"mock:b\"]", "keks = []", ":2: purpose.orders.keks: must name a KEK"),
    ("keks = [\"mock:a\", \"mock:b\"]", "keks = \"mock:a\"", ":2: purpose.orders.keks: must be an array"),
    ("keks = [\"mock:a\", \"mock:b\"]", "keks = {}", ":2: purpose.orders.keks: must be an array"),
    ("keks = [\"mock:a\", \"mock:b\"]", "keks =", ":2: purpose.orders"),
    ("keks = [\"mock:a\", \"mock:b\"]", "keks", ":2: purpose.orders: key with no value"),
    (
        "keks = [\"mock:a\", \"mock:b\"]",
        "keks = [mock]",
        ":2: purpose.orders.keks: string values must be quoted",
    ),
    ("\"mock:a\", \"mock:b\"", "\"mock:a\", 1", ":2: purpose.orders.keks[1]: must be a string"),
    ("\"mock:a\", \"mock:b\"", "\"mock:a\", \"mock:a\"", ":2: purpose.orders.keks[1]: names a KEK"),
    ("\"mock:b\"", "\"keys.json\"", ":2: purpose.orders.keks[1]: a key URI begins with its scheme"),
    ("\"mock:b\"", "\"x:y?a=%zz\"", ":2: purpose.orders.keks[1]: a key URI has a %"),
    ("\"mock:b\"", "\"nobody:b\"", ":2: purpose.orders.keks[1]: nobody: unknown scheme"),
    ("\"mock:b\"", "\"mock:b?x=1\"", ":2: purpose.orders.keks[1]: mock: unknown parameter x"),
    ("\"mock:b\"", "\"mock:b?pin=1234\"", ":2: purpose.orders.keks[1]: mock: no secrets in a key URI"),
    ("\"mock:b\"", "\"mock:\\nb\"", ":2: purpose.orders.keks[1]: a key URI holds a control character"),
    ("\"mock:b\"", "\"mock:b", ":2: purpose.orders.keks: invalid basic string"),
    (
        "opens_with",
        "open_with",
        ":3: purpose.orders.open_with: unknown key; there is keks, must_wrap, opens_with",
    ),
    ("[\"mock:c\"]", "[\"mock:b\"]", ":3: purpose.orders.opens_with[0]: names a KEK"),
    ("[\"mock:c\"]", "true", ":3: purpose.orders.opens_with: must be an array"),
    ("[\"mock:c\"]", "[\n\n[]]", ":5: purpose.orders.opens_with[0]: must be a string"),
    ("opens_with = [\"mock:c\"]", "opens_with = [\"mock:c\"", ":4: purpose.orders.opens_with: missing comma"),
    ("context = {", "context = 1 #", ":4: purpose.orders.context: must be a table"),
    ("context = {", "#", ":1: purpose.orders.context: is missing"),
    ("purpose = \"orders\"", "purpose = 1", ":4: purpose.orders.context.purpose: must be a string"),
    (
        "purpose = \"orders\"",
        "libkms-x = \"\"",
        ":4: purpose.orders.context.libkms-x: encryption context: keys that",
    ),
    (
        "purpose = \"orders\"",
        "\"\" = \"\"",
        ":4: purpose.orders.context.\"\": encryption context: keys have 1 to",
    ),
    (
        "purpose = \"orders\"",
        "\"a\\u0007\" = \"\"",
        ":4: purpose.orders.context.\"a\\u{7}\": encryption context: ",
    ),
    ("purpose = \"orders\"", "cluster = \"\"", ":4: purpose.orders.context.cluster: duplicate key"),
    (
        "purpose = \"orders\", cluster = \"prod\"",
        "purpose = \"bills\"",
        ":4: purpose.orders.context: is that of purpose.bills",
    ),
    ("messages = 1000", "messages = 0", ":5: purpose.orders.dek.messages: a DEK seals 1 to 2^32"),
    ("messages = 1000", "messages = 4294967297", ":5: purpose.orders.dek.messages: a DEK seals 1 to 2^32"),
    ("messages = 1000", "messages = -1", ":5: purpose.orders.dek.messages: must be a number from 0"),
    (
        "messages = 1000",
        "messages = 18446744073709551616",
        ":5: purpose.orders.dek.messages: must be a number",
    ),
    ("messages = 1000", "messages = \"1000\"", ":5: purpose.orders.dek.messages: must be an integer"),
    ("messages = 1000", "messages = 1e3", ":5: purpose.orders.dek.messages: must be an integer"),
    (
        "messages = 1000",
        "message = 1000",
        ":5: purpose.orders.dek.message: unknown key; there is messages, bytes",
    ),
    ("\"1 GiB\"", "\"1 GB\"", ":5: purpose.orders.dek.bytes: must be at least 1, in bytes or with a unit"),
    ("\"1 GiB\"", "0", ":5: purpose.orders.dek.bytes: must be at least 1"),
    ("\"1 GiB\"", "-1", ":5: purpose.orders.dek.bytes: must be at least 1"),
    ("\"1 GiB\"", "1.5", ":5: purpose.orders.dek.bytes: must be at least 1"),
    ("\"1 GiB\"", "\"99999999 TiB\"", ":5: purpose.orders.dek.bytes: must be at least 1"),
    ("\"10m\"", "600", ":5: purpose.orders.dek.time: must be at least \"1s\", with a unit"),
    ("\"10m\"", "\"0s\"", ":5: purpose.orders.dek.time: must be at least"),
    ("\"10m\"", "\"10 min\"", ":5: purpose.orders.dek.time: must be at least"),
    ("\"10m\"", "10m", ":5: purpose.orders.dek.time: "),
    ("dek = {", "dek = [] #", ":5: purpose.orders.dek: must be a table"),
    (
        "dek = {",
        "outage = { deadline = '0s' }\ndek = {",
        ":5: purpose.orders.outage.deadline: must be at least \"1s\"",
    ),
    (
        "dek = {",
        "outage = { seal_for = 180 }\ndek = {",
        ":5: purpose.orders.outage.seal_for: must be at least \"0s\"",
    ),
    (
        "dek = {",
        "outage = { calls_per_second = 0 }\ndek = {",
        ":5: purpose.orders.outage.calls_per_second: must be a number",
    ),
    (
        "dek = {",
        "outage = { retries = 3 }\ndek = {",
        ":5: purpose.orders.outage.retries: unknown key; there is deadline",
    ),
    ("dek = {", "must_wrap = 0\ndek = {", ":5: purpose.orders.must_wrap: at least 0 KEKs must wrap"),
    ("dek = {", "must_wrap = 3\ndek = {", ":5: purpose.orders.must_wrap: at least 3 KEKs must wrap"),
    ("dek = {", "must_wrap = true\ndek = {", ":5: purpose.orders.must_wrap: must be an integer"),
    ("dek = {", "keks = []\ndek = {", ":5: purpose.orders.keks: duplicate key"),
    ("dek = {", "context.more = 1\ndek = {", ":5: purpose.orders: cannot extend"),
    (
        "    \"mock:a\",",
        "    'mock:a',\n    'mock:\u{1}',",
        ":10: purpose.bills.keks: invalid literal string",
    ),
    ("[purpose.bills.context]", "[purpose.bills.contexts]", ":12: purpose.bills.contexts: unknown key"),
    (
        "purpose = \"bills\"",
        "purpose = \"bills\"\npurpose = \"x\"",
        ":14: purpose.bills.context.purpose: duplicate key",
    ),
    ("purpose = \"bills\"", "purpose \"bills\"", ":13: purpose.bills.context: key with no value"),
    ("purpose = \"bills\"", "purpose = ['''\n\n", ":16: purpose.bills.context.purpose: unclosed array"),
];

#[test]
fn every_mistake_is_told_with_file_line_and_key() {
    parse(RIGHT).unwrap();
    let mut wrong = Vec::new();
    for (right, mistake, told) in MISTAKES {
        assert!(RIGHT.contains(right), "{right}");
        for (text, newline) in [(RIGHT.to_owned(), "\n"), (RIGHT.replace('\n', "\r\n"), "\r\n")] {
            let (right, mistake) = (right.replace('\n', newline), mistake.replace('\n', newline));
            let said = match parse(&text.replacen(&right, &mistake, 1)) {
                Ok(_) => "nothing".into(),
                Err(e) if e.kind() != ErrorKind::Misuse => format!("{e:?}"),
                Err(e) => e.to_string(),
            };
            if !said.starts_with(&format!("configuration{told}")) || said.contains(char::is_control) {
                wrong.push(format!("{mistake}\n  want {told}\n  told {said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (text, told) in [
        ("", "configuration:1: purpose: is missing"),
        ("# nothing\n", "configuration:1: purpose: is missing"),
        ("\n\n[purpose]", "configuration:3: purpose: holds no purpose"),
        ("purpose = 1", "configuration:1: purpose: must be a table"),
        ("purpose.a = 1", "configuration:1: purpose.a: must be a table"),
        ("x", "configuration:1: key with no value"),
    ] {
        assert!(
            parse(text).unwrap_err().to_string().starts_with(told),
            "{text}: {}",
            parse(text).unwrap_err()
        );
    }
    // Who may be narrowed by any pair could be narrowed to another purpose.
    let purpose = |(name, context): &(&str, &str)| {
        format!("[purpose.{name}]\nkeks = ['mock:m']\ncontext = {{ {context} }}\n")
    };
    let all = |of: &[(&str, &str)]| of.iter().map(purpose).collect::<String>();
    for (of, told) in [
        (
            &[("a", "x = '1'"), ("b", "x = '1', y = '2'")][..],
            "6: purpose.b.context: holds every pair of purpose.a",
        ),
        (
            &[("a", "x = '1', y = '2'"), ("b", "y = '2'")],
            "3: purpose.a.context: holds every pair of purpose.b",
        ),
        (&[("a", "x = '1'"), ("b", "")], "3: purpose.a.context: holds every pair of purpose.b"),
    ] {
        let e = parse(&all(of)).unwrap_err().to_string();
        assert!(e.starts_with(&format!("configuration:{told}'s")), "{e}");
    }
    parse(&all(&[("a", "x = '1', y = '1'"), ("b", "x = '1', y = '2'"), ("c", "x = '2'")])).unwrap();
    let many = format!(
        "[purpose.a]\nkeks = [{}]\ncontext = {{}}",
        (0..17).map(|n| format!("'mock:{n}',")).collect::<String>()
    );
    let e = parse(&many).unwrap_err();
    assert_eq!(e.to_string(), "configuration:2: purpose.a.keks: an envelope has at most 16 recipients");
    let long = format!(
        "[purpose.a]\nkeks = ['mock:m']\n[purpose.a.context]\n{}",
        (0..9).map(|n| format!("k{n} = '{}'\n", "v".repeat(1000))).collect::<String>()
    );
    let e = parse(&long).unwrap_err().to_string();
    assert!(e.starts_with("configuration:3: purpose.a.context: encryption context: more than 8192"), "{e}");
    let e = parse(&format!("{} = 1", "k".repeat(100_000))).unwrap_err().to_string();
    assert!(e.len() < 200, "{} bytes", e.len());
}

#[test]
fn f35_a_mistake_quotes_no_value() {
    let marker = "S3CRET-MARKER";
    let values =
        RIGHT.replace("\"orders\"", &format!("\"{marker}\"")).replace("mock:c", &format!("mock:{marker}"));
    let debug = format!("{:?}", parse(&values).unwrap());
    assert!(debug.contains("orders") && debug.contains("cluster") && !debug.contains(marker), "{debug}");
    let mut told = 0;
    for (right, mistake, _) in MISTAKES {
        let mistake = mistake.replace("\"orders\"", "\"S3CRET-MARKER\"").replace("1234", marker);
        if let Err(e) = parse(&values.replacen(right, &mistake, 1)) {
            assert!(!format!("{e} {e:?}").contains(marker), "{mistake}: {e:?}");
            told += 1;
        }
    }
    assert!(told > 40);
    // Where a value stands in the wrong place.
    for text in [
        format!("[purpose.a]\nkeks = [{marker}]"),
        format!("[purpose.a]\nkeks = '{marker}'"),
        format!("[purpose.a]\nkeks = ['pkcs11:token=t?pin-value={marker}']\ncontext = {{}}"),
        format!("[purpose.a]\nkeks = ['{marker}']\ncontext = {{}}"),
        format!("[purpose.a]\nkeks = ['mock:a']\ncontext = {{ k = {marker} }}"),
        format!("[purpose.a]\nkeks = ['mock:a']\ncontext = {{ k = ['{marker}'] }}"),
        format!("[purpose.a]\nkeks = ['mock:a']\ncontext = {{}}\ndek = {{ time = '{marker}' }}"),
        format!("[purpose.a]\nkeks = ['mock:a']\ncontext = {{}}\ndek = {{ time = \"{marker}\n"),
    ] {
        let e = parse(&text).unwrap_err();
        assert!(!format!("{e} {e:?}").contains(marker), "{e:?}");
    }
}

#[test]
fn what_a_backend_says_is_told_with_its_place_and_no_kms_is_called() {
    let folder = Folder::new("config-backend");
    let file = folder.join("kms.toml");
    let text = "[purpose.a]\nkeks = ['local:/no/such/ring#k']\ncontext = {}\n";
    write(&file, text);
    let e = KeySet::load(&file).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    let place = format!("{}:2: purpose.a.keks[0]: ", file.display());
    assert!(e.to_string().starts_with(&place) && e.to_string().contains("/no/such/ring"), "{e}");
    write(&file, text.replace("/no/such/ring#k", ""));
    let e = KeySet::load(&file).wait().unwrap_err();
    assert!(e.to_string().starts_with(&(place + "local: a path is missing")), "{e}");

    let kms = Mock::new("m");
    let handle = kms.clone();
    let ours = Schemes::default().with("x-our", move |_| {
        let kms = handle.clone();
        async move { Ok(kms) }
    });
    write(&file, "[purpose.a]\nkeks = ['x-our:m']\ncontext = {}\n");
    let loading = KeySet::load_with(&file, &ours);
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    let keys = is_send(loading).wait().unwrap();
    assert_eq!(kms.calls(), 0);
    let sealed = keys.purpose("a").unwrap().seal(Aad::empty(), b"text").wait().unwrap();
    assert_eq!(kms.calls(), 1);
    assert_eq!(open(keys.purpose("a").unwrap(), "", &sealed).unwrap(), b"text");
    let e = KeySet::load(&file).wait().unwrap_err();
    assert!(e.kind() == ErrorKind::Misuse && e.to_string().ends_with("x-our: unknown scheme"), "{e}");
}

#[test]
fn of_a_shared_file_each_machine_opens_its_own() {
    let folder = Folder::new("config-only");
    let (file, text) = (folder.join("cluster.toml"), cluster(&folder));
    write(&file, &text);
    let (only, none) =
        (|names: &[&str]| KeySet::load_only(&file, names, &Schemes::default()).wait(), &[][..]);
    fs::remove_file(folder.join("control-plane.json")).unwrap();
    assert_eq!(KeySet::load(&file).wait().unwrap_err().kind(), ErrorKind::Io);
    let keys = only(&PURPOSES[4..]).unwrap();
    assert_eq!(keys.iter().map(|k| k.0).collect::<Vec<_>>(), PURPOSES[4..]);
    let e = keys.purpose(PURPOSES[0]).unwrap_err();
    assert!(
        e.kind() == ErrorKind::Misuse
            && e.to_string().ends_with("there is node-pool-configuration, node-pool-root-volume")
    );
    assert_eq!(only(none).unwrap().iter().count(), 0);
    assert_eq!(only(&PURPOSES[..1]).unwrap_err().kind(), ErrorKind::Io);
    let e = only(&[PURPOSES[4], "no\u{1b}body"]).unwrap_err();
    assert!(e.kind() == ErrorKind::Misuse && e.to_string().starts_with("no purpose no\\u{1b}body"), "{e}");
    // The rest must be right all the same.
    write(&file, text.replacen("messages = 1 ", "messages = 0 ", 1));
    let e = only(&PURPOSES[4..]).unwrap_err().to_string();
    assert!(e.contains("control-plane-configuration.dek.messages: "), "{e}");
}

/// None of the cluster's keyrings is there.
#[test]
fn a_purpose_is_told_and_its_keks_need_not_be_there() {
    let folder = Folder::new("config-told");
    let file = folder.join("kms.toml");
    write(&file, CLUSTER);
    let purpose = Purpose::load(&file, "control-plane-database").unwrap();
    let uris = |keks: &[KeyUri]| keks.iter().map(KeyUri::to_string).collect::<Vec<_>>();
    assert_eq!(uris(&purpose.keks), ["local:/etc/kms/control-plane.json#database"]);
    assert_eq!(uris(&purpose.opens_with), ["local:/etc/kms/control-plane-2025.json#all"]);
    assert!(purpose.context == context(&[("cluster", "prod"), ("purpose", "control-plane-database")]));
    let refused = Purpose::load(&file, "bills").unwrap_err();
    assert!(refused.kind() == ErrorKind::Misuse && refused.to_string().contains(PURPOSES[0]), "{refused}");
    write(&file, CLUSTER.replace("dek = { messages = 1 }", "dek = { messages = 0 }"));
    let refused = Purpose::load(&file, "node-pool-configuration").unwrap_err();
    assert!(refused.to_string().contains(".dek.messages"), "of another purpose: {refused}");
}

#[test]
fn a_file_is_read_with_care() {
    let folder = Folder::new("config-read");
    let file = folder.join("kms.toml");
    let load = || KeySet::load_with(&file, &schemes()).wait();
    let fails = |kind, told: &str| {
        let e = load().unwrap_err();
        assert!(e.kind() == kind && e.to_string().contains(told), "{told}: {e:?}");
        assert!(e.to_string().contains("kms.toml"), "{e}");
    };
    fails(ErrorKind::Io, "");
    let fill = |len: usize| RIGHT.to_owned() + "\n#" + &"x".repeat(len - RIGHT.len() - 2);
    write(&file, fill(1 << 20));
    load().unwrap();
    write(&file, fill((1 << 20) + 1));
    fails(ErrorKind::Misuse, "longer than 1 MiB");
    write(&file, [b"\n# fine\n\n# \xff ", RIGHT.as_bytes()].concat());
    fails(ErrorKind::Misuse, "kms.toml:4: not UTF-8");
    write(&file, RIGHT.replace("\"prod\"", "prod"));
    fails(ErrorKind::Misuse, "kms.toml:4: purpose.orders.context.cluster: ");
    write(&file, format!("\u{feff}{RIGHT}"));
    load().unwrap();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    fails(ErrorKind::Misuse, "not a regular file");
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_write_is_not_believed() {
    use std::os::unix::fs::{MetadataExt, chown, symlink};
    let folder = Folder::new("config-others");
    let file = folder.join("kms.toml");
    let load = || KeySet::load_with(&file, &schemes()).wait();
    for (mode, fine) in
        [(0o600, true), (0o444, true), (0o644, true), (0o664, false), (0o646, false), (0o622, false)]
    {
        // Another one each time: none but root writes what is read-only.
        let _ = fs::remove_file(&file);
        write(&file, RIGHT);
        chmod(&file, mode);
        match load() {
            Ok(_) => assert!(fine, "{mode:o}"),
            Err(e) => {
                assert!(!fine && e.kind() == ErrorKind::Misuse && e.to_string().contains("chmod go-w"), "{e}")
            }
        }
    }
    chmod(&file, 0o644);
    if fs::metadata(&file).unwrap().uid() == 0 {
        chown(&file, Some(65534), None).unwrap();
        let e = load().unwrap_err();
        assert!(e.kind() == ErrorKind::Misuse && e.to_string().contains("another user owns"), "{e}");
        chown(&file, Some(0), None).unwrap();
    }
    // Through a link, as a mounted configuration is.
    fs::rename(&file, folder.join("data")).unwrap();
    symlink("data", &file).unwrap();
    load().unwrap();
    // A fifo is not waited for.
    fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    assert!(load().unwrap_err().to_string().contains("not a regular file"));
}

#[test]
fn hostile_texts_end_soon() {
    let times = |text: &str| text.repeat((1 << 20) / text.len());
    let keys: String = (0..50_000).map(|n| format!("k{n} = ''\n")).collect();
    let purposes: String = (0..20_000).map(|n| format!("[purpose.p{n}]\nkeks = ['mock:m']\n")).collect();
    let nested: String = (0..14_000)
        .map(|n| format!("[purpose.p{n}]\nkeks = ['x:y']\ncontext = {{ a = '', n = '{n}' }}\n"))
        .chain(["[purpose.z]\nkeks = ['x:y']\ncontext = { a = '' }\n".into()])
        .collect();
    let uris: String = (0..60_000).map(|n| format!("'x:{n}',")).collect();
    for text in [
        times("["),
        times("a."),
        format!("a = {}", times("[")),
        format!("a = {}", times("{a=")),
        times("=\n"),
        times("="),
        times("\""),
        times("a = 1\n"),
        times("[purpose.a]\n"),
        times("\u{1b}"),
        format!("[purpose.a]\nkeks = ['mock:m']\n[purpose.a.context]\n{keys}"),
        format!("{purposes}context = 1"),
        nested,
        format!("[purpose.a]\nkeks = ['mock:m']\ncontext = {{}}\nopens_with = [{uris}1]"),
    ] {
        let e = parse(&text).unwrap_err();
        assert!(e.kind() == ErrorKind::Misuse && e.to_string().len() < 500, "{e}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_text_of_tomls_signs_panics(text in "[\\[\\]{}=,.\"'#\n\r\\\\a1 _é-]{0,80}") {
        let _ = parse(&text);
        let _ = parse(&format!("[purpose.a]\n{text}"));
        let _ = parse(&format!("[purpose.a]\nkeks = [{text}"));
    }

    #[test]
    fn an_edited_file_is_right_or_told_where_not(
        at in 0..RIGHT.len(), gone in 0..40usize, new in "[\\[\\]{}=,.\"'#\n a1]{0,3}",
    ) {
        let end = RIGHT.len().min(at + gone);
        let text = format!("{}{new}{}", &RIGHT[..at], &RIGHT[end..]);
        if let Err(e) = parse(&text) {
            prop_assert_eq!(e.kind(), ErrorKind::Misuse);
            let told = e.to_string();
            let line = told.strip_prefix("configuration:").and_then(|t| t.split(':').next()?.parse::<usize>().ok());
            prop_assert!(line.is_some_and(|n| (1..=text.lines().count() + 1).contains(&n)), "{}", told);
        }
    }
}

#[test]
fn fewer_keks_wrap_where_the_file_allows_it() {
    let down = |_| async {
        let kek = Mock::new("down");
        kek.always(Some(Fault::Unavailable));
        Ok(kek)
    };
    let schemes = Schemes::default().with("x-down", down);
    let seal = |must_wrap: &str| {
        let text = format!("[purpose.a]\nkeks = ['mock:up', 'x-down:x']\ncontext = {{}}\n{must_wrap}");
        let keys = KeySet::parse(&text, &schemes).wait().unwrap();
        keys.purpose("a").unwrap().seal(Aad::empty(), b"x").wait()
    };
    assert_eq!(seal("").unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(seal("must_wrap = 2").unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(inspect(&seal("must_wrap = 1").unwrap()).unwrap().recipients().len(), 1);
}
