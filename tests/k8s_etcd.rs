//! `kms k8s status` and `kms k8s rotate` over a real etcd.
mod common;
#[path = "common/etcd.rs"]
mod etcd;

use common::*;
use etcd::{Server, base64};
use libkms::kubernetes::{EncryptionConfiguration, Gate, Transformer};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kms");

/// The new key first; then the old one, and plain values.
fn config(folder: &Folder) -> String {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - resources: [secrets]\n  providers:\n\
         {:2}- secretbox: {{keys: [{{name: new, secret: {}}}]}}\n\
         {:2}- aesgcm: {{keys: [{{name: old, secret: {}}}]}}\n\
         {:2}- identity: {{}}\n",
        "",
        base64(&[2; 32]),
        "",
        base64(&[1; 32]),
        "",
    );
    let path = folder.0.join("encryption.yaml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What writes with the first provider of these, given from the second on for an older server.
fn transformer(path: &str, skip: usize) -> Transformer {
    let config = EncryptionConfiguration::parse(&fs::read(path).unwrap(), Gate::default()).unwrap();
    let providers = config.for_resource("secrets").unwrap();
    Transformer::without_kms(providers.into_iter().skip(skip).cloned().collect()).unwrap()
}

fn write(with: &Transformer, path: &str, plaintext: &str) -> Vec<u8> {
    with.try_write(path, plaintext.as_bytes()).unwrap().expect("no KMS to ask")
}

fn read(with: &Transformer, path: &str, value: &[u8]) -> (String, bool) {
    let read = with.try_read(path, value).unwrap().expect("no KMS to ask");
    (String::from_utf8(read.plaintext).unwrap(), read.stale)
}

fn path_of(n: usize) -> String {
    format!("/registry/secrets/ns-{}/s-{n:06}", n % 7)
}

fn kms(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(["k8s"]).args(args).output().unwrap()
}

fn told(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?} {said}"))
}

#[test]
fn stale_and_plain_values_are_counted_and_rewritten() {
    let folder = Folder::new("k8s-etcd");
    let (server, config) = (Server::start(&folder), config(&folder));
    let (url, old) = (server.url(), transformer(&config, 1));
    let mut values: Vec<_> =
        (0..500).map(|n| (path_of(n), write(&old, &path_of(n), &format!("secret {n}")))).collect();
    values[7].1 = b"k8s\0plain".to_vec();
    // Others' values, beside and behind, are not looked at.
    let strange = [("/registry/secretsx/a", "no value of ours"), ("/registry/configmaps/default/a", "plain")];
    server.put_all(&values);
    strange.iter().for_each(|(key, value)| server.put(key, value.as_bytes()));

    let status = ["status", "--etcd", &url, "--config", &config];
    let counted = told(&kms(&[&status[..], &["--json"]].concat()));
    let secrets = &counted["resources"][0];
    assert_eq!((&secrets["resource"], &secrets["values"]), (&"secrets".into(), &500.into()), "{counted}");
    assert_eq!((&secrets["stale"], &secrets["plain"]), (&500.into(), &1.into()), "{counted}");
    let table = kms(&status);
    assert_eq!(table.status.code(), Some(10), "{table:?}");
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("aesgcm") && table.contains("499") && table.contains("stale"), "{table}");

    let rotate = ["rotate", "--etcd", &url, "--config", &config];
    let before = server.all("/registry/");
    let dry = told(&kms(&[&rotate[..], &["--dry-run", "--json"]].concat()));
    assert_eq!(dry["resources"][0]["rotated"], 500, "{dry}");
    assert_eq!(server.all("/registry/"), before, "a dry run writes nothing");
    let done = told(&kms(&[&rotate[..], &["--json"]].concat()));
    assert_eq!((&done["resources"][0]["rotated"], &done["resources"][0]["failed"]), (&500.into(), &0.into()));

    let new = transformer(&config, 0);
    for n in 0..500 {
        let plain = if n == 7 { "k8s\0plain".into() } else { format!("secret {n}") };
        assert_eq!(read(&new, &path_of(n), &server.all(&path_of(n))[&path_of(n)]), (plain, false));
    }
    strange.iter().for_each(|(key, value)| assert_eq!(server.all(key)[*key], value.as_bytes()));
    assert_eq!(kms(&status).status.code(), Some(0));
    let again = told(&kms(&[&rotate[..], &["--json"]].concat()));
    assert_eq!(
        (&again["resources"][0]["rotated"], &again["resources"][0]["current"]),
        (&0.into(), &500.into())
    );
}

