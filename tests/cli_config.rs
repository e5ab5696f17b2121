//! The program with a configuration file; its completions and manual pages.
#![cfg(unix)]
mod common;

use common::Folder;
use libkms::kek::{Keyring, KeyringFile};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kms");
const CONFIG: &str = r#"[purpose.orders]
keks = ["local:ring#orders"]
context = { purpose = "orders" }

[purpose.bills]
keks = ["local:ring#orders"]
context = { purpose = "bills" }

[purpose.volume]
keks = ["local:volume#default"]
opens_with = ["local:ring#orders"]
context = { purpose = "volume" }
dek = { messages = 1 }
"#;

struct Ran {
    code: i32,
    out: Vec<u8>,
    err: String,
}

impl Ran {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }
}

/// A folder with `kms.toml`, the keyrings it names, and files `a` and `b`.
fn home(name: &str) -> Folder {
    let folder = Folder::new(&format!("cli-config-{name}"));
    Keyring::create(folder.join("ring"), "orders").unwrap();
    Keyring::create(folder.join("volume"), "default").unwrap();
    write(&folder, "kms.toml", CONFIG);
    write(&folder, "a", "text a");
    write(&folder, "b", "text b");
    folder
}

/// Only its owner can write it, whatever the umask.
fn write(folder: &Folder, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o644)).unwrap();
}

fn command(folder: &Folder, line: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(line.split_whitespace()).current_dir(&folder.0).stdin(Stdio::null());
    command.env("HOME", &folder.0).env_remove("XDG_DATA_HOME");
    command
}

fn run(folder: &Folder, line: &str) -> Ran {
    let ran = command(folder, line).output().unwrap();
    let err = String::from_utf8(ran.stderr).unwrap();
    for said in err.lines() {
        assert!(said.starts_with("kms: ") && !said.contains(char::is_control), "{err:?}");
    }
    Ran { code: ran.status.code().unwrap(), out: ran.stdout, err }
}

fn done(folder: &Folder, line: &str) -> Ran {
    let ran = run(folder, line);
    assert_eq!(ran.code, 0, "{line}: {}", ran.err);
    ran
}

fn fails(folder: &Folder, code: i32, line: &str) -> String {
    let ran = run(folder, line);
    assert_eq!((ran.code, ran.err.lines().count(), ran.out.len()), (code, 1, 0), "{line}: {}", ran.err);
    ran.err
}

fn inspect(folder: &Folder, name: &str) -> Value {
    serde_json::from_slice(&done(folder, &format!("inspect --json {name}")).out).unwrap()
}

#[test]
fn a_purpose_seals_and_opens() {
    let home = home("seals");
    for (purpose, kek) in [("orders", "ring#orders"), ("bills", "ring#orders"), ("volume", "volume#default")]
    {
        let keys = format!("--config kms.toml --purpose {purpose}");
        done(&home, &format!("seal a b --force {keys} --aad x"));
        let about = inspect(&home, "a.kms");
        assert_eq!(about["stored_context"], serde_json::json!({ "purpose": purpose }));
        assert_eq!(about["recipients"].as_array().unwrap().len(), 1);
        assert_eq!(done(&home, &format!("open a.kms -o - {keys} --aad x")).out, b"text a");
        assert_eq!(done(&home, &format!("open a.kms -o - {keys} --aad x --stored-context")).out, b"text a");
        done(&home, &format!("open -r . --verify {keys} --aad x"));
        fails(&home, 3, &format!("open a.kms -o - {keys}"));
        // It is what the options say one by one.
        let by_hand = format!("--kek local:{kek} --context purpose={purpose} --aad x");
        assert_eq!(done(&home, &format!("open b.kms -o - {by_hand}")).out, b"text b");
        for other in ["orders", "bills", "volume"].into_iter().filter(|o| *o != purpose) {
            let ran = run(&home, &format!("open a.kms -o - --config kms.toml --purpose {other} --aad x"));
            assert!([3, 5].contains(&ran.code) && ran.out.is_empty(), "{purpose} {other}: {}", ran.err);
        }
    }
    // As policy has it: every file has a DEK of its own, or they share one.
    for (purpose, shared) in [("orders", true), ("volume", false)] {
        done(&home, &format!("seal a b --force --config kms.toml --purpose {purpose}"));
        let dek = |name| inspect(&home, name)["commitment"].clone();
        assert_eq!(dek("a.kms") == dek("b.kms"), shared, "{purpose}");
    }
    assert!(!home.join(".local").exists(), "the user's keyring is not made");
}

