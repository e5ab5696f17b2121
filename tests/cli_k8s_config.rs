//! `kms k8s config`: the keys of an EncryptionConfiguration, from a shell.
#![cfg(unix)]
mod common;

use common::{Folder, base64};
use libkms::kubernetes::{EncryptionConfiguration, Gate};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::{Command, Stdio},
};

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn run(folder: &Folder, line: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kms"));
    command.args(["k8s", "config"]).args(line.split_whitespace());
    let ran = command.current_dir(&folder.0).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: ran.status.code().unwrap(), out: text(ran.stdout), err: text(ran.stderr) };
    for said in ran.err.lines() {
        assert!(said.starts_with("kms: ") && !said.contains(char::is_control), "{:?}", ran.err);
    }
    ran
}

fn done(folder: &Folder, line: &str) -> Ran {
    let ran = run(folder, line);
    assert_eq!(ran.code, 0, "{line}: {}", ran.err);
    ran
}

/// It says so, and changes nothing.
fn refused(folder: &Folder, line: &str, code: i32, said: &str) {
    let files = || {
        let all = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<_> = all.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        all.sort();
        all
    };
    let before = files();
    let ran = run(folder, line);
    assert_eq!(ran.code, code, "{line}: {}", ran.err);
    assert!(ran.err.contains(said), "{line}: {}", ran.err);
    assert_eq!(ran.err.lines().count(), 1);
    assert_eq!(files(), before);
}