/// One that nobody can read is told, and the others are rotated all the same.
#[test]
fn what_cannot_be_read_is_told_and_stays_as_it_is() {
    let folder = Folder::new("k8s-etcd-unreadable");
    let (server, config) = (Server::start(&folder), config(&folder));
    let (url, old) = (server.url(), transformer(&config, 1));
    let foreign = b"k8s:enc:aescbc:v1:gone:0123456789abcdef0123456789abcdef";
    let altered = [&write(&old, &path_of(1), "x")[..], b"!"].concat();
    server.put(&path_of(0), &write(&old, &path_of(0), "good"));
    server.put(&path_of(1), &altered);
    server.put(&path_of(2), foreign);
    let rotated = kms(&["rotate", "--etcd", &url, "--config", &config, "--json"]);
    assert!(![Some(0), Some(10)].contains(&rotated.status.code()), "{rotated:?}");
    let report = &told(&rotated)["resources"][0];
    assert_eq!((&report["rotated"], &report["failed"]), (&1.into(), &2.into()), "{report}");
    let files: Vec<_> = report["failures"].as_array().unwrap().iter().map(|f| &f["path"]).collect();
    assert_eq!(files, [&path_of(1), &path_of(2)]);
    assert_eq!(
        (&server.all(&path_of(1))[&path_of(1)][..], &server.all(&path_of(2))[&path_of(2)][..]),
        (&altered[..], &foreign[..])
    );
    let status = told(&kms(&["status", "--etcd", &url, "--config", &config, "--json"]));
    assert_eq!(status["resources"][0]["unreadable"], 2, "{status}");
}