#[test]
fn a_purpose_is_narrowed_and_not_left() {
    let home = home("narrowed");
    let orders = "--config kms.toml --purpose orders";
    done(&home, &format!("seal a {orders} --context tenant=7 --context host=db1"));
    let stored = serde_json::json!({ "purpose": "orders", "tenant": "7", "host": "db1" });
    assert_eq!(inspect(&home, "a.kms")["stored_context"], stored);
    assert_eq!(
        done(&home, &format!("open a.kms -o - {orders} --context host=db1 --context tenant=7")).out,
        b"text a"
    );
    assert_eq!(done(&home, &format!("open a.kms -o - {orders} --stored-context")).out, b"text a");
    fails(&home, 3, &format!("open a.kms -o - {orders}"));
    fails(&home, 3, &format!("open a.kms -o - {orders} --context tenant=8 --context host=db1"));
    for pair in ["purpose=orders", "purpose=bills"] {
        let said = fails(&home, 2, &format!("seal b {orders} --context {pair}"));
        assert!(said.contains("the same key twice"), "{said}");
    }
    fails(&home, 2, &format!("seal b {orders} --context libkms-x=1"));
    // Its KEK would open it: the stored context says that it is another purpose's.
    for other in [
        "--config kms.toml --purpose bills",
        "--kek local:ring#orders",
        "--kek local:ring#orders --context tenant=7",
        "--kek local:ring#orders --context purpose=order",
    ] {
        done(&home, &format!("seal b --force {other}"));
        for command in ["open b.kms -o -", "rewrap b.kms"] {
            let ran = run(&home, &format!("{command} {orders} --stored-context"));
            assert!(ran.code == 3 && ran.err.contains("not of this purpose"), "{other}: {}", ran.err);
            assert!(!ran.text().contains("text"));
        }
    }
}

#[test]
fn a_purpose_rewraps() {
    let home = home("rewraps");
    let report = |line: &str| done(&home, line).text().lines().next().unwrap().to_owned() + "\n";
    // Sealed before there was a keyring for volumes, under what opens.
    done(&home, "seal a --copies 2 --kek local:ring#orders --context purpose=volume");
    done(&home, "seal b --copies 1 --kek local:ring#orders --context purpose=volume --context disk=1");
    let volume = "--config kms.toml --purpose volume";
    assert_eq!(done(&home, &format!("open a.kms -o - {volume}")).out, b"text a");
    assert_eq!(report(&format!("rewrap a.kms {volume}")), "1 rewrapped, 0 current, 0 failed\n");
    assert_eq!(report(&format!("rewrap a.kms {volume}")), "0 rewrapped, 1 current, 0 failed\n");
    assert_eq!(
        report(&format!("rewrap -r . {volume} --stored-context")),
        "1 rewrapped, 1 current, 0 failed\n"
    );
    for name in ["a.kms", "b.kms"] {
        assert_eq!(inspect(&home, name)["recipients"][0]["key_id"], "default/1");
    }
    KeyringFile::at(home.join("volume")).rotate("default").unwrap();
    assert_eq!(
        report(&format!("rewrap b.kms {volume} --context disk=1")),
        "1 rewrapped, 0 current, 0 failed\n"
    );
    assert_eq!(inspect(&home, "b.kms")["recipients"][0]["key_id"], "default/2");
    assert_eq!(done(&home, &format!("open b.kms -o - {volume} --context disk=1")).out, b"text b");
}

#[test]
fn a_machine_needs_its_own_keks_only() {
    let home = home("own");
    fs::remove_file(home.join("volume")).unwrap();
    done(&home, "seal a --config kms.toml --purpose orders");
    let said = fails(&home, 1, "seal b --config kms.toml --purpose volume");
    assert!(said.starts_with("kms: kms.toml:10: purpose.volume.keks[0]: keyring volume: "), "{said}");
    assert!(fails(&home, 1, "purposes --config kms.toml").contains("kms.toml:10: purpose.volume.keks[0]"));
}

