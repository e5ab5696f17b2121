//! The program `kms`, as a shell runs it: what it does, what it says, what it leaves behind.
#![cfg(unix)]
use libkms::{Aad, Copies, EncryptionContext, Kms, Scope, SealOptions, Wait, kek::Keyring};
use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kms");
const KEK: &str = "--kek local:ring#k";
/// No output may hold it.
const AAD: &str = "aad-that-is-not-told";
/// Around chunks, and around what is copied at once.
const SIZES: [usize; 9] = [0, 1, 16383, 16384, 16385, 32768, 65536, 65537, (1 << 20) + 1];

#[test]
fn files_come_back() {
    let home = Home::with_ring("back");
    for size in SIZES {
        let text = bytes(size);
        home.write("a", &text);
        let ran = home.done(&format!("seal a {KEK} --aad {AAD}"));
        assert_eq!((ran.out.len(), &*ran.err), (0, ""));
        assert_eq!(home.read("a"), text, "the input stays");
        let about = home.inspect("a.kms");
        assert_eq!(about["plaintext_size"], size, "{about}");
        assert_eq!(about["sealed_size"], home.read("a.kms").len());
        assert_eq!(about["copies"], 1 + usize::from(size >= 1 << 20));
        assert_eq!(about["suite"], 2);
        home.remove("a");
        let ran = home.done(&format!("open a.kms {KEK} --aad {AAD}"));
        assert_eq!((ran.out.len(), &*ran.err), (0, ""));
        assert_eq!(home.read("a"), text);
        assert_eq!(home.done(&format!("open -o - a.kms {KEK} --aad {AAD}")).out, text);
        home.done(&format!("open -o b a.kms --opens-with local:ring#k --aad {AAD}"));
        assert_eq!(home.read("b"), text);
        for f in ["a", "b", "a.kms"] {
            home.remove(f);
        }
    }
}

#[test]
fn pipes_come_back() {
    let home = Home::with_ring("pipes");
    for (size, dash) in SIZES.into_iter().zip([" -", ""].into_iter().cycle()) {
        let text = bytes(size);
        let sealed = home.feed(&format!("seal{dash} {KEK}"), &text);
        assert_eq!((sealed.code, &*sealed.err), (0, ""));
        let opened = home.feed(&format!("open{dash} {KEK}"), &sealed.out);
        assert_eq!((opened.code, &*opened.err), (0, ""));
        assert_eq!(opened.out, text);
        let about = home.feed("inspect --json", &sealed.out).json();
        assert_eq!(about["copies"], 2, "the length is not known");
        assert_eq!(about["file"], "-");
        assert_eq!(
            (&about["sealed_size"], &about["plaintext_size"]),
            (&sealed.out.len().into(), &size.into())
        );
    }
    let sealed = home.feed(&format!("seal - -o a.kms --copies 1 {KEK}"), b"text");
    assert_eq!((sealed.code, sealed.out.len()), (0, 0));
    assert_eq!(home.inspect("a.kms")["copies"], 1);
    home.write("b", b"text");
    home.done(&format!("seal b --copies 2 {KEK}"));
    assert_eq!(home.inspect("b.kms")["copies"], 2);
}

#[test]
fn a_pipeline_needs_little_memory() {
    let home = Home::with_ring("memory");
    let text = bytes(6 << 20);
    let sealed = home.flat(&format!("seal {KEK}"), &text);
    assert!(home.flat(&format!("open {KEK}"), &sealed) == text);
}

#[test]
fn the_users_keyring_is_made_once_and_only_to_seal() {
    let home = Home::new("default");
    home.write("a", b"text");
    home.write("x.kms", &Home::with_ring("elsewhere").sealed(b"text"));
    let ran = home.fails(1, "open x.kms");
    assert!(ran.err.contains("no keyring") && ran.err.contains("data/kms/keyring.json"), "{}", ran.err);
    assert!(!home.path("data").exists(), "open makes none");
    let ran = home.done("seal a");
    assert!(ran.err.contains("data/kms/keyring.json") && ran.err.contains("back it up"), "{}", ran.err);
    assert_eq!((home.mode("data/kms"), home.mode("data/kms/keyring.json")), (0o700, 0o600));
    let ran = home.done("seal a --force");
    assert_eq!(ran.err, "", "told once");
    home.remove("a");
    home.done("open a.kms");
    assert_eq!(home.read("a"), b"text");
    home.fails(5, "open -o y x.kms");

    let home = Home::new("default-home");
    home.write("a", b"text");
    for ignored in ["", "relative"] {
        let mut kms = home.kms("seal a --force");
        assert_eq!(run(kms.env("XDG_DATA_HOME", ignored), b"").code, 0);
        assert_eq!(home.mode(".local/share/kms"), 0o700);
    }
    let mut kms = home.kms("seal a --force");
    assert_eq!(run(kms.env_remove("XDG_DATA_HOME").env_remove("HOME"), b"").code, 2);
}