/// An aescbc key of the right name and another secret opens one value in 256.
#[test]
fn what_a_wrong_key_opens_takes_no_values_place() {
    let folder = Folder::new("k8s-etcd-cbc");
    let server = Server::start(&folder);
    let with = |secret: u8| {
        let cbc = format!("aescbc: {{keys: [{{name: old, secret: {}}}]}}", base64(&[secret; 32]));
        let text = fs::read_to_string(config(&folder)).unwrap();
        let aesgcm = text.lines().find(|line| line.contains("aesgcm")).unwrap();
        let path = folder.0.join(format!("cbc-{secret}.yaml"));
        fs::write(&path, text.replace(aesgcm, &format!("  - {cbc}"))).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (url, right, wrong) = (server.url(), with(1), with(9));
    let old = transformer(&right, 1);
    let value =
        |n: usize| (path_of(n), write(&old, &path_of(n), &format!("k8s\0 secret {n}, and more of it")));
    server.put_all(&(0..3000).map(value).collect::<Vec<_>>());
    let before = server.all("/registry/secrets/");
    let rotate = |config: &str| told(&kms(&["rotate", "--etcd", &url, "--config", config, "--json"]));
    let report = &rotate(&wrong)["resources"][0];
    assert_eq!((&report["rotated"], &report["failed"]), (&0.into(), &3000.into()), "{report}");
    assert!(server.all("/registry/secrets/") == before);
    // Objects of the right key are rotated, and so is what is stored as JSON.
    let json = write(&old, &path_of(3000), r#"{"apiVersion":"example.com/v1","kind":"Panda"}"#);
    server.put(&path_of(3000), &json);
    let report = &rotate(&right)["resources"][0];
    assert_eq!((&report["rotated"], &report["failed"]), (&3001.into(), &0.into()), "{report}");
}

/// `deployments` of no group lie where `deployments.apps` do, and another entry may be for these.
#[test]
fn values_are_not_rotated_as_those_of_another_group() {
    let folder = Folder::new("k8s-etcd-group");
    let server = Server::start(&folder);
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - resources: [deployments.apps, events]\n  providers: [{{identity: {{}}}}]\n\
         - resources: ['*.*']\n  providers:\n{:2}- secretbox: {{keys: [{{name: new, secret: {}}}]}}\n\
         {:2}- identity: {{}}\n",
        "",
        base64(&[2; 32]),
        "",
    );
    let config = folder.0.join("encryption.yaml");
    fs::write(&config, text).unwrap();
    server.put("/registry/deployments/default/a", b"k8s\0plain");
    server.put("/registry/events/default/a", b"k8s\0plain");
    let before = server.all("/registry/");
    for resource in ["deployments", "events.events.k8s.io"] {
        let rotate = ["rotate", "--etcd", &server.url(), "--config", config.to_str().unwrap()];
        let output = kms(&[&rotate[..], &["--resource", resource]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("with their group"), "{output:?}");
        assert!(server.all("/registry/") == before, "{resource}");
    }
}

#[test]
fn mistakes_say_what_is_wrong() {
    let folder = Folder::new("k8s-etcd-mistakes");
    let (server, config) = (Server::start(&folder), config(&folder));
    let url = server.url();
    let dead = format!("http://127.0.0.1:{}", server.port + 1);
    for (args, said) in [
        (&["--etcd", &*dead, "--config", &config][..], "etcd"),
        (&["--etcd", "ftp://x", "--config", &config], "http://HOST:PORT"),
        (&["--etcd", "https://127.0.0.1:1", "--config", &config], "--cacert"),
        (&["--etcd", &url, "--config", "/nowhere.yaml"], "/nowhere.yaml"),
        (&["--etcd", &url, "--config", &config, "--resource", "configmaps"], "configmaps"),
        (&["--etcd", &url, "--config", &config, "--resource", "*.*"], "*.*"),
    ] {
        for command in ["status", "rotate"] {
            let output = kms(&[&[command][..], args].concat());
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && text.contains(said), "{command} {args:?}: {text}");
        }
    }
    // One member is down: the next one answers.
    let both = format!("{dead},{url}");
    assert!(kms(&["status", "--etcd", &both, "--config", &config]).status.success());
}

fn openssl(folder: &Folder, args: &str) {
    let made = Command::new("openssl").args(args.split(' ')).current_dir(&folder.0).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// An authority, and certificates that it signed for etcd and for a client.
fn certificates(folder: &Folder) {
    openssl(folder, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca");
    for name in ["server", "client"] {
        openssl(
            folder,
            &format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"),
        );
        fs::write(folder.0.join("ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        let sign = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext";
        openssl(folder, &format!("x509 -req -in {name}.csr -out {name}.pem {sign}"));
    }
}

#[test]
fn etcd_is_known_by_its_certificate_and_knows_us_by_ours() {
    let folder = Folder::new("k8s-etcd-tls");
    certificates(&folder);
    let file = |name: &str| folder.0.join(name).to_str().unwrap().to_owned();
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(file);
    let (of_server, its_key) = (file("server.pem"), file("server.key"));
    let asked =
        ["--client-cert-auth", "--trusted-ca-file", &ca, "--cert-file", &of_server, "--key-file", &its_key];
    let server = Server::spawn(&folder, "https", &asked);
    let (url, config) = (server.url(), config(&folder));
    let status = |more: &[&str]| kms(&[&["status", "--etcd", &url, "--config", &config][..], more].concat());
    let begun = Instant::now();
    let mut ready = status(&["--cacert", &ca, "--cert", &cert, "--key", &key]);
    while !ready.status.success() && begun.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(100));
        ready = status(&["--cacert", &ca, "--cert", &cert, "--key", &key]);
    }
    assert!(ready.status.success(), "{ready:?}");
    // Nobody in particular; and an authority that did not sign etcd's.
    let without = status(&["--cacert", &ca]);
    assert_eq!(without.status.code(), Some(7), "{without:?}");
    let stranger = status(&["--cacert", &cert, "--cert", &cert, "--key", &key]);
    assert_eq!(stranger.status.code(), Some(7), "{stranger:?}");
    let no_pem = status(&["--cacert", &config, "--cert", &cert, "--key", &key]);
    assert!(!no_pem.status.success(), "{no_pem:?}");
}

#[test]
fn etcd_knows_us_as_a_user() {
    let folder = Folder::new("k8s-etcd-user");
    let (server, config) = (Server::start(&folder), config(&folder));
    server.put(&path_of(1), &write(&transformer(&config, 1), &path_of(1), "secret"));
    server.call("auth/role/add", &json!({ "name": "root" }));
    server.call("auth/user/add", &json!({ "name": "root", "password": "PASSWORDMARKER" }));
    server.call("auth/user/grant", &json!({ "user": "root", "role": "root" }));
    server.call("auth/enable", &json!({}));
    let (url, right, wrong) = (server.url(), folder.0.join("right"), folder.0.join("wrong"));
    fs::write(&right, "PASSWORDMARKER\n").unwrap();
    fs::write(&wrong, "guess\n").unwrap();
    let rotate = |more: &[&str]| kms(&[&["rotate", "--etcd", &url, "--config", &config][..], more].concat());
    for refused in [rotate(&[]), rotate(&["--user", "root", "--password-file", wrong.to_str().unwrap()])] {
        assert_eq!(refused.status.code(), Some(6), "{refused:?}");
    }
    let done = rotate(&["--user", "root", "--password-file", right.to_str().unwrap()]);
    assert!(done.status.success() && String::from_utf8_lossy(&done.stdout).contains("1 rotated"), "{done:?}");
    let said = [done.stdout, done.stderr].concat();
    assert!(!String::from_utf8_lossy(&said).contains("MARKER"));
}

/// With writers that never stop, and a tool that is killed again and again.
#[test]
fn rotation_under_load_loses_and_overwrites_nothing() {
    under_load(3000, 4);
}

#[test]
#[ignore = "minutes: tests/run --all"]
fn a_hundred_thousand_values_are_rotated_under_load() {
    under_load(100_000, 12);
}

fn under_load(count: usize, kills: usize) {
    let folder = Folder::new("k8s-etcd-load");
    let (server, config) = (Server::start(&folder), config(&folder));
    let (url, old, new) = (server.url(), transformer(&config, 1), transformer(&config, 0));
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for some in (0..count).collect::<Vec<_>>().chunks(1000) {
        let value = |n: &usize| (path_of(*n), write(&old, &path_of(*n), &format!("{n} at first")));
        server.put_all(&some.iter().map(value).collect::<Vec<_>>());
        last.extend(some.iter().map(|n| (path_of(*n), format!("{n} at first"))));
    }
    let (last, is_over, writes) = (Mutex::new(last), AtomicBool::new(false), AtomicUsize::new(0));
    let begun = Instant::now();
    let mut kill = 0;
    thread::scope(|scope| {
        for writer in 0..2usize {
            let (server, old, new, last, is_over, writes) = (&server, &old, &new, &last, &is_over, &writes);
            scope.spawn(move || {
                let mut random = 0x9e37_79b9_7f4a_7c15u64 ^ writer as u64;
                while !is_over.load(SeqCst) {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    // Each has keys of its own: what it wrote last is what must be there at the end.
                    let n = (random >> 33) as usize % (count / 2) * 2 + writer;
                    let write_no = writes.fetch_add(1, SeqCst);
                    let text = format!("{n} at write {write_no}");
                    // A server that has not heard of the new key yet, and one that has.
                    let value = write(if write_no.is_multiple_of(3) { old } else { new }, &path_of(n), &text);
                    server.put(&path_of(n), &value);
                    last.lock().unwrap().insert(path_of(n), text);
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
        let rotate = || {
            let mut command = Command::new(PROGRAM);
            command.args(["k8s", "rotate", "--etcd", &url, "--config", &config, "--json"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        for _ in 0..kills {
            let mut tool = rotate();
            thread::sleep(Duration::from_millis(60 + (kill * 37 % 11) as u64 * count as u64 / 300));
            kill += usize::from(tool.try_wait().unwrap().is_none());
            tool.kill().unwrap();
            tool.wait().unwrap();
        }
        assert!(rotate().wait().unwrap().success());
        is_over.store(true, SeqCst);
    });
    assert!(kill > 0, "it was never killed at work");
    let seconds = begun.elapsed().as_secs_f64();
    // Writers of the old key may have come after the tool.
    let last = last.into_inner().unwrap();
    let report = kms(&["rotate", "--etcd", &url, "--config", &config, "--json"]);
    assert!(report.status.success(), "{report:?}");
    let stored: BTreeMap<_, _> =
        (0..7).flat_map(|ns| server.all(&format!("/registry/secrets/ns-{ns}/"))).collect();
    assert_eq!(stored.len(), count);
    for (path, value) in &stored {
        assert_eq!(read(&new, path, value), (last[path].clone(), false), "{path}");
    }
    println!("{count} values, {} writes meanwhile, killed {kill} times, {seconds:.1} s", writes.into_inner());
}