#[test]
fn mistakes_are_told() {
    let home = home("mistakes");
    for line in [
        "--config kms.toml",
        "--purpose orders",
        "--config kms.toml --purpose orders --kek local:ring#orders",
        "--config kms.toml --purpose orders --opens-with local:ring#orders",
        "--config kms.toml --config kms.toml --purpose orders",
        "--config kms.toml --purpose orders --purpose bills",
        "--config kms.toml --purpose nobody",
        "--config kms.toml --purpose",
        "--config . --purpose orders",
    ] {
        for command in ["seal a -o x", "open a -o x", "rewrap a"] {
            fails(&home, 2, &format!("{command} {line}"));
        }
    }
    fails(&home, 1, "seal a --config missing.toml --purpose orders");
    fails(&home, 2, "purposes");
    fails(&home, 2, "seal a --config kms.toml --purpose orders --stored-context");
    fails(&home, 2, "open a --config kms.toml --purpose orders --stored-context --context k=v");
    let said = fails(&home, 2, "seal a --config kms.toml --purpose nobody");
    assert!(said.contains("no purpose nobody") && said.contains("bills, orders, volume"), "{said}");

    for (right, wrong, told) in [
        ("messages = 1", "messages = 0", "13: purpose.volume.dek.messages: a DEK seals 1 to 2^32"),
        ("keks = [\"local:ring#orders\"]\n", "", "1: purpose.orders.keks: is missing"),
        ("opens_with", "open_with", "11: purpose.volume.open_with: unknown key"),
        (
            "local:ring#orders",
            "pkcs11:token=t?pin-value=1234",
            "2: purpose.orders.keks[0]: pkcs11: no secrets",
        ),
        (
            "context",
            "\"con\\u001b[2J\\u202etext\"",
            "3: purpose.orders.\"con\\\\u{1b}[2J\\\\u{202e}text\": unknown",
        ),
    ] {
        write(&home, "bad.toml", &CONFIG.replacen(right, wrong, 1));
        // Also where another purpose is meant.
        for line in ["seal a -o x --config bad.toml --purpose bills", "purposes --config bad.toml"] {
            let said = fails(&home, 2, line);
            assert!(said.starts_with(&format!("kms: bad.toml:{told}")) && !said.contains("1234"), "{said}");
        }
    }
    write(&home, "kms.toml", CONFIG);
    fs::set_permissions(home.join("kms.toml"), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(fails(&home, 2, "seal a --config kms.toml --purpose orders").contains("chmod go-w"));
    assert!(!home.join("x").exists() && !home.join("a.kms").exists());
}

#[test]
fn purposes_are_listed() {
    let home = home("listed");
    assert_eq!(
        done(&home, "purposes --config kms.toml").text(),
        "bills  purpose=bills\norders  purpose=orders\nvolume  purpose=volume\n"
    );
    let value = "\\u001b[2J\\u202e";
    write(
        &home,
        "kms.toml",
        &CONFIG.replace("= \"volume\" }", &format!("= \"volume\", \"k\\u0085\" = \"{value}\" }}")),
    );
    fails(&home, 2, "purposes --config kms.toml --json");
    write(
        &home,
        "kms.toml",
        &CONFIG.replace("= \"volume\" }", &format!("= \"volume\", key = \"{value}\" }}")),
    );
    let text = done(&home, "purposes --config kms.toml");
    assert!(text.text().contains("volume  key=\\u{1b}[2J\\u{202e}  purpose=volume\n"), "{}", text.text());
    let json = done(&home, "purposes --config kms.toml --json");
    assert!(!json.text().contains(['\u{1b}', '\u{202e}']));
    let all: Value = serde_json::from_slice(&json.out).unwrap();
    assert_eq!(
        all[2],
        serde_json::json!({"purpose": "volume", "context": {"purpose": "volume", "key": "\u{1b}[2J\u{202e}"}})
    );
    assert_eq!(all.as_array().unwrap().len(), 3);
    let help = done(&home, "purposes --help");
    assert!(["purpose", "context"].iter().all(|name| help.text().contains(name)));
}

/// What bash offers behind these words, the last of which is begun.
fn completed(folder: &Folder, words: &str) -> Vec<String> {
    let all: Vec<_> = words.split(' ').collect();
    let (last, before) = (all.len() - 1, all[all.len() - 2]);
    let line = format!(
        "set -eu; source ./completions; [[ $(complete -p kms) == *' -F _kms '* ]]
         COMP_WORDS=({words}); COMP_CWORD={last}; COMPREPLY=()
         _kms kms '{}' '{before}'; echo \"${{COMPREPLY[*]}}\"",
        all[last]
    );
    let ran = Command::new("bash").args(["--norc", "-c", &line]).current_dir(&folder.0).output().unwrap();
    assert!(ran.status.success(), "{words}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().split_whitespace().map(Into::into).collect()
}

#[test]
fn shells_complete() {
    let home = home("completions");
    let script = done(&home, "completions bash");
    write(&home, "completions", script.text());
    assert_eq!(completed(&home, "kms se"), ["seal"]);
    assert_eq!(completed(&home, "kms keyring ro"), ["rotate"]);
    assert_eq!(completed(&home, "kms seal --ke"), ["--kek"]);
    assert_eq!(completed(&home, "kms seal --p"), ["--purpose"]);
    assert_eq!(completed(&home, "kms completions z"), ["zsh"]);
    assert!(completed(&home, "kms open --").contains(&"--stored-context".to_owned()));
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = done(&home, &format!("completions {shell}"));
        for word in ["rewrap", "stored-context", "purpose"] {
            assert!(script.text().contains(word), "{shell} {word}");
        }
    }
    fails(&home, 2, "completions csh");
    fails(&home, 2, "completions");
}

#[test]
fn every_command_has_a_page_with_every_option() {
    let home = home("man");
    fs::create_dir(home.join("man1")).unwrap();
    write(&home, "man1/kms.1", "of an older release");
    assert!(done(&home, "man man1").out.is_empty());
    let pages: BTreeSet<_> = fs::read_dir(home.join("man1"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut expected = BTreeSet::new();
    let mut commands = vec![String::new()];
    while let Some(command) = commands.pop() {
        let name = format!("kms{}.1", command.replace(' ', "-"));
        let page =
            fs::read_to_string(home.join("man1").join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let plain = page.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "");
        assert!(
            plain.starts_with(".ie") && page.contains("\n.TH kms") && page.contains("\n.SH SYNOPSIS\n"),
            "{name}"
        );
        let help = done(&home, &format!("{command} --help"));
        let lines = || help.text().lines().map(str::trim_start);
        let options = lines().filter(|l| l.starts_with('-')).flat_map(|l| l.split([' ', ',']));
        let options: Vec<_> = options.filter(|w| w.starts_with("--") && w.len() > 2).collect();
        assert!(options.contains(&"--help"), "{command}");
        for option in options {
            assert!(plain.contains(option), "{name}: {option}");
        }
        // Two blanks, the name, two blanks or more.
        let below = help.text().split("Commands:\n").nth(1).unwrap_or("").split("\n\n").next().unwrap();
        let below =
            below.lines().filter_map(|l| l.strip_prefix("  ")?.split(' ').next()).filter(|n| !n.is_empty());
        commands.extend(below.filter(|n| *n != "help").map(|n| format!("{command} {n}")));
        expected.insert(name);
    }
    assert_eq!(pages, expected);
    assert!(pages.len() >= 16 && pages.contains("kms-keyring-destroy.1"));
    let main = fs::read(home.join("man1/kms.1")).unwrap();
    assert!(done(&home, "man").out == main);
    assert!(String::from_utf8(main).unwrap().contains("Exit codes:"));

    fails(&home, 1, "man missing");
    fails(&home, 1, "man a");
    // Where groff is, it has nothing to say.
    for page in &pages {
        let path = home.join("man1").join(page);
        let Ok(ran) = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(path).output() else {
            return;
        };
        assert!(
            ran.status.success() && ran.stderr.is_empty(),
            "{page}: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
}

#[test]
fn a_full_standard_output_is_an_error() {
    let home = home("full");
    for line in ["completions bash", "man", "purposes --config kms.toml"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = command(&home, line).stdout(full).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.code() == Some(1) && said.contains("standard output"), "{line}: {said}");
    }
}