fn read(folder: &Folder, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

fn mode(folder: &Folder, name: &str) -> u32 {
    fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777
}

fn keys(folder: &Folder, name: &str) -> String {
    let report: Value = serde_json::from_str(&done(folder, &format!("check {name} --json")).out).unwrap();
    let keys = report["entries"][0]["keys"].as_array().unwrap().iter();
    keys.map(|key| key["key"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_key_is_made_added_promoted_and_dropped() {
    let folder = Folder::new("k8s-config-life");
    let ran = done(&folder, "new enc.yaml secretbox:key1 --resource secrets,configmaps");
    assert!(ran.err.contains("made enc.yaml: back it up") && ran.out.is_empty());
    assert_eq!(
        (mode(&folder, "enc.yaml"), keys(&folder, "enc.yaml").as_str()),
        (0o600, "secretbox:key1 identity")
    );
    let first = read(&folder, "enc.yaml");
    fs::write(folder.join("enc.yaml"), format!("# of the cluster\n{first}# the end\n")).unwrap();

    done(&folder, "add-key enc.yaml secretbox:key2");
    assert_eq!(keys(&folder, "enc.yaml"), "secretbox:key1 secretbox:key2 identity");
    done(&folder, "promote enc.yaml secretbox:key2 --resource configmaps");
    assert_eq!(keys(&folder, "enc.yaml"), "secretbox:key2 secretbox:key1 identity");
    let text = read(&folder, "enc.yaml");
    assert!(text.starts_with("# of the cluster\n") && text.ends_with("# the end\n"));
    assert!(first.lines().all(|line| text.contains(line)));

    refused(&folder, "drop-key enc.yaml secretbox:key1", 2, "--survey");
    refused(&folder, "drop-key enc.yaml secretbox:key2 --values values", 1, "cannot read values");
    let value = |bytes: &[u8]| json!({"path": "/registry/a", "value": base64(bytes)}).to_string() + "\n";
    let old = value(b"k8s:enc:secretbox:v1:key1:...");
    fs::write(folder.join("values"), value(b"k8s:enc:secretbox:v1:key2:...") + &old).unwrap();
    refused(
        &folder,
        "drop-key enc.yaml secretbox:key1 --values values",
        2,
        "a value depends on secretbox:key1",
    );
    refused(&folder, "drop-key enc.yaml secretbox:key2 --values values", 2, "is what writes");
    fs::write(folder.join("wrong"), old + "{}\n").unwrap();
    refused(&folder, "drop-key enc.yaml secretbox:key1 --values wrong", 2, "wrong:2: no JSON object");

    let survey =
        json!({"counts": {"k8s:enc:secretbox:v1:key1:": 0, "k8s:enc:secretbox:v1:key2:": 7}, "plain": 1});
    fs::write(folder.join("survey"), survey.to_string()).unwrap();
    refused(&folder, "drop-key enc.yaml identity --survey survey", 2, "a value depends on identity");
    done(&folder, "drop-key enc.yaml secretbox:key1 --survey survey");
    assert_eq!(keys(&folder, "enc.yaml"), "secretbox:key2 identity");
    assert_eq!(mode(&folder, "enc.yaml"), 0o600);
}

/// What makes the file of values may fail, and leave it empty; and a key serves every resource of its entry.
#[test]
fn no_key_is_dropped_by_no_value_or_by_those_of_some_resources() {
    let folder = Folder::new("k8s-config-some");
    done(&folder, "new enc.yaml secretbox:key1 --resource secrets,configmaps");
    done(&folder, "add-key enc.yaml secretbox:key2");
    done(&folder, "promote enc.yaml secretbox:key2");
    let before = read(&folder, "enc.yaml");
    fs::write(folder.join("values"), "").unwrap();
    refused(&folder, "drop-key enc.yaml secretbox:key1 --values values", 2, "no value");
    let survey = |resources: &[&str], values: u64| {
        let resources: Vec<_> = resources.iter().map(|name| json!({"resource": name})).collect();
        let counts = json!({"k8s:enc:secretbox:v1:key1:": 0, "k8s:enc:secretbox:v1:key2:": values});
        json!({"counts": counts, "plain": 0, "resources": resources}).to_string()
    };
    fs::write(folder.join("some"), survey(&["secrets"], 7)).unwrap();
    refused(&folder, "drop-key enc.yaml secretbox:key1 --survey some", 2, "configmaps");
    fs::write(folder.join("none"), survey(&["secrets", "configmaps"], 0)).unwrap();
    refused(&folder, "drop-key enc.yaml secretbox:key1 --survey none", 2, "no value");
    assert_eq!(read(&folder, "enc.yaml"), before);
    fs::write(folder.join("all"), survey(&["secrets", "configmaps"], 7)).unwrap();
    done(&folder, "drop-key enc.yaml secretbox:key1 --survey all");
}

#[test]
fn the_outcome_goes_where_it_is_told() {
    let folder = Folder::new("k8s-config-out");
    done(&folder, "new enc.yaml kms:plug --endpoint unix:///run/kms.sock --no-identity");
    assert_eq!(keys(&folder, "enc.yaml"), "kms:plug");
    let before = read(&folder, "enc.yaml");
    refused(&folder, "new enc.yaml secretbox:a", 1, "exists: --force overwrites it");
    let printed = done(&folder, "add-key enc.yaml secretbox:a -o -").out;
    assert!(EncryptionConfiguration::parse(printed.as_bytes(), Gate::default()).is_ok());
    assert_eq!(read(&folder, "enc.yaml"), before);

    done(&folder, "add-key enc.yaml aesgcm:a -o secret.yaml --as-secret enc/kube-system");
    assert_eq!((mode(&folder, "secret.yaml"), read(&folder, "enc.yaml")), (0o600, before));
    let secret = read(&folder, "secret.yaml");
    assert!(secret.contains("kind: Secret") && secret.contains("namespace: kube-system"));
    refused(&folder, "add-key enc.yaml aesgcm:a --as-secret enc", 2, "--output");
    refused(&folder, "add-key enc.yaml aesgcm:a -o b --as-secret E", 2, "no name of an object");

    // The link stays one, and what it leads to becomes private.
    fs::set_permissions(folder.join("enc.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    symlink("enc.yaml", folder.join("link")).unwrap();
    done(&folder, "add-key link secretbox:b");
    assert!(fs::symlink_metadata(folder.join("link")).unwrap().is_symlink());
    assert_eq!((mode(&folder, "enc.yaml"), keys(&folder, "link").as_str()), (0o600, "kms:plug secretbox:b"));
}

#[test]
fn what_is_wrong_or_weak_is_told() {
    let folder = Folder::new("k8s-config-check");
    let key = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
    let text = format!(
        "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [secrets]\n  \
         providers:\n  - aescbc: {{keys: [{{name: a, secret: {key}}}]}}\n  - secretbox: {{keys: [{{name: b, secret: \
         {key}}}]}}\n  - kms: {{name: p, endpoint: 'unix:///p'}}\n- resources: ['*.*']\n  providers: [identity: {{}}]\n"
    );
    fs::write(folder.join("weak"), &text).unwrap();
    fs::set_permissions(folder.join("weak"), fs::Permissions::from_mode(0o640)).unwrap();
    let ran = done(&folder, "check weak");
    assert!(
        ran.out.starts_with(
            "secrets\n  aescbc:a  writes and reads\n  secretbox:b  reads\n  kms:p  reads\n*.*\n"
        )
    );
    for said in
        ["aescbc writes", "resources[1]: identity writes", "are the same key", "(mode 640): chmod 600"]
    {
        assert_eq!(
            ran.out.lines().filter(|line| line.starts_with("weak: ") && line.contains(said)).count(),
            1,
            "{said}"
        );
    }
    let report: Value = serde_json::from_str(&done(&folder, "check weak --json").out).unwrap();
    assert_eq!(report["entries"][0]["keys"][0], json!({"key": "aescbc:a", "prefix": "k8s:enc:aescbc:v1:a:"}));
    assert_eq!((report["file"].as_str(), report["remarks"].as_array().unwrap().len()), (Some("weak"), 4));
    let said = "weak: line 8, column 10: resources[0].providers[2].kms.apiVersion: must be v2";
    refused(&folder, "check weak --no-kms-v1", 2, said);
    refused(&folder, "add-key weak secretbox:c --no-kms-v1", 2, said);

    fs::write(folder.join("wrong"), text.replace(key, "c2VjcmV0")).unwrap();
    let ran = run(&folder, "check wrong");
    assert!(
        ran.code == 2 && ran.err.contains("wrong: line 6, column") && !ran.err.contains("c2VjcmV0"),
        "{}",
        ran.err
    );
    refused(&folder, "check absent", 1, "cannot read absent");
    refused(&folder, "promote weak aescbc", 2, "a key is named");
    refused(&folder, "add-key weak kms:new", 2, "--endpoint");
    refused(&folder, "add-key weak secretbox:new --endpoint unix:///a", 2, "only a plugin");
    refused(&folder, "add-key weak aescbc:new", 2, "--legacy");
    refused(&folder, "add-key weak kms:new --endpoint tcp://a", 2, "must be a URL of the scheme unix");
    done(&folder, "add-key weak aescbc:new --legacy");
    assert_eq!(keys(&folder, "weak"), "aescbc:a aescbc:new secretbox:b kms:p");
}

/// Every command of the chapter, in its order; what is stored is rewritten where it says so.
#[test]
fn the_chapter_of_the_manual_works() {
    let page = include_str!("../src/manual/kubernetes_keys.md");
    let blocks = page.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    let lines: Vec<_> =
        blocks.flat_map(str::lines).map(|line| line.strip_prefix("kms k8s config ").unwrap()).collect();
    let folder = Folder::new("k8s-config-manual");
    let old = "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n  - resources:\n      \
               - secrets\n    providers:\n      - aescbc:\n          keys:\n            - name: key1\n              \
               secret: QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\n      - identity: {}\n";
    fs::write(folder.join("enc.yaml"), old).unwrap();
    let value = |prefix: &str| {
        json!({"path": "/registry/secrets/a/b", "value": base64(prefix.as_bytes())}).to_string()
    };
    let mut seen = Vec::new();
    for line in lines {
        if line.starts_with("drop-key") {
            let depends = if line.contains("enc.yaml") {
                "k8s:enc:aescbc:v1:key1:x"
            } else {
                "k8s:enc:secretbox:v1:key1:x"
            };
            let depends = if line.contains("identity") { "plain" } else { depends };
            fs::write(folder.join("values.jsonl"), value(depends)).unwrap();
            refused(&folder, line, 2, "a value depends on");
            fs::write(folder.join("values.jsonl"), value("k8s:enc:kms:v2:plugin:x")).unwrap();
        }
        done(&folder, line);
        let changed = line.split(' ').find(|word| ["enc.yaml", "new.yaml"].contains(word));
        let verb = line.split(' ').next().unwrap();
        if let (Some(file), false) = (changed, verb == "check") {
            seen.push(format!("{verb}: {}", keys(&folder, file)));
        }
    }
    let expected = [
        "new: secretbox:key1 identity",
        "add-key: aescbc:key1 kms:plugin identity",
        "promote: kms:plugin aescbc:key1 identity",
        "drop-key: kms:plugin identity",
        "drop-key: kms:plugin",
        "add-key: secretbox:key1 secretbox:key2 identity",
        "promote: secretbox:key2 secretbox:key1 identity",
        "drop-key: secretbox:key2 identity",
    ];
    assert_eq!(seen, expected);
    assert!(read(&folder, "secret.yaml").contains("name: encryption-config\n  namespace: kube-system\n"));
}
