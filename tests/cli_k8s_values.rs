//! `kms k8s decrypt` and `kms k8s encrypt`: one value, lines of them, and plugins behind them.
mod common;

use common::*;
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kms");
const PATH: &str = "/registry/secrets/default/db";

fn config(folder: &Folder, providers: &str) -> String {
    let path = folder.0.join("encryption.yaml");
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - resources: [secrets]\n  providers:\n{providers}"
    );
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn key(kind: &str, name: &str, byte: u8) -> String {
    format!("  - {kind}: {{keys: [{{name: {name:?}, secret: {}}}]}}\n", base64(&[byte; 32]))
}

fn k8s(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(PROGRAM)
        .arg("k8s")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    // It may end before it reads: an error is then what it says.
    let _written = to.write_all(input);
    drop(to);
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_value_is_encrypted_and_decrypted_at_its_path() {
    let folder = Folder::new("k8s-values");
    let config =
        config(&folder, &(key("aesgcm", "a:b", 1) + &key("aescbc", "old", 2) + "  - identity: {}\n"));
    for plain in [&b""[..], b"k8s\0\n\x0c", &pattern(100_000)] {
        let value = k8s(&["encrypt", "--config", &config, "--path", PATH], plain);
        assert!(value.status.success() && value.stdout.starts_with(b"k8s:enc:aesgcm:v1:a:b:"), "{value:?}");
        let file = folder.0.join("value");
        fs::write(&file, &value.stdout).unwrap();
        let opened = k8s(&["decrypt", "--config", &config, "--path", PATH, file.to_str().unwrap()], b"");
        assert!(opened.status.success() && opened.stdout == plain);
        let other =
            k8s(&["decrypt", "--config", &config, "--path", "/registry/secrets/default/x"], &value.stdout);
        assert_eq!((other.status.code(), &other.stdout[..]), (Some(3), &b""[..]), "{other:?}");
    }
    let unknown =
        k8s(&["decrypt", "--config", &config, "--path", PATH], b"k8s:enc:aescbc:v1:gone:0123456789abcdef");
    assert_eq!(unknown.status.code(), Some(5), "{unknown:?}");
    for (args, said) in [
        (&["decrypt", "--config", &config][..], "--path"),
        (&["decrypt", "--config", &config, "--path", PATH, "--lines"], "--lines"),
        (&["decrypt", "--config", &config, "--path", PATH, "--resource", "configmaps"], "configmaps"),
        (&["decrypt", "--config", "/nowhere.yaml", "--path", PATH], "/nowhere.yaml"),
        (&["decrypt", "--config", &config, "--path", PATH, "/nowhere"], "/nowhere"),
    ] {
        let output = k8s(args, b"");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(said), "{args:?}: {text}");
    }
}

#[test]
fn lines_keep_what_else_they_say_and_fail_one_by_one() {
    let folder = Folder::new("k8s-lines");
    let new_first = config(&folder, &(key("secretbox", "new", 1) + &key("aesgcm", "old", 2)));
    let given =
        |n: usize| json!({ "path": format!("{PATH}-{n}"), "plaintext": base64(&pattern(n)), "id": n });
    let text: String = (0..50).map(|n| format!("{}\n", given(n))).collect();
    let sealed = k8s(&["encrypt", "--config", &new_first, "--lines"], text.as_bytes());
    assert!(sealed.status.success());
    let values = lines(&sealed);
    assert!(values.iter().enumerate().all(|(n, v)| v["id"] == n && v.get("plaintext").is_none()));
    // The other key writes now: these are stale.
    let old_first = config(&folder, &(key("aesgcm", "old", 2) + &key("secretbox", "new", 1)));
    let mut all: Vec<String> = values.iter().map(Value::to_string).collect();
    all.insert(10, "no JSON".into());
    all.insert(20, json!({ "path": PATH, "value": "###" }).to_string());
    all.insert(30, json!({ "value": "" }).to_string());
    all.insert(
        40,
        json!({ "path": PATH, "value": base64(b"k8s:enc:secretbox:v1:new:0123"), "id": "bad" }).to_string(),
    );
    let opened = k8s(&["decrypt", "--config", &old_first, "--lines"], (all.join("\n") + "\n\n").as_bytes());
    assert_eq!(opened.status.code(), Some(1));
    let mut answers = lines(&opened);
    assert_eq!(answers.len(), 54);
    for at in [40, 30, 20, 10] {
        let bad = answers.remove(at);
        assert!(bad["error"].is_string() && bad.get("plaintext").is_none(), "{bad}");
        assert!(at != 40 || bad["id"] == "bad");
    }
    for (n, answer) in answers.iter().enumerate() {
        let mut expected = given(n);
        expected["stale"] = true.into();
        assert_eq!(answer, &expected);
    }
}

/// `kms plugin serve` of a keyring.
struct Plugin(Child);

impl Plugin {
    fn start(folder: &Folder) -> Self {
        let socket = folder.0.join("kms.sock");
        let kek = format!("local:{}#cluster?create=true", folder.0.join("keys.json").display());
        let listen = format!("unix://{}", socket.display());
        let child = Command::new(PROGRAM)
            .args(["plugin", "serve", "--kek", &kek, "--listen", &listen])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the plugin does not start");
            sleep(Duration::from_millis(20));
        }
        Self(child)
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn of_plugin(folder: &Folder, socket: &Path) -> String {
    config(
        folder,
        &format!(
            "  - kms: {{apiVersion: v2, name: ours, endpoint: \"unix://{}\"}}\n  - identity: {{}}\n",
            socket.display()
        ),
    )
}

#[test]
fn plugins_of_the_configuration_are_asked() {
    let folder = Folder::new("k8s-plugin");
    let config = of_plugin(&folder, &folder.0.join("kms.sock"));
    let decrypt = |value: &[u8]| k8s(&["decrypt", "--config", &config, "--path", PATH], value);
    let absent = decrypt(b"k8s:enc:kms:v2:ours:\x0a\x05hello\x12\x011\x1a\x01x");
    assert_eq!(absent.status.code(), Some(7), "{absent:?}");
    // What needs no plugin needs none.
    assert_eq!(decrypt(b"k8s\0plain").stdout, b"k8s\0plain");
    let plugin = Plugin::start(&folder);
    let value = k8s(&["encrypt", "--config", &config, "--path", PATH], b"k8s\0secret");
    assert!(value.status.success() && value.stdout.starts_with(b"k8s:enc:kms:v2:ours:"), "{value:?}");
    assert_eq!(decrypt(&value.stdout).stdout, b"k8s\0secret");
    drop(plugin);
    assert_eq!(decrypt(&value.stdout).status.code(), Some(7));
}