#[test]
fn a_first_pipeline_works() {
    let home = Home::new("first");
    let line = "(sleep 0.2; echo text) | \"$0\" seal - | \"$0\" open -";
    let out = home.shell(line).output().unwrap();
    assert_eq!(out.stdout, b"text\n", "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn keys_live_and_die() {
    let home = Home::with_ring("keys");
    home.write("a", b"text");
    home.done(&format!("seal a {KEK}"));
    let ran = home.done("keyring rotate ring --key k");
    assert!(ran.err.contains("k/2 wraps") && ran.err.contains("back up"), "{}", ran.err);
    home.done(&format!("seal a -o b {KEK}"));
    assert_eq!(home.inspect("b")["recipients"][0]["key_id"], "k/2");
    home.done(&format!("open a.kms -o - {KEK}"));

    home.done("keyring disable ring --key k --key-version 1");
    let ran = home.fails(6, &format!("open a.kms -o - {KEK}"));
    assert!(ran.err.contains("k/1 is disabled"), "{}", ran.err);
    home.done("keyring enable ring --key k --key-version 1");
    home.done(&format!("open a.kms -o - {KEK}"));
    home.fails(2, "keyring destroy ring --key k --key-version 1");
    home.fails(2, "keyring destroy ring --key k --key-version 1 --confirm k/2");
    home.done(&format!("open a.kms -o - {KEK}"));
    home.fails(2, "keyring destroy ring --key k --key-version 2 --confirm k/2");
    home.fails(2, "keyring destroy ring --key k --key-version 1 --confirm k/1");
    home.done("keyring disable ring --key k --key-version 1");
    home.done("keyring destroy ring --key k --key-version 1 --confirm k/1");
    home.fails(6, &format!("open a.kms -o - {KEK}"));
    home.done(&format!("open b -o - {KEK}"));

    home.done("keyring add ring --key other");
    home.fails(2, "keyring add ring --key other");
    home.fails(2, "keyring rotate ring --key nobody");
    home.fails(1, "keyring rotate missing --key k");
    let listed = home.done("keyring list ring");
    let text = listed.text();
    assert!(
        text.contains("k/1  20") && text.contains("destroyed") && text.contains("enabled, wraps"),
        "{text}"
    );
    let list = home.done("keyring list ring --json").json();
    assert_eq!(list[0]["primary"], 2);
    assert_eq!(list[0]["versions"][0]["state"], "destroyed");
    assert_eq!(list[1]["name"], "other");
    assert!(!list.to_string().contains("material"));
    assert_eq!(home.mode("ring"), 0o600);
}

#[test]
fn files_get_other_keks() {
    let home = Home::with_ring("rewrap");
    for (name, options) in [("a", "--copies 2 --context p=q"), ("b", "--copies 1 --context p=q"), ("c", "")] {
        home.write(name, name.repeat(100).as_bytes());
        home.done(&format!("seal {name} {KEK} {options}"));
    }
    let key = |name: &str| home.inspect(name)["recipients"].to_string();
    let report = |command: &str| home.done(command).text().lines().next().unwrap().to_owned();
    assert_eq!(
        report(&format!("rewrap a.kms b.kms --context p=q {KEK}")),
        "0 rewrapped, 2 current, 0 failed"
    );
    home.done("keyring rotate ring --key k");
    // The context of two must be named; of the third one there is none.
    let ran = home.fails(8, &format!("rewrap -r . {KEK}"));
    assert_eq!(
        ran.text(),
        "1 rewrapped, 0 current, 2 failed\nlocal:k/1: 3 before, 2 after\nlocal:k/2: 0 before, 1 after\n"
    );
    assert!(ran.err.contains("--context p=q"), "{}", ran.err);
    assert_eq!(report(&format!("rewrap -r . --stored-context {KEK}")), "2 rewrapped, 1 current, 0 failed");
    for name in ["a", "b", "c"] {
        assert!(key(&format!("{name}.kms")).contains("k/2"));
        let opened = home.done(&format!("open {name}.kms -o - --stored-context {KEK}")).out;
        assert_eq!(opened, name.repeat(100).as_bytes());
    }
    // Another KEK, and the old one only opens: the recipients are exactly the --kek ones.
    home.done("keyring create other --key o");
    let both = "--kek local:other#o --opens-with local:ring#k";
    assert_eq!(report(&format!("rewrap c.kms {both}")), "1 rewrapped, 0 current, 0 failed");
    home.fails(5, &format!("open c.kms -o - {KEK}"));
    home.done("open c.kms -o - --kek local:other#o");
    // What cannot be: a wrong key, no envelope, nothing there, no permission to write.
    home.fails(5, &format!("rewrap c.kms {KEK}"));
    home.write("junk.kms", b"junk");
    home.fails(4, &format!("rewrap junk.kms {KEK}"));
    home.fails(1, &format!("rewrap missing.kms {KEK}"));
    home.fails(2, "rewrap");
    home.fails(2, &format!("rewrap c.kms --opens-with local:other#o {KEK} --aad x"));
    assert_eq!(home.read("junk.kms"), b"junk");
}

#[test]
fn keyrings() {
    let home = Home::new("keyrings");
    let ran = home.done("keyring create ring --key k");
    assert!(ran.out.is_empty() && ran.err.contains("back it up"));
    assert_eq!(home.mode("ring"), 0o600);
    home.fails(1, "keyring create ring --key k");
    home.fails(1, "keyring create missing/ring --key k");
    home.fails(2, "keyring create other --key a/b");
    home.fails(2, "keyring create other");
    assert!(!home.path("other").exists());

    home.write("a", b"text");
    home.done(&format!("seal a {KEK}"));
    for (code, kek) in [
        (1, "local:missing#k"),
        (2, "local:ring#other"),
        (2, "local:ring#k?creat=true"),
        (2, "local:"),
        (2, "aws:alias/x"),
        (2, "nothing"),
        (2, "pkcs11:token=t?pin-value=secret-pin"),
    ] {
        for command in ["seal a -o b", "open a.kms -o b"] {
            let ran = home.fails(code, &format!("{command} --kek {kek}"));
            assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
            assert!(!ran.err.contains("secret-pin") && !home.path("b").exists());
        }
    }
    home.fails(2, "seal a -o b --opens-with local:ring#k");
    for (code, from, to) in
        [(6, "\"enabled\"", "\"disabled\""), (4, "keyring/1", "keyring/2"), (4, "\"k\"", "\"k\",")]
    {
        home.write("bad", &replace(&home.read("ring"), from, to));
        home.chmod("bad", 0o600);
        home.fails(code, "seal a -o b --kek local:bad#k");
        home.fails(code, "open a.kms -o b --kek local:bad#k");
    }
    home.chmod("ring", 0o640);
    let ran = home.fails(2, &format!("seal a -o b {KEK}"));
    assert!(ran.err.contains("chmod 600"));
    assert!(!home.path("b").exists());
}

#[test]
fn keyrings_have_passphrases() {
    let home = Home::new("passphrases");
    home.secret("one", "one two three\n");
    home.secret("new", "four\r\n");
    home.done("keyring create ring --key k --passphrase-file one");
    assert!(home.done("keyring list ring").text().starts_with("under a passphrase\nk/1  20"));
    assert_eq!(home.done("keyring list ring --json").json()[0]["passphrase"], true);
    let kek = "--kek local:ring#k?passphrase-file=one";
    home.write("a", b"text");
    home.done(&format!("seal a {kek}"));
    home.done(&format!("open a.kms -o - {kek}"));
    assert_eq!(home.one_two_three(&format!("open a.kms -o - {KEK}?passphrase-env=P")).out, b"text");

    // What needs a key needs the passphrase, and nothing else does.
    home.one_two_three("keyring rotate ring --key k --passphrase-env P");
    home.done("keyring add ring --key other --passphrase-file one");
    home.done("keyring disable ring --key k --key-version 1");
    let ran = home.fails(6, &format!("open a.kms -o - {kek}"));
    assert!(ran.err.contains("k/1 is disabled"), "{}", ran.err);
    home.done("keyring enable ring --key k --key-version 1 --passphrase-file one");
    for line in ["add ring --key x", "rotate ring --key k", "passphrase ring", "passphrase ring --remove"] {
        let ran = home.alone(&format!("keyring {line}"));
        assert!(ran.code == 2 && ran.err.contains("no terminal") && ran.err.contains("--passphrase-file"));
    }
    let ran = home.alone(&format!("open a.kms -o - {KEK}"));
    assert!(ran.code == 2 && ran.err.contains("?passphrase-file=PATH"), "{}", ran.err);

    // Changed, taken off, put on: the file that was sealed at first opens throughout.
    home.done("keyring passphrase ring --passphrase-file one --new-passphrase-file new");
    for wrong in [format!("open a.kms -o - {kek}"), "keyring list ring --passphrase-file one".into()] {
        let ran = home.fails(3, &wrong);
        assert!(ran.err.contains("wrong passphrase") && !ran.err.contains("two"), "{}", ran.err);
    }
    home.done(&format!("open a.kms -o - {KEK}?passphrase-file=new"));
    home.done("keyring passphrase ring --passphrase-file new --remove");
    home.done(&format!("open a.kms -o - {KEK}"));
    assert_eq!(home.done("keyring list ring --json").json()[0]["passphrase"], false);
    home.fails(2, "keyring passphrase ring --remove");
    home.one_two_three("keyring passphrase ring --new-passphrase-env P");
    home.done(&format!("open a.kms -o - {kek}"));
    assert_eq!(home.mode("ring"), 0o600);
    home.fails(1, "keyring create ring --key k --passphrase-file one");
    home.done("seal a -o b --kek local:made#k?create=true&passphrase-file=one");
    home.fails(2, "seal a --force --kek local:made#k");
}

#[test]
fn f64_a_passphrase_that_is_named_must_be_there() {
    let home = Home::with_ring("named");
    home.secret("one", "one");
    home.secret("empty", "\n");
    home.secret("open", "one");
    home.chmod("open", 0o644);
    home.write("a", b"text");
    let ring = home.read("ring");
    for line in [
        "keyring add ring --key x",
        "keyring rotate ring --key k",
        "keyring enable ring --key k --key-version 1",
        "keyring list ring",
        "keyring passphrase ring --remove",
    ] {
        let ran = home.fails(2, &format!("{line} --passphrase-file one"));
        assert!(ran.err.contains("it has no passphrase"), "{}", ran.err);
        home.fails(2, &format!("{line} --passphrase-file one --passphrase-env HOME"));
    }
    let ran = home.fails(2, &format!("seal a {KEK}?passphrase-file=one"));
    assert!(ran.err.contains("it has no passphrase") && !home.path("a.kms").exists());
    for bad in ["empty", "open"] {
        home.fails(2, &format!("keyring create new --key k --passphrase-file {bad}"));
    }
    home.fails(1, "keyring create new --key k --passphrase-file missing");
    home.fails(2, "keyring create new --key k --passphrase-env LIBKMS_TEST_NO_SUCH_VARIABLE");
    home.fails(2, "keyring create new --key k --passphrase --passphrase-env HOME");
    home.fails(2, "keyring passphrase ring --remove --new-passphrase-file one");
    home.fails(2, "seal a --kek local:ring#k?passphrase=one");
    assert!(home.read("ring") == ring && !home.path("new").exists());
}

/// Memory that the file asks for, within the format's limits, and that is not there.
#[test]
fn argon2id_without_memory_is_an_error() {
    let home = Home::new("no-memory");
    home.secret("one", "one");
    home.done("keyring create ring --key k --passphrase-file one");
    home.write("ring", &replace(&home.read("ring"), "65536", "4194304"));
    let line = "ulimit -v 1000000; exec \"$0\" keyring rotate ring --key k --passphrase-file one";
    let ran = run(&mut home.shell(line), b"");
    assert!(ran.code == 1 && ran.err.contains("no memory for Argon2id"), "{} {}", ran.code, ran.err);
}

#[test]
fn what_is_not_authentic_leaves_nothing() {
    let home = Home::with_ring("authentic");
    home.done("keyring create other --key k");
    home.write("a", &bytes(40000));
    let seal = format!("seal a {KEK} --context t=1 --aad {AAD}");
    let open = format!("open bad.kms {KEK} --context t=1 --aad {AAD}");
    home.done(&seal);
    let good = home.read("a.kms");
    home.write("bad.kms", &good);
    home.remove("a");
    for (code, other) in [
        (3, open.replace("t=1", "t=2")),
        (3, format!("{open} --context u=")),
        (3, open.replace(AAD, "x")),
        (3, open.replace(&format!("--aad {AAD}"), "")),
        (3, open.replace("ring#k", "other#k")),
        (8, open.replace("--context t=1", "")),
    ] {
        let ran = home.fails(code, &other);
        assert!(ran.err.starts_with("kms: bad.kms: ") && ran.err.lines().count() == 1, "{}", ran.err);
        assert!(home.fails(code, &format!("{other} --verify")).out.is_empty());
        assert!(!home.path("bad").exists());
    }
    let header = home.inspect("a.kms")["header_length"].as_u64().unwrap() as usize;
    for at in [header - 1, header, header + 24, header + 56, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        home.write("bad.kms", &bad);
        home.fails(3, &open);
    }
    let chunk = |n: usize| header + 56 + n * 16400;
    for (code, len) in [
        (4, 0),
        (4, 3),
        (4, header - 1),
        (4, header),
        (4, header + 71),
        (3, header + 72),
        (3, chunk(1)),
        (3, chunk(2)),
        (3, chunk(2) + 15),
        (3, good.len() - 1),
    ] {
        home.write("bad.kms", &good[..len]);
        home.fails(code, &open);
        home.fails(code, &format!("{open} --verify"));
    }
    home.write("bad.kms", &[&good[..], b"x"].concat());
    home.fails(3, &open);
    for (at, bit) in [(0, 1), (4, 3), (5, 4), (6, 4), (7, 0x10), (8, 0x80)] {
        let mut bad = good.clone();
        bad[at] ^= bit;
        home.write("bad.kms", &bad);
        home.fails(4, &open);
    }
    assert!(!home.path("bad").exists());
    // To a pipe goes what is authentic, and the exit code tells.
    let ran = home.feed(&open.replace("bad.kms", "-"), &good[..chunk(2)]);
    assert_eq!(ran.code, 3);
    assert!(bytes(40000).starts_with(&ran.out));
    assert!(home.done(&format!("{} --verify", open.replace("bad", "a"))).out.is_empty());
    assert!(!home.path("a").exists());
}

#[test]
fn a_stored_context_is_asked_for() {
    let home = Home::with_ring("context");
    let context = ["tenant=7", "purpose=it's a $(back up)", "empty=", "equation=a=b", "ключ=ü🔑"];
    let options = context.iter().flat_map(|c| ["--context", c]);
    let sealed = run(home.kms(&format!("seal {KEK}")).args(options), b"text").out;
    home.write("a.kms", &sealed);
    let ran = home.fails(8, &format!("open a.kms {KEK}"));
    assert!(ran.err.contains("--stored-context"), "{}", ran.err);
    home.opens_as_told(&ran.err, b"text");
    home.fails(8, &format!("open a.kms --verify {KEK}"));
    home.fails(8, &format!("open a.kms --range 0..1 {KEK}"));
    home.fails(3, &format!("open a.kms {KEK} --context tenant=7"));
    home.fails(2, &format!("open a.kms {KEK} --context tenant=7 --stored-context"));
    let ran = home.done(&format!("open a.kms --stored-context {KEK}"));
    assert_eq!(home.read("a"), b"text");
    home.opens_as_told(&ran.err, b"text");

    home.write("b.kms", &home.seal(&[], &SealOptions::new(), b"text"));
    assert!(home.fails(8, &format!("open b.kms --stored-context {KEK}")).err.contains("stores no context"));
    home.done(&format!("open b.kms {KEK}"));
    home.write("c.kms", &home.sealed(b"text"));
    home.done(&format!("open c.kms {KEK}"));
    home.done(&format!("open c.kms -o d --stored-context {KEK}"));
    home.fails(2, &format!("seal d {KEK} --context novalue"));
    home.fails(2, &format!("seal d {KEK} --context =v"));
    home.fails(2, &format!("seal d {KEK} --context k=1 --context k=2"));
    home.fails(2, &format!("seal d {KEK} --context libkms-k=1"));
}

#[test]
fn a_hostile_context_reaches_no_terminal() {
    let home = Home::with_ring("hostile");
    let value = "\u{1b}]0;x\u{7}\u{9b}31m\r\n  recipient  local fake/1\u{202e}\u{7f}\\'\"";
    let options = SealOptions::new().store_context();
    home.write("a.kms", &home.seal(&[("k", value), ("\u{202e}key", "v")], &options, b"text"));
    let text = home.done("inspect a.kms");
    assert_eq!(text.text().matches("\n  recipient ").count(), 1, "{}", text.text());
    let json = home.done("inspect --json a.kms");
    assert!(!json.text().contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{7f}']));
    assert_eq!(json.json()["stored_context"]["k"], value);
    let ran = home.fails(8, &format!("open a.kms {KEK}"));
    home.opens_as_told(&ran.err, b"text");
    let ran = home.done(&format!("open a.kms --stored-context {KEK}"));
    home.opens_as_told(&ran.err, b"text");
    // No option can name these.
    for pair in [("a=b", "c"), ("k", "a\0b")] {
        home.write("b.kms", &home.seal(&[pair], &options, b"text"));
        let ran = home.fails(8, &format!("open b.kms {KEK}"));
        assert!(ran.err.contains("cannot be named") && !ran.err.contains("--context "), "{}", ran.err);
        home.done(&format!("open b.kms --stored-context --force {KEK}"));
    }
    let name = "a\n\u{1b}[2Jkms: b: fine.kms";
    home.write(name, b"nothing");
    for line in ["inspect", &format!("open {KEK}")] {
        let ran = run(home.kms(line).arg(name), b"");
        assert_eq!((ran.code, ran.err.lines().count()), (4, 1), "{}", ran.err);
    }
    let name = OsStr::from_bytes(b"no-\xff-text.kms");
    fs::write(home.0.join(name), home.sealed(b"text")).unwrap();
    assert_eq!(run(home.kms("inspect --json").arg(name), b"").json()["file"], "no-\u{fffd}-text.kms");
    assert_eq!(run(home.kms(&format!("open {KEK}")).arg(name), b"").code, 0);
    assert_eq!(fs::read(home.0.join(OsStr::from_bytes(b"no-\xff-text"))).unwrap(), b"text");
}

#[test]
fn ranges() {
    let home = Home::with_ring("ranges");
    let text = bytes(3 * 16384 + 100);
    home.write("a", &text);
    home.done(&format!("seal a --copies 2 {KEK} --aad {AAD}"));
    let range = |r: &str| format!("open a.kms --range {r} {KEK} --aad {AAD}");
    let borders =
        [0, 1, 16383, 16384, 16385, 2 * 16384, 3 * 16384 - 1, 3 * 16384, text.len() - 1, text.len()];
    for (i, from) in borders.into_iter().enumerate() {
        for to in &borders[i..] {
            assert_eq!(home.done(&range(&format!("{from}..{to}"))).out, &text[from..*to], "{from}..{to}");
        }
        assert_eq!(home.done(&range(&format!("{from}.."))).out, &text[from..]);
        assert_eq!(home.done(&range(&format!("..{from}"))).out, &text[..from]);
    }
    assert_eq!(home.done(&range("..")).out, text);
    let len = text.len();
    for bad in [format!("0..{}", len + 1), format!("{}..", len + 1), format!("{}..{}", len + 1, len + 2)] {
        assert!(home.fails(2, &range(&bad)).err.contains(&format!("{len} bytes")), "{bad}");
    }
    for bad in ["2..1", "1", "a..b", "..-1", "0..18446744073709551616", "1...2"] {
        home.fails(2, &range(bad));
    }
    home.done(&(range("1..3") + " -o part"));
    assert_eq!(home.read("part"), &text[1..3]);
    home.fails(1, &(range("1..3") + " -o part"));
    home.fails(2, &(range("1..3") + " a.kms"));
    home.fails(2, &(range("1..3") + " -r ."));
    home.fails(2, &(range("1..3") + " --verify"));
    assert_eq!(home.feed(&range("1..3").replace("a.kms", "-"), &home.read("a.kms")).code, 2);
    home.fails(3, &range("1..3").replace(AAD, "x"));
    home.fails(3, &(range("0..0").replace(AAD, "x")));
    // A file cut at a chunk: what is there proves itself, and not that it is all.
    let cut = home.read("a.kms")[..8192 + 56 + 2 * 16400 + 16].to_vec();
    home.write("a.kms", &cut);
    assert_eq!(home.done(&range("1..30000")).out, &text[1..30000]);
    home.fails(3, &range("1.."));
    home.fails(3, &range("1..40000"));
    home.write("b.kms", &home.one_shot(b"text"));
    assert!(home.fails(2, &format!("open b.kms --range 0..1 {KEK}")).err.contains("suite 2"));
}

/// The option of records whose header is kept in `H`.
const HEADER: &str = "--header H --kek local:ring#k";

#[test]
fn references_come_back() {
    let home = Home::with_ring("references");
    for size in SIZES {
        let text = bytes(size);
        home.write("a", &text);
        let ran = home.done(&format!("seal a {HEADER} --aad {AAD}"));
        assert_eq!((ran.out.len(), &*ran.err), (0, ""));
        let sealed = home.read("a.kms");
        assert_eq!(sealed.len(), 38 + 56 + size + (size / 16384 + 1) * 16);
        let about = home.inspect("a.kms");
        assert_eq!((&about["kind"], &about["suite"]), (&"reference".into(), &2.into()));
        assert_eq!((&about["copies"], &about["header_length"]), (&serde_json::Value::Null, &38.into()));
        assert_eq!((&about["sealed_size"], &about["plaintext_size"]), (&sealed.len().into(), &size.into()));
        assert_eq!(about["commitment"], hex(&home.read("H")[10..42]));
        home.remove("a");
        let ran = home.done(&format!("open a.kms {HEADER} --aad {AAD}"));
        assert_eq!((ran.out.len(), &*ran.err), (0, ""));
        assert_eq!(home.read("a"), text);
        home.done(&format!("open a.kms {HEADER} --aad {AAD} --verify"));
        home.fails(3, &format!("open a.kms {HEADER} --verify"));
        // Through pipes, of a length that is not known.
        let sealed = home.feed(&format!("seal {HEADER}"), &text);
        assert_eq!((sealed.code, sealed.out.len()), (0, 38 + 56 + size + (size / 16384 + 1) * 16));
        let opened = home.feed(&format!("open {HEADER}"), &sealed.out);
        assert_eq!((opened.code, &*opened.err), (0, ""));
        assert_eq!(opened.out, text);
        let about = home.feed("inspect --json", &sealed.out).json();
        assert_eq!((&about["kind"], &about["plaintext_size"]), (&"reference".into(), &size.into()));
        home.remove("a.kms");
    }
    assert_eq!(home.mode("H"), home.mode_of_new());
    let about = home.inspect("H");
    assert_eq!((&about["kind"], &about["copies"], &about["suite"]), (&"header".into(), &1.into(), &2.into()));
    assert_eq!(about["plaintext_size"], serde_json::Value::Null);
    assert!(home.done("inspect H").text().contains("a header alone"));
    let line = "\"$0\" seal --header NEW --kek local:ring#k | \"$0\" open --header NEW --kek local:ring#k";
    assert_eq!(run(&mut home.shell(line), b"text").out, b"text", "a first pipeline works");
}

#[test]
fn trees_and_ranges_of_references() {
    let home = Home::with_ring("references-trees");
    let text = bytes(100_000);
    fs::create_dir_all(home.path("tree/deep")).unwrap();
    for name in ["tree/a", "tree/deep/b", "tree/deep/c"] {
        home.write(name, &text);
    }
    fs::create_dir(home.path("out")).unwrap();
    home.done(&format!("seal -r tree {HEADER} --context t=1"));
    home.done(&format!("open -r tree -o out {HEADER} --context t=1"));
    assert!(home.read("out/a") == text && home.read("out/deep/b") == text);
    let range =
        |range: &str| home.done(&format!("open tree/a.kms {HEADER} --context t=1 --range {range}")).out;
    for (a, b) in [(0, 1), (16_380, 16_390), (50_000, 100_000), (7, 7)] {
        assert!(range(&format!("{a}..{b}")) == text[a..b]);
    }
    assert!(range("99999..") == text[99_999..]);
    home.fails(2, &format!("open tree/a.kms {HEADER} --context t=1 --range 5..100001"));
    // The header that lies among the files is not sealed under itself.
    home.write("tree/H", &home.read("H"));
    let ran = home.fails(2, "seal -r tree --force --header tree/H --kek local:ring#k --context t=1");
    assert!(ran.err.contains("tree/H: is the header") && !home.path("tree/H.kms").exists(), "{}", ran.err);
}

#[test]
fn a_pipeline_of_references_needs_little_memory() {
    let home = Home::with_ring("references-memory");
    let text = bytes(6 << 20);
    let sealed = home.flat(&format!("seal {HEADER}"), &text);
    assert!(home.flat(&format!("open {HEADER}"), &sealed) == text);
}

#[test]
fn the_header_comes_first_and_stays() {
    let home = Home::with_ring("references-first");
    home.write("a", b"text");
    let ran = home.fails(1, &format!("seal missing {HEADER}"));
    assert!(ran.err.contains("missing"), "{}", ran.err);
    let header = home.read("H");
    let ran = run(home.kms(&format!("seal a -o - {HEADER}")).stdout(full()), b"");
    assert_eq!(ran.code, 1);
    home.done(&format!("seal a {HEADER} --force"));
    assert!(home.read("H") == header, "never overwritten");
    // Several that begin at once agree on one.
    home.remove("H");
    let names: Vec<_> = (0..6).map(|n| format!("f{n}")).collect();
    names.iter().for_each(|n| home.write(n, n.as_bytes()));
    let seal = |name: &String| spawn(&mut home.kms(&format!("seal {name} {HEADER}")));
    let running: Vec<_> = names.iter().map(seal).collect();
    running.into_iter().for_each(|child| assert_eq!(finish(child, b"").code, 0));
    names.iter().for_each(|name| home.remove(name));
    let all: Vec<_> = names.iter().map(|n| format!("{n}.kms")).collect();
    home.done(&format!("open {} {HEADER}", all.join(" ")));
    assert!(names.iter().all(|n| home.read(n) == n.as_bytes()));
    // Where none can be made nothing is sealed.
    home.fails(1, "seal a -o b --header none/H --kek local:ring#k");
    assert!(!home.path("b").exists());
}

/// Not even --force makes a record, or a plaintext, of what all records need.
#[test]
fn no_output_takes_the_place_of_the_header() {
    let home = Home::with_ring("references-spared");
    home.write("a", b"text");
    fs::create_dir(home.path("tree")).unwrap();
    home.write("tree/H", b"text");
    home.done(&format!("seal a {HEADER}"));
    home.done("seal a -o b.kms --header tree/H.kms --kek local:ring#k");
    let kept = (home.read("H"), home.read("tree/H.kms"));
    symlink("H", home.path("link")).unwrap();
    for line in [
        format!("seal a -o H --force {HEADER}"),
        format!("seal a -o ./link --force {HEADER}"),
        format!("open a.kms -o H --force {HEADER}"),
        format!("open a.kms -o H {HEADER}"),
        format!("open a.kms -o H --range 0..2 --force {HEADER}"),
        "seal -r tree --force --header tree/H.kms --kek local:ring#k".into(),
        "seal tree/H -o tree --force --header tree/H.kms --kek local:ring#k".into(),
    ] {
        let ran = home.fails(2, &line);
        assert!(ran.err.contains("would take the place of the header"), "{line}: {}", ran.err);
        assert!((home.read("H"), home.read("tree/H.kms")) == kept, "{line}");
    }
    home.done(&format!("open a.kms --verify {HEADER}"));
}

#[test]
fn references_that_do_not_open() {
    let home = Home::with_ring("references-not");
    home.write("a", b"text");
    home.done(&format!("seal a {HEADER} --context t=1"));
    home.done("seal a -o other.kms --header H2 --kek local:ring#k --context t=1");
    home.done(&format!("seal a -o envelope.kms {KEK}"));
    home.remove("a");
    let fails = |code, line: &str, said: &str| {
        let ran = home.fails(code, &format!("{line} --kek local:ring#k --context t=1"));
        assert!(ran.err.contains(said), "{line}: {}", ran.err);
        assert!(!home.path("a").exists() && ran.out.is_empty(), "{line}");
    };
    fails(9, "open a.kms", "--header");
    fails(9, "open a.kms --header missing", "missing: there is no such header");
    fails(4, "open other.kms --header H", "not the one of this reference");
    fails(4, "open envelope.kms --header H", "not sealed with --header");
    fails(4, "open a.kms --header a.kms", "a.kms: magic");
    fails(4, "open a.kms --header ring", "ring: magic");
    fails(2, "open a.kms --header .", "not a regular file");
    fails(2, "seal H2 --header H --copies 1", "--copies");
    let good = (home.read("H"), home.read("a.kms"));
    home.write("H", &[&good.0[..], &[0]].concat());
    fails(4, "open a.kms --header H", "header");
    fails(4, "seal ring -o b --header H", "header");
    let at = good.0.len() - 1;
    home.write("H", &[&good.0[..at], &[good.0[at] ^ 1]].concat());
    fails(3, "open a.kms --header H", "not authentic");
    fails(3, "seal ring -o b --header H", "not authentic");
    home.write("H", &good.0);
    for n in [0, 3, 4, 37, 38, 38 + 71] {
        home.write("a.kms", &good.1[..n]);
        fails(4, "open a.kms --header H", "");
    }
    home.write("a.kms", &good.1[..good.1.len() - 1]);
    fails(3, "open a.kms --header H", "not authentic");
    home.write("a.kms", &good.1);

    // The context is named, or taken from the header.
    for line in ["open a.kms", "seal ring -o b"] {
        let ran = home.fails(8, &format!("{line} {HEADER}"));
        assert!(ran.err.contains("--context t=1"), "{}", ran.err);
        home.fails(3, &format!("{line} {HEADER} --context t=2"));
    }
    let ran = home.done(&format!("open a.kms -o - {HEADER} --stored-context"));
    assert_eq!(ran.out, b"text");
    assert!(ran.err.contains("--context t=1"), "{}", ran.err);
    assert!(!home.path("b").exists());

    // What a context holds, or a name, reaches no terminal.
    let hostile = "\u{1b}]0;x\u{7}\u{202e}";
    let mut seal = home.kms("seal ring -o c --kek local:ring#k --header");
    assert_eq!(run(seal.arg(hostile).args(["--context", &format!("k={hostile}")]), b"").code, 0);
    for line in ["seal ring -o d", "open c -o d", "open a.kms -o d --context t=1"] {
        let mut kms = home.kms(&format!("{line} --kek local:ring#k --header"));
        assert!(run(kms.arg(hostile), b"").code >= 4, "{line}");
        assert!(
            run(home.kms(&format!("{line} --header")).arg(format!("{hostile}2{hostile}/x")), b"").code > 0
        );
    }

    // A KEK that is not the one of the header.
    home.done("keyring create elsewhere --key k");
    home.done("keyring add elsewhere --key x");
    home.fails(5, "open a.kms --header H --kek local:elsewhere#x --context t=1");
    home.fails(5, "seal ring -o b --header H --kek local:elsewhere#x --context t=1");
    home.fails(3, "open a.kms --header H --kek local:elsewhere#k --context t=1");
    let ran = home.done("rewrap a.kms --kek local:ring#k --context t=1");
    assert_eq!(
        ran.text(),
        "0 rewrapped, 0 current, 0 failed\n1 sealed with --header, which is what to rewrap\n"
    );
    // Other keys for all of them: the header is enough.
    home.done("rewrap H --kek local:elsewhere#x --opens-with local:ring#k --context t=1");
    assert!(home.read("a.kms") == good.1 && home.read("H") != good.0);
    home.done("open a.kms --header H --kek local:elsewhere#x --context t=1");
    assert_eq!(home.read("a"), b"text");
}

#[test]
fn references_of_suite_1_open_and_are_not_made() {
    let home = Home::with_ring("references-1");
    let made = home.scope(&[]).seal_reference(Aad::from("r"), b"text").wait().unwrap();
    home.write("H", &made.header);
    home.write("a.kms", &made.record);
    home.done(&format!("open a.kms {HEADER} --aad r"));
    assert_eq!(home.read("a"), b"text");
    assert_eq!(home.feed(&format!("open {HEADER} --aad r"), &made.record).out, b"text");
    assert_eq!(home.inspect("a.kms")["plaintext_size"], 4);
    home.fails(2, &format!("open a.kms {HEADER} --aad r --range 0..1"));
    let ran = home.fails(2, &format!("seal a --force {HEADER}"));
    assert!(ran.err.contains("suite 1"), "{}", ran.err);
    assert!(home.read("a.kms") == made.record);
}

#[test]
fn suite_1_opens_too() {
    let home = Home::with_ring("one-shot");
    let text = bytes(100_000);
    home.write("a.kms", &home.one_shot(&text));
    assert_eq!(home.inspect("a.kms")["suite_name"], "one-shot");
    assert_eq!(home.inspect("a.kms")["plaintext_size"], text.len());
    home.done(&format!("open a.kms {KEK}"));
    assert_eq!(home.read("a"), text);
    assert_eq!(home.feed(&format!("open {KEK}"), &home.read("a.kms")).out, text);
    let mut bad = home.read("a.kms");
    *bad.last_mut().unwrap() ^= 1;
    let ran = home.feed(&format!("open {KEK}"), &bad);
    assert_eq!((ran.code, ran.out.len()), (3, 0));
    let file = fs::OpenOptions::new().write(true).open(home.path("a.kms")).unwrap();
    file.set_len((4 << 30) + 1).unwrap();
    let ran = home.fails(1, &format!("open a.kms -o b {KEK}"));
    assert!(ran.err.contains("4 GiB") && !home.path("b").exists(), "{}", ran.err);
}

#[test]
fn damage_is_told_and_it_opens() {
    let home = Home::with_ring("damage");
    home.write("a", b"text");
    home.done(&format!("seal a --copies 2 {KEK}"));
    let good = home.read("a.kms");
    for (at, word, json) in
        [(0, "first", "first_lost"), (4096, "second", "second_lost"), (4090, "differ", "differ")]
    {
        let mut bad = good.clone();
        bad[at] ^= 1;
        home.write("a.kms", &bad);
        let ran = home.done(&format!("open a.kms --force {KEK}"));
        assert!(ran.err.contains("warning") && ran.err.contains(word), "{}", ran.err);
        assert_eq!(home.read("a"), b"text");
        assert!(home.done(&format!("open a.kms --verify {KEK}")).err.contains(word));
        assert!(home.done(&format!("open a.kms --range 1..2 {KEK}")).err.contains(word));
        assert_eq!(home.inspect("a.kms")["damage"], json);
        assert!(home.done("inspect a.kms").text().contains(word));
    }
    let mut bad = good.clone();
    (bad[0], bad[4096]) = (0, 0);
    home.write("a.kms", &bad);
    home.fails(4, &format!("open a.kms --force {KEK}"));
}

/// Whatever tore it, under whichever key: it is told, and the next rewrap heals it.
#[test]
fn a_tear_is_told_and_the_next_rewrap_heals_it() {
    let home = Home::with_ring("tear");
    let text = bytes(50_000);
    home.write("a", &text);
    home.done(&format!("seal a --copies 2 {KEK}"));
    let old = home.read("a.kms");
    home.done("keyring rotate ring --key k");
    home.done(&format!("rewrap a.kms {KEK}"));
    let new = home.read("a.kms");
    // What a crash of that rewrap can leave, and lost sectors besides.
    let torn = |second: std::ops::Range<usize>, first: std::ops::Range<usize>| {
        let mut torn = old.clone();
        torn[second.clone()].copy_from_slice(&new[second]);
        torn[first.clone()].copy_from_slice(&new[first]);
        torn
    };
    let junk = |range: std::ops::Range<usize>| {
        let mut torn = new.clone();
        torn[range].fill(0xa5);
        torn
    };
    for (torn, told, word) in [
        (torn(4096..8192, 0..0), "differ", "differ"),
        (torn(4096..4608, 0..0), "differ", "differ"),
        (torn(4096..8192, 0..512), "differ", "differ"),
        (junk(0..512), "first_lost", "first"),
        (junk(512..1024), "first_lost", "first"),
        (junk(0..4096), "first_lost", "first"),
        (junk(4096..4608), "second_lost", "second"),
        (junk(4096..8192), "second_lost", "second"),
        (junk(4080..4096), "differ", "differ"),
    ] {
        home.write("a.kms", &torn);
        assert_eq!(home.inspect("a.kms")["damage"], told);
        assert!(home.done("inspect a.kms").text().contains(word));
        let ran = home.done(&format!("open a.kms -o - {KEK}"));
        assert!(ran.out == text && ran.err.contains("warning") && ran.err.contains(word), "{}", ran.err);
        let report = home.done(&format!("rewrap a.kms {KEK}"));
        assert!(report.text().starts_with("1 rewrapped, 0 current, 0 failed\n"));
        let about = home.inspect("a.kms");
        assert_eq!(
            (&about["damage"], &about["recipients"][0]["key_id"]),
            (&serde_json::Value::Null, &"k/2".into())
        );
        // AES-KWP has one wrap for one key: it is the file that was.
        assert!(home.read("a.kms") == new);
        assert_eq!(home.done(&format!("open a.kms -o - {KEK}")).err, "");
        let again = home.done(&format!("rewrap a.kms {KEK}"));
        assert!(again.text().starts_with("0 rewrapped, 1 current, 0 failed\n"));
    }
    // Nothing that holds is nothing to mend with.
    let mut lost = new.clone();
    lost[..512].fill(0);
    lost[4096..4608].fill(0);
    home.write("a.kms", &lost);
    home.fails(4, &format!("rewrap a.kms {KEK}"));
    assert!(home.read("a.kms") == lost);
}

#[test]
fn inspects() {
    let home = Home::with_ring("inspect");
    home.done("keyring create other --key second");
    home.write("a", b"text");
    home.done(&format!("seal a {KEK} --kek local:other#second --context t=1"));
    let about = home.inspect("a.kms");
    let sealed = home.read("a.kms");
    assert_eq!(about["commitment"].as_str().unwrap(), hex(&sealed[10..42]));
    assert_eq!(about["header_length"], u64::from(sealed[8]) * 256 + u64::from(sealed[9]) + 16);
    assert_eq!(about["damage"], serde_json::Value::Null);
    assert_eq!(about["plaintext_size_authenticated"], false);
    let recipient = |id| serde_json::json!({"scheme": "local", "key_id": id, "wrapped_length": 40});
    assert_eq!(about["recipients"], serde_json::json!([recipient("k/1"), recipient("second/1")]));
    assert_eq!(about["stored_context"], serde_json::json!({"t": "1"}));
    let text = home.done("inspect a.kms").text().to_owned();
    for told in ["a.kms\n", "second/1", "t=1", "not authenticated", &*hex(&sealed[10..42])] {
        assert!(text.contains(told), "{told}: {text}");
    }
    home.fails(4, "inspect a");
    assert!(home.fails(4, "inspect --json a").out.is_empty());
    let ran = home.fails(4, "inspect --json a a.kms");
    assert_eq!(ran.json().as_array().unwrap().len(), 1);
    let ran = home.fails(1, "inspect a a.kms missing");
    assert_eq!(ran.err.lines().count(), 2);
    home.fails(2, "inspect .");
    home.write("a.kms", &sealed[..sealed.len() - 5]);
    assert_eq!(home.inspect("a.kms")["plaintext_size"], serde_json::Value::Null);
    let ran = run(home.kms("inspect a.kms").stdout(full()), b"");
    assert_eq!(ran.code, 1);
}

#[test]
fn several_files_are_all_tried() {
    let home = Home::with_ring("several");
    for f in ["a", "b", "c"] {
        home.write(f, f.as_bytes());
    }
    let ran = home.fails(1, &format!("seal a missing b gone c {KEK}"));
    let told: Vec<_> = ran.err.lines().map(|l| l.split(": ").nth(1).unwrap()).collect();
    assert_eq!(told, ["missing", "gone"]);
    for f in ["a", "b", "c"] {
        home.remove(f);
    }
    home.write("b.kms", b"no envelope");
    home.fails(4, &format!("open a.kms b.kms {KEK}"));
    let ran = home.fails(1, &format!("open b.kms c.kms missing.kms --force {KEK}"));
    assert_eq!(ran.err.lines().count(), 2);
    assert_eq!((home.read("a"), home.read("c")), (b"a".to_vec(), b"c".to_vec()));
    let ran = home.fails(2, &format!("open a c.kms --force {KEK}"));
    assert!(ran.err.contains("kms: a: its name does not end in .kms"), "{}", ran.err);
    for name in [".kms", "..kms", "...kms"] {
        home.write(name, &home.sealed(b"x"));
        home.fails(2, &format!("open {name} {KEK}"));
        home.done(&format!("open {name} --verify {KEK}"));
    }
}

#[test]
fn outputs() {
    let home = Home::with_ring("outputs");
    let open = |rest: &str| format!("open {rest} {KEK}");
    let seal = |rest: &str| format!("seal {rest} {KEK}");
    for f in ["a", "b"] {
        home.write(f, f.as_bytes());
    }
    home.done(&seal("a b"));
    let old = home.read("a.kms");
    let ran = home.fails(1, &seal("a"));
    assert!(ran.err.contains("--force") && home.read("a.kms") == old);
    home.done(&seal("a --force"));
    assert_ne!(home.read("a.kms"), old);
    home.fails(1, &open("a.kms"));
    home.fails(1, &seal("a -o missing/a.kms"));
    home.fails(1, &open("a.kms -o missing/a"));
    home.fails(2, &seal("a b -o out"));
    home.fails(2, &seal("a b -o -"));
    home.fails(2, &seal("- - -o out"));
    home.fails(2, &seal("-r . -o out"));
    home.fails(2, &seal("."));
    home.fails(2, &open("."));
    home.fails(2, &seal("a -o a --force"));
    symlink("a", home.path("link")).unwrap();
    home.fails(2, &seal("a -o link --force"));
    assert_eq!(home.read("a"), b"a");
    home.fails(1, &open("b.kms -o link"));
    home.done(&open("b.kms -o link --force"));
    assert!(home.path("link").is_symlink() && home.read("a") == b"b");
    symlink("nowhere", home.path("dangling")).unwrap();
    home.fails(1, &seal("b -o dangling"));
    home.write("a", b"a");

    fs::create_dir(home.path("dir")).unwrap();
    home.done(&seal("a -o dir"));
    home.fails(1, &seal("a b -o dir"));
    home.done(&seal("a b -o dir --force"));
    assert_eq!(home.list("dir"), ["a.kms", "b.kms"]);
    home.done(&open("dir/a.kms dir/b.kms -o dir"));
    assert_eq!(home.list("dir"), ["a", "a.kms", "b", "b.kms"]);
    home.fails(2, &seal("dir/a a -o dir --force"));
    home.fails(2, &seal("- -o dir"));

    let ran = home.done(&open("a.kms -o /dev/null"));
    assert!(ran.out.is_empty() && !fs::metadata("/dev/null").unwrap().is_file());
    assert!(home.fails(1, &seal("a -o /dev/full")).err.contains("/dev/full"));
    home.fails(1, &open("a.kms -o /dev/full"));
    for line in [seal("- --copies 1"), open("a.kms -o -")] {
        let ran = run(home.kms(&line).stdout(full()), b"text");
        assert_eq!(ran.code, 1, "{line}");
        assert!(ran.err.contains("standard output"), "{}", ran.err);
    }
    assert!(Command::new("mkfifo").arg(home.path("fifo")).status().unwrap().success());
    let fifo = home.path("fifo");
    let reader = thread::spawn(move || fs::read(fifo).unwrap());
    home.done(&open("a.kms -o fifo"));
    assert_eq!(reader.join().unwrap(), b"a");
    let fifo = home.path("fifo");
    let writer = thread::spawn(move || fs::write(fifo, b"text").unwrap());
    home.done(&seal("fifo -o c.kms"));
    writer.join().unwrap();
    assert_eq!(home.done(&open("c.kms -o -")).out, b"text");
    // Whoever put it where the plaintext usually goes is given nothing.
    fs::rename(home.path("fifo"), home.path("c")).unwrap();
    let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(home.path("c")).unwrap();
    for line in ["c.kms", "c.kms --force", "c.kms -o .", "c.kms -o . --force"] {
        let ran = home.fails(1, &open(line));
        assert!(ran.err.contains("c is not a regular file"), "{line}: {}", ran.err);
    }
    assert_eq!((&reader).read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_is_private_stays_so() {
    let home = Home::with_ring("private");
    home.write("a", b"text");
    home.chmod("a", 0o600);
    home.done(&format!("seal a {KEK}"));
    home.done(&format!("open a.kms -o b {KEK}"));
    assert_eq!((home.mode("a.kms"), home.mode("b")), (0o600, 0o600));
    home.chmod("a.kms", 0o644);
    home.done(&format!("open a.kms -o c {KEK}"));
    assert_eq!(home.mode("c"), home.mode_of_new());
}

#[test]
fn a_full_disk_leaves_nothing() {
    let home = Home::with_ring("full");
    home.write("a", &bytes(300_000));
    home.done(&format!("seal a -o b.kms {KEK}"));
    // A limit on the size of files, and the error instead of the signal.
    for line in ["seal a", "open b.kms"] {
        let line = format!("trap '' XFSZ; ulimit -f 100; exec \"$0\" {line} {KEK}");
        let ran = run(&mut home.shell(&line), b"");
        assert!(ran.code == 1 && ran.err.contains("cannot write"), "{} {}", ran.code, ran.err);
        assert_eq!(home.list("."), ["a", "b.kms", "ring"]);
    }
}

#[test]
fn permissions() {
    let home = Home::new("permissions");
    home.chmod(".", 0o777);
    let done = |line: &str| assert_eq!(run(&mut home.as_nobody(line), b"").code, 0, "{line}");
    let fails = |line: &str| {
        let ran = run(&mut home.as_nobody(line), b"");
        assert!(ran.code == 1 && ran.err.contains("ermission denied"), "{line}: {} {}", ran.code, ran.err);
        ran
    };
    home.write("a", b"text");
    home.write("secret", b"text");
    done("keyring create ring --key k");
    done(&format!("seal a {KEK}"));
    home.chmod("secret", 0);
    fs::create_dir_all(home.path("tree/closed")).unwrap();
    home.write("tree/a", b"text");
    home.chmod("tree", 0o777);
    home.chmod("tree/closed", 0);
    fails(&format!("seal secret {KEK}"));
    let ran = fails(&format!("seal -r tree {KEK}"));
    assert!(ran.err.contains("kms: tree/closed: "), "{}", ran.err);
    assert!(home.path("tree/a.kms").exists());
    fs::create_dir(home.path("shut")).unwrap();
    home.chmod("shut", 0o555);
    fails(&format!("seal a -o shut/a.kms {KEK}"));
    fails(&format!("open a.kms -o shut {KEK}"));
    fails("seal a -o b --kek local:secret#k");
    home.write("other", &home.read("ring"));
    home.chmod("other", 0o666);
    assert_eq!(run(&mut home.as_nobody("seal a -o b --kek local:other#k"), b"").code, 2);
    home.chmod("tree/closed", 0o700);
}

#[test]
fn trees() {
    let home = Home::with_ring("trees");
    fs::create_dir_all(home.path("t/sub/deep")).unwrap();
    fs::create_dir_all(home.path("elsewhere")).unwrap();
    for f in ["t/a", "t/sub/b", "t/sub/deep/a", "elsewhere/x"] {
        home.write(f, f.as_bytes());
    }
    for f in ["t/old.kms", "t/sub/.kms"] {
        home.write(f, b"as it is");
    }
    symlink("../elsewhere", home.path("t/dir-link")).unwrap();
    symlink("../elsewhere/x", home.path("t/file-link")).unwrap();
    symlink(".", home.path("t/sub/loop")).unwrap();
    assert!(Command::new("mkfifo").arg(home.path("t/fifo")).status().unwrap().success());
    home.done(&format!("seal -r t {KEK}"));
    assert_eq!(home.list("elsewhere"), ["x"]);
    let sealed = ["t/a.kms", "t/sub/b.kms", "t/sub/deep/a.kms"];
    assert!(sealed.iter().all(|f| home.path(f).is_file()) && !home.path("t/old.kms.kms").exists());
    assert!(!home.path("t/file-link.kms").exists() && !home.path("t/sub/.kms.kms").exists());
    home.fails(1, &format!("seal -r t {KEK}"));

    fs::create_dir(home.path("out")).unwrap();
    for f in ["t/old.kms", "t/sub/.kms"] {
        home.remove(f);
    }
    home.done(&format!("open -r t -o out {KEK}"));
    assert_eq!(home.list("out"), ["a", "sub"]);
    assert_eq!(
        (home.read("out/sub/b"), home.read("out/sub/deep/a")),
        (b"t/sub/b".to_vec(), b"t/sub/deep/a".to_vec())
    );
    home.done(&format!("open -r t --verify {KEK}"));
    home.done(&format!("seal -r t/sub -r elsewhere t/a -o out {KEK}"));
    assert_eq!(home.list("out"), ["a", "a.kms", "b.kms", "deep", "sub", "x.kms"]);
    home.fails(2, &format!("seal -r t -r t/sub/deep -o out --force {KEK}"));
    home.fails(1, &format!("seal -r missing {KEK}"));
    home.fails(1, &format!("seal -r ring {KEK}"));
    fs::create_dir(home.path("empty")).unwrap();
    let ran = home.feed(&format!("seal -r empty {KEK}"), b"not read");
    assert_eq!((ran.code, ran.out.len()), (0, 0));
    home.write("t/a.kms", b"no envelope");
    let ran = home.fails(4, &format!("open -r t --force {KEK}"));
    assert!(ran.err.starts_with("kms: t/a.kms: "));
}

#[test]
fn a_file_that_changes_its_size_is_an_error() {
    let home = Home::with_ring("changes");
    // The kernel says 0 bytes of the one and 4096 of the other, and gives some.
    for file in ["/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"] {
        if fs::metadata(file).is_ok_and(|m| m.is_file()) {
            let ran = home.fails(1, &format!("seal {file} -o a.kms {KEK}"));
            assert!(ran.err.contains("size changed") && !home.path("a.kms").exists(), "{}", ran.err);
        }
    }
}

#[test]
fn who_reads_may_go() {
    let home = Home::with_ring("gone");
    home.write("a", &bytes(1 << 20));
    home.done(&format!("seal a {KEK}"));
    let sealed = home.read("a.kms");
    for line in [format!("seal - {KEK}"), format!("open - {KEK}"), "inspect -".into()] {
        let mut child = spawn(&mut home.kms(&line));
        drop(child.stdout.take());
        let ran = finish(child, &sealed);
        assert_eq!((ran.code, &*ran.err), (1, ""), "{line}");
    }
    // Not even standard error.
    let mut child = spawn(&mut home.kms(&format!("open missing.kms {KEK}")));
    drop(child.stderr.take());
    assert_eq!(finish(child, b"").code, 1);
}

#[test]
fn usage() {
    let home = Home::with_ring("usage");
    for line in [
        "frobnicate",
        "seal --frobnicate",
        "seal a --copies 3",
        "seal a --range 1..2",
        "open a --copies 1",
        "open a.kms --verify -o b",
        "inspect --kek x",
        "keyring",
        "keyring create",
    ] {
        home.fails(2, line);
    }
    let help = run(&mut home.kms("--help"), b"");
    assert_eq!(help.code, 0);
    for code in 0..=9 {
        assert!(help.text().contains(&format!("\n  {code}  ")), "{code}");
    }
    let names = run(&mut home.kms("inspect --help"), b"");
    home.write("a.kms", &home.sealed(b""));
    for name in home.inspect("a.kms").as_object().unwrap().keys() {
        assert!(names.text().contains(name), "{name}");
    }
}

#[test]
fn terminals() {
    let home = Home::with_ring("terminal");
    home.write("a", &bytes(3 << 20));
    // script (util-linux) gives the program a terminal.
    let on_terminal = |line: &str| {
        let line = format!("{PROGRAM} {line}");
        let mut script = home.command("script");
        script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null());
        script.output().ok().map(|o| (o.status.code(), String::from_utf8_lossy(&o.stdout).into_owned()))
    };
    if on_terminal("--version").is_none_or(|(code, _)| code != Some(0)) {
        return;
    }
    for line in ["seal", "open", "inspect"] {
        let (code, said) = on_terminal(line).unwrap();
        assert!(code == Some(2) && said.contains("name a FILE"), "{line}: {code:?} {said}");
    }
    let (code, said) = on_terminal(&format!("seal a {KEK}")).unwrap();
    assert!(code == Some(0) && said.contains("MiB"), "{said}");
    let (_, said) = on_terminal(&format!("seal a -o b {KEK} 2>&1 | cat")).unwrap();
    assert_eq!(said, "", "no bar on a pipe");
}

/// Asked on the terminal: nothing of what is typed is shown, and the terminal is as before.
#[test]
fn passphrases_are_typed() {
    let home = Home::with_ring("typed");
    // script (util-linux) gives the program a terminal. Each answer waits for its question.
    let typed = |line: &str, answers: &[(&str, &str)]| {
        let line = format!("stty -a > before; {PROGRAM} {line}; echo code $?; stty -a > after; echo END");
        let mut script = home.command("script");
        let mut child =
            spawn(script.args(["-qc", &line, "/dev/null"]).env("TERM", "xterm").stderr(Stdio::null()));
        let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (mut shown, mut seen) = (String::new(), 0);
        let mut until = |text: &str| {
            let mut part = [0; 256];
            while !shown[seen..].contains(text) {
                match screen.read(&mut part).unwrap() {
                    0 => panic!("{line}: no {text:?} in {shown:?}"),
                    n => shown.push_str(&String::from_utf8_lossy(&part[..n])),
                }
            }
            seen += shown[seen..].find(text).unwrap() + text.len();
            shown.clone()
        };
        for (question, answer) in answers {
            until(question);
            keys.write_all(answer.as_bytes()).unwrap();
        }
        let shown = until("END");
        drop(keys);
        child.wait().unwrap();
        assert_eq!(home.read("before"), home.read("after"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
        shown
    };
    if !home.shell("command -v script && command -v stty").output().unwrap().status.success() {
        return;
    }
    let (old, new, again) = ("passphrase of ring: ", "new passphrase of ring: ", "once more: ");
    // Ctrl-U takes back a line, the other key one letter, of two bytes.
    let typing = [(new, "wrong\x15secret\u{fc}\x7f1\r"), (again, "secret1\n")];
    let shown = typed("keyring passphrase ring", &typing);
    assert!(shown.contains("code 0") && shown.contains("has a new passphrase"), "{shown}");
    home.secret("file", "secret1");
    home.done("keyring rotate ring --key k --passphrase-file file");

    home.write("a", b"text");
    let twice = format!("seal a {KEK} --opens-with local:./ring#k");
    assert!(typed(&twice, &[(old, "secret1\n")]).contains("code 0"), "asked once");
    assert!(typed(&format!("open a.kms -o b {KEK}"), &[(old, "secret1\n")]).contains("code 0"));
    assert_eq!(home.read("b"), b"text");
    assert!(typed("keyring rotate ring --key k", &[(old, "secret1\n")]).contains("k/3 wraps"));
    // Of a paste of two lines the shell is left none to run, and to keep in its history.
    let left = format!("inspect a.kms; {PROGRAM} open a.kms -o c {KEK}; timeout --foreground 1 head -n1");
    typed(&left, &[(old, "secret1\nsecret2\n")]);
    assert_eq!(home.read("c"), b"text");
    let before = home.read("ring");
    for (line, typing, code) in [
        ("keyring rotate ring --key k", &[(old, "secret2\n")][..], 3),
        ("keyring rotate ring --key k", &[(old, "\n")], 2),
        ("keyring rotate ring --key k", &[(old, "\x04")], 2),
        ("keyring rotate ring --key k", &[(old, "secret1\x03")], 130),
        ("keyring passphrase ring", &[(old, "secret1\n"), (new, "secret2\n"), (again, "secret3\n")], 2),
        ("keyring passphrase ring", &[(old, "secret1\n"), (new, "secret2\n"), (again, "\x03")], 130),
    ] {
        let shown = typed(line, typing);
        assert!(shown.contains(&format!("code {code}\r")), "{code}: {shown}");
    }
    assert!(home.read("ring") == before);
    let typing = [("new passphrase of made: ", "secret4\n"), (again, "secret4\n")];
    assert!(typed("keyring create made --key k --passphrase", &typing).contains("code 0"));
    home.secret("file", "secret4");
    home.done("keyring rotate made --key k --passphrase-file file");

    // The user's own.
    home.done("seal a --force");
    home.done("keyring passphrase data/kms/keyring.json --new-passphrase-file file");
    assert!(typed("open a.kms --force", &[("keyring.json: ", "secret4\n")]).contains("code 0"));
    assert!(home.alone("seal a --force").err.contains("no terminal"));
}

/// A directory of its own, which is the user's home as well.
struct Home(PathBuf);

struct Ran {
    code: i32,
    out: Vec<u8>,
    err: String,
}

impl Home {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("libkms-cli-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// With a keyring for [`KEK`].
    fn with_ring(name: &str) -> Self {
        let home = Self::new(name);
        Keyring::create(home.path("ring"), "k").unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// A file that nobody else can read.
    fn secret(&self, name: &str, text: &str) {
        self.write(name, text.as_bytes());
        self.chmod(name, 0o600);
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn list(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().mode() & 0o777
    }

    fn mode_of_new(&self) -> u32 {
        self.write("new", b"");
        self.mode("new")
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.0).env("HOME", &self.0).env("XDG_DATA_HOME", self.path("data"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn kms(&self, line: &str) -> Command {
        let mut command = self.command(PROGRAM);
        command.args(line.split_whitespace());
        command
    }

    /// The program is `"$0"`.
    fn shell(&self, line: &str) -> Command {
        let mut command = self.command("bash");
        command.args(["-c", line, PROGRAM]);
        command
    }

    /// As somebody whom permissions stop. Root runs a copy, which others can reach.
    fn as_nobody(&self, line: &str) -> Command {
        if fs::metadata(&self.0).unwrap().uid() != 0 {
            return self.kms(line);
        }
        let copy = self.path("kms");
        if !copy.exists() {
            // By a process: a file that this one had open to write, a child begun meanwhile
            // would hold, and nobody could run it.
            assert!(
                Command::new("cp").args([PROGRAM.as_ref(), copy.as_os_str()]).status().unwrap().success()
            );
            self.chmod("kms", 0o755);
        }
        let mut command = self.command(copy);
        command.args(line.split_whitespace()).uid(65534).gid(65534);
        command
    }

    fn feed(&self, line: &str, input: &[u8]) -> Ran {
        let ran = run(&mut self.kms(line), input);
        assert!(!ran.err.contains(AAD) && !String::from_utf8_lossy(&ran.out).contains(AAD));
        assert_no_temporary_file(&self.0);
        ran
    }

    /// Feeds it, and sees that the memory it holds stops growing.
    fn flat(&self, line: &str, input: &[u8]) -> Vec<u8> {
        let mut child = spawn(&mut self.kms(line));
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let out = thread::spawn(move || {
            let mut out = Vec::new();
            stdout.read_to_end(&mut out).unwrap();
            out
        });
        let status = format!("/proc/{}/status", child.id());
        let mut held = Vec::new();
        for part in input.chunks(input.len() / 3) {
            stdin.write_all(part).unwrap();
            // In KiB, at most so far. Where there is no such file nothing is seen.
            let said = fs::read_to_string(&status).unwrap_or_default();
            let most = said.lines().find_map(|l| l.strip_prefix("VmHWM:")?.split_whitespace().next());
            held.push(most.map_or(0, |n| n.parse::<u64>().unwrap()));
        }
        drop(stdin);
        assert!(child.wait().unwrap().success());
        assert!(held.last().unwrap() - held[0] < 1024, "{line}: {held:?}");
        out.join().unwrap()
    }

    fn done(&self, line: &str) -> Ran {
        let ran = self.feed(line, b"");
        assert_eq!(ran.code, 0, "{line}: {}", ran.err);
        ran
    }

    fn fails(&self, code: i32, line: &str) -> Ran {
        let ran = self.feed(line, b"");
        assert_eq!(ran.code, code, "{line}: {}", ran.err);
        assert_ne!(ran.err, "");
        ran
    }

    /// With the passphrase in the environment variable P.
    fn one_two_three(&self, line: &str) -> Ran {
        let ran = run(self.kms(line).env("P", "one two three"), b"");
        assert_eq!(ran.code, 0, "{line}: {}", ran.err);
        ran
    }

    /// Without a terminal that it could ask on.
    fn alone(&self, line: &str) -> Ran {
        let mut command = self.command("setsid");
        command.args(["--wait", PROGRAM]).args(line.split_whitespace());
        run(&mut command, b"")
    }

    fn inspect(&self, name: &str) -> serde_json::Value {
        self.done(&format!("inspect --json {name}")).json()
    }

    /// Pastes the options that were told.
    fn opens_as_told(&self, told: &str, plaintext: &[u8]) {
        let options = &told[told.find("--context ").unwrap_or_else(|| panic!("{told}"))..];
        let line = format!("exec \"$0\" open a.kms -o - {KEK} {}", options.trim_end());
        let ran = run(&mut self.shell(&line), b"");
        assert_eq!((ran.code, &*ran.out), (0, plaintext), "{line}: {}", ran.err);
    }

    fn scope(&self, context: &[(&str, &str)]) -> Scope {
        let kms = Kms::builder().kek(Keyring::open(self.path("ring"), "k").unwrap()).build().unwrap();
        kms.scope(EncryptionContext::new(context.iter().copied()).unwrap())
    }

    /// As the library seals, under [`KEK`].
    fn seal(&self, context: &[(&str, &str)], options: &SealOptions, plaintext: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        self.scope(context).seal_stream(Aad::empty(), options, plaintext, &mut sealed).unwrap();
        sealed
    }

    fn sealed(&self, plaintext: &[u8]) -> Vec<u8> {
        self.seal(&[], &SealOptions::new().store_context().copies(Copies::One), plaintext)
    }

    fn one_shot(&self, plaintext: &[u8]) -> Vec<u8> {
        self.scope(&[]).seal(Aad::empty(), plaintext).wait().unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !thread::panicking() {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

impl Ran {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.out).unwrap()
    }
}

fn run(command: &mut Command, input: &[u8]) -> Ran {
    finish(spawn(command), input)
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap()
}

/// Feeds it, and checks what holds for every run.
fn finish(mut child: Child, input: &[u8]) -> Ran {
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // It may not read all: that is no failure here.
    let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
    let mut stderr = child.stderr.take();
    let errors = thread::spawn(move || {
        let mut err = String::new();
        stderr.as_mut().map(|s| s.read_to_string(&mut err).unwrap());
        err
    });
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let err = errors.join().unwrap();
    let code = out.status.code().unwrap_or_else(|| panic!("{:?}", out.status));
    assert!(code <= 9 && !err.contains("panicked"), "{code}: {err}");
    for line in err.lines().filter(|_| !err.contains("Usage:")) {
        assert!(line.starts_with("kms: ") && !line.contains(char::is_control), "{err:?}");
        assert!(!line.contains('\u{202e}'), "{err:?}");
    }
    Ran { code, out: out.stdout, err }
}

fn assert_no_temporary_file(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!(name.starts_with('.') && name.ends_with(".tmp")), "{name} was left");
        if entry.file_type().unwrap().is_dir() {
            assert_no_temporary_file(&entry.path());
        }
    }
}

fn full() -> fs::File {
    fs::OpenOptions::new().write(true).open("/dev/full").unwrap()
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn replace(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap();
    assert!(text.contains(from));
    text.replacen(from, to, 1).into_bytes()
}
