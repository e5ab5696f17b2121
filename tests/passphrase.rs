//! Keyring files under a passphrase.
mod common;

use common::*;
use libkms::{
    Aad, Dek, EncryptionContext, ErrorKind, Kms, Result, Scope, Wait,
    kek::{KeyState, Keyring, KeyringFile, KmsBackend, Passphrase, from_uri},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// Written by the second reader, in Python: the key is 0, 1, 2, .. 31. It costs little.
const WRITTEN_ELSEWHERE: &str = r#"{ "format": "libkms-keyring/1",
  "kdf": { "name": "argon2id", "m": 19456, "t": 1, "p": 1, "salt": "c2FsdCBvZiAxNiBieXRlcw==" },
  "keys": [ { "name": "orders", "primary": 1, "versions": [ { "version": 1,
    "created": "2026-11-24T00:00:00Z", "state": "enabled",
    "material": "MVH4VjmUyIce36Efau7d83giY3iF9ykMWUqeA1WT8tIWNk/jZs0j5Q==" } ] } ] }"#;
const ITS_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const ITS_PASSPHRASE: &str = "pässphrase🔑";

fn pass(text: &str) -> Passphrase {
    Passphrase::take(text.to_owned().into_bytes()).unwrap()
}

fn its() -> Passphrase {
    pass(ITS_PASSPHRASE)
}

fn private(path: &Path, text: impl AsRef<[u8]>) {
    let _ = fs::remove_file(path);
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// With [`WRITTEN_ELSEWHERE`] in it.
fn setup(name: &str) -> (Folder, PathBuf) {
    let folder = Folder::new(&format!("passphrase-{name}"));
    let path = folder.join("keys.json");
    private(&path, WRITTEN_ELSEWHERE);
    (folder, path)
}

fn file(path: &Path) -> KeyringFile {
    KeyringFile::at(path).with_passphrase(its())
}

fn cold(path: &Path) -> Scope {
    scope(Keyring::open_with(path, "orders", &its()).unwrap(), &[])
}

fn seal(scope: &Scope) -> Vec<u8> {
    scope.seal(Aad::empty(), b"x").wait().unwrap()
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    result.map(|_| ()).unwrap_err().kind()
}

fn current(keyring: &Keyring) -> String {
    keyring.current_key().wait().unwrap().unwrap().to_string()
}

/// What follows a member's name, to the end of its object.
fn member(path: &Path, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap();
    let at = text.find(&format!("\"{name}\"")).unwrap();
    text[at..].split('}').next().unwrap().split_whitespace().collect()
}

#[test]
fn what_another_reader_wrote_opens_to_the_same_key() {
    let (_folder, path) = setup("elsewhere");
    let sealed = seal(&cold(&path));
    let parsed = Keyring::parse_with(WRITTEN_ELSEWHERE.as_bytes(), "orders", &its()).unwrap();
    assert_eq!(open(&scope(parsed, &[]), "", &sealed).unwrap(), b"x");
    file(&path).remove_passphrase().unwrap();
    assert!(member(&path, "material").contains(ITS_KEY));
    let plain = Keyring::open(&path, "orders").unwrap();
    assert_eq!(open(&scope(plain, &[]), "", &sealed).unwrap(), b"x");
}

#[test]
fn keys_live_and_nothing_else_changes() {
    let (_folder, path) = setup("live");
    let one = seal(&cold(&path));
    let (kdf, first) = (member(&path, "kdf"), member(&path, "material"));
    let file = file(&path);
    assert_eq!(file.rotate("orders").unwrap().as_str(), "orders/2");
    assert_eq!(file.add("backup").unwrap().as_str(), "backup/1");
    let two = seal(&cold(&path));
    // What needs no key needs no passphrase.
    let without = KeyringFile::at(&path);
    without.disable("orders", 1).unwrap();
    assert_eq!(kind(open(&cold(&path), "", &one)), ErrorKind::Denied);
    without.enable("orders", 1).unwrap();
    assert_eq!(open(&cold(&path), "", &one).unwrap(), b"x");
    assert_eq!((member(&path, "kdf"), member(&path, "material")), (kdf.clone(), first));
    file.disable("orders", 1).unwrap();
    without.destroy("orders", 1).unwrap();
    assert_eq!(open(&cold(&path), "", &two).unwrap(), b"x");
    assert_eq!(member(&path, "kdf"), kdf);
    assert!(without.has_passphrase().unwrap());
    let states: Vec<_> = without.keys().unwrap()[0].versions.iter().map(|v| v.state).collect();
    assert_eq!(states, [KeyState::Destroyed, KeyState::Enabled]);
    assert_eq!(file.keys().unwrap(), without.keys().unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Set, changed and removed, as writers do it: 64 MiB, a fresh salt, every envelope as it was.
#[test]
fn a_passphrase_comes_changes_and_goes_without_touching_envelopes() {
    let folder = Folder::new("passphrase-changes");
    let path = folder.join("keys.json");
    Keyring::create(&path, "orders").unwrap();
    let mut file = KeyringFile::at(&path);
    file.rotate("orders").unwrap();
    file.disable("orders", 1).unwrap();
    let sealed = seal(&scope(Keyring::open(&path, "orders").unwrap(), &[]));
    let opens = |keyring: Result<Keyring>| open(&scope(keyring.unwrap(), &[]), "", &sealed).unwrap() == b"x";
    let plain = member(&path, "material");
    assert_eq!(kind(file.remove_passphrase()), ErrorKind::Misuse);

    file.set_passphrase(pass("one")).unwrap();
    assert!(member(&path, "kdf").contains("\"argon2id\",\"m\":65536,\"t\":3,\"p\":4,\"salt\":"));
    assert!(!fs::read_to_string(&path).unwrap().contains(&plain[12..50]));
    assert!(opens(Keyring::open_with(&path, "orders", &pass("one"))));
    let salt = member(&path, "salt");

    file.set_passphrase(pass("two")).unwrap();
    assert_ne!(member(&path, "salt"), salt);
    assert!(opens(Keyring::open_with(&path, "orders", &pass("two"))));
    assert_eq!(kind(Keyring::open_with(&path, "orders", &pass("one"))), ErrorKind::Authentication);
    let salt = member(&path, "salt");
    file.set_passphrase(pass("two")).unwrap();
    assert_ne!(member(&path, "salt"), salt, "the same one again, too");

    assert_eq!(kind(KeyringFile::at(&path).remove_passphrase()), ErrorKind::Misuse);
    assert_eq!(kind(KeyringFile::at(&path).set_passphrase(pass("x"))), ErrorKind::Misuse);
    file.remove_passphrase().unwrap();
    assert!(!file.has_passphrase().unwrap() && opens(Keyring::open(&path, "orders")));
    assert_eq!(member(&path, "material"), plain);
    file.rotate("orders").unwrap();
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing left beside it");
}

#[test]
fn f35_a_wrong_passphrase_is_one_error_and_changes_nothing() {
    let (_folder, path) = setup("wrong");
    file(&path).rotate("orders").unwrap();
    let before = fs::read(&path).unwrap();
    let (marker, key) = ("marker-of-a-passphrase", "MVH4VjmUyIce");
    let wrong = || KeyringFile::at(&path).with_passphrase(pass(marker));
    let failed = [
        Keyring::open_with(&path, "orders", &pass(marker)).map(|_| ()),
        Keyring::open_asking(&path, "orders", || Ok(pass(marker))).map(|_| ()),
        // Nor is told which keys there are.
        Keyring::open_with(&path, "nobody", &pass(marker)).map(|_| ()),
        wrong().keys().map(|_| ()),
        wrong().add("more").map(|_| ()),
        wrong().rotate("orders").map(|_| ()),
        wrong().disable("orders", 1),
        wrong().enable("orders", 1),
        wrong().destroy("orders", 1),
        wrong().set_passphrase(pass(marker)),
        wrong().remove_passphrase(),
    ];
    let told: Vec<_> = failed.into_iter().map(Result::unwrap_err).collect();
    for e in &told {
        assert_eq!((e.kind(), e.to_string()), (ErrorKind::Authentication, told[0].to_string()));
        for secret in [marker, key, ITS_KEY] {
            assert!(!format!("{e} {e:?}").contains(secret), "{e:?}");
        }
    }
    assert!(told[0].to_string().contains("wrong passphrase"), "{}", told[0]);
    assert_eq!(fs::read(&path).unwrap(), before);
    // A passphrase is bytes, as typed: no case, no blanks, no Unicode normalisation.
    for other in ["Pässphrase🔑", "pässphrase🔑 ", "pa\u{308}ssphrase🔑", "pässphrase🔑\n"] {
        assert_eq!(kind(Keyring::open_with(&path, "orders", &pass(other))), ErrorKind::Authentication);
    }
}

#[test]
fn f35_nothing_shows_a_passphrase() {
    let passphrase = pass("marker-of-a-passphrase");
    assert_eq!(format!("{passphrase:?}{:?}", passphrase.share()), "Passphrase(..)Passphrase(..)");
    let (folder, path) = setup("shown");
    assert_eq!(format!("{:?}", Keyring::open_with(&path, "orders", &its()).unwrap()), "Keyring(orders)");
    let long = folder.join("long");
    private(&long, "marker".repeat(1000));
    let mut wrong_bytes = b"marker\xff".to_vec();
    for e in [
        Passphrase::take(&mut wrong_bytes[..]).unwrap_err(),
        Passphrase::take(b"marker".repeat(1000)).unwrap_err(),
        Passphrase::from_file(&long).unwrap_err(),
        from_uri(&format!("local:{}#orders?passphrase=marker", path.display()))
            .wait()
            .map(|_| ())
            .unwrap_err(),
    ] {
        assert!(!format!("{e} {e:?}").contains("marker"), "{e:?}");
    }
    assert_eq!(wrong_bytes, [0; 7], "wiped, taken or not");
}

#[test]
fn f64_a_passphrase_for_a_file_without_one_is_refused_and_the_reverse() {
    let (folder, path) = setup("stripped");
    let plain = folder.join("plain.json");
    Keyring::create(&plain, "orders").unwrap();
    let before = fs::read(&plain).unwrap();
    let given = || KeyringFile::at(&plain).with_passphrase(its());
    let secret = folder.join("secret");
    private(&secret, ITS_PASSPHRASE);
    let uri = |path: &Path, more: &str| from_uri(&format!("local:{}#orders{more}", path.display())).wait();
    let with = format!("?passphrase-file={}", secret.display());
    for refused in [
        Keyring::open_with(&plain, "orders", &its()).map(|_| ()),
        Keyring::parse_with(&before, "orders", &its()).map(|_| ()),
        uri(&plain, &with).map(|_| ()),
        uri(&plain, &format!("{with}&create=true")).map(|_| ()),
        given().keys().map(|_| ()),
        given().add("more").map(|_| ()),
        given().rotate("orders").map(|_| ()),
        given().enable("orders", 1),
        given().set_passphrase(pass("new")),
        given().remove_passphrase(),
    ] {
        let e = refused.unwrap_err();
        assert!(e.kind() == ErrorKind::Misuse && e.to_string().contains("it has no passphrase"), "{e}");
    }
    assert_eq!(fs::read(&plain).unwrap(), before);

    let before = fs::read(&path).unwrap();
    for refused in [
        Keyring::open(&path, "orders").map(|_| ()),
        Keyring::parse(&before, "orders").map(|_| ()),
        uri(&path, "").map(|_| ()),
        uri(&path, "?create=true").map(|_| ()),
        KeyringFile::at(&path).add("more").map(|_| ()),
        KeyringFile::at(&path).rotate("orders").map(|_| ()),
        KeyringFile::at(&path).remove_passphrase(),
    ] {
        let e = refused.unwrap_err();
        assert!(e.kind() == ErrorKind::Misuse && e.to_string().contains("it has a passphrase"), "{e}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(uri(&path, &with).is_ok());
}

/// The file of an open keyring changes hands: nothing that is not as it was is taken.
#[test]
fn f64_a_passphrase_is_not_taken_off_under_an_open_keyring() {
    let (folder, path) = setup("under");
    let running = Keyring::open_with(&path, "orders", &its()).unwrap();
    // Somebody who can write the file, and has a key of their own.
    let theirs = folder.join("theirs.json");
    Keyring::create(&theirs, "orders").unwrap();
    KeyringFile::at(&theirs).rotate("orders").unwrap();
    fs::rename(&theirs, &path).unwrap();
    assert_eq!(current(&running), "orders/1");
    assert!(!running.accepts(&libkms::KeyId::new("orders/2").unwrap()));
    let sealed = seal(&scope(running, &[]));
    private(&path, WRITTEN_ELSEWHERE);
    assert_eq!(open(&cold(&path), "", &sealed).unwrap(), b"x", "under the key that it was");

    // The reverse: a passphrase is put on.
    let plain = folder.join("plain.json");
    Keyring::create(&plain, "orders").unwrap();
    let running = Keyring::open(&plain, "orders").unwrap();
    file(&path).rotate("orders").unwrap();
    fs::copy(&path, &plain).unwrap();
    assert_eq!(current(&running), "orders/1");
}

/// Rotation is seen, with K_pass alone. A changed passphrase ends that, not the work.
#[test]
fn an_open_keyring_follows_its_file_while_the_passphrase_stays() {
    let (_folder, path) = setup("follows");
    let running = Keyring::open_with(&path, "orders", &its()).unwrap();
    let mut file = file(&path);
    file.rotate("orders").unwrap();
    assert_eq!(current(&running), "orders/2");
    // A wrap that does not open is a file that is wrong: what was read before holds.
    let good = fs::read_to_string(&path).unwrap();
    private(&path, good.replacen("MVH4", "MVH5", 1));
    assert_eq!(current(&running), "orders/2");
    private(&path, good);
    file.set_passphrase(pass("another")).unwrap();
    file.rotate("orders").unwrap();
    assert_eq!(current(&running), "orders/2");
    let sealed = seal(&scope(running, &[]));
    let again = Keyring::open_with(&path, "orders", &pass("another")).unwrap();
    assert_eq!(current(&again), "orders/3");
    assert_eq!(open(&scope(again, &[]), "", &sealed).unwrap(), b"x");
}

/// Else a key could be destroyed while a program that was opened before seals under it.
#[test]
fn what_is_disabled_is_so_where_a_passphrase_was_changed_taken_off_or_put_on() {
    for name in ["changed", "off", "on"] {
        let (_folder, path) = setup(name);
        let mut file = file(&path);
        let with_one = |path: &Path| Keyring::open_with(path, "orders", &its()).unwrap();
        let running = match name {
            "changed" => {
                let running = with_one(&path);
                file.set_passphrase(pass("another")).unwrap();
                running
            }
            "off" => {
                let running = with_one(&path);
                file.remove_passphrase().unwrap();
                running
            }
            _ => {
                file.remove_passphrase().unwrap();
                let running = Keyring::open(&path, "orders").unwrap();
                file.set_passphrase(pass("another")).unwrap();
                running
            }
        };
        file.rotate("orders").unwrap();
        let (dek, context) = (Dek::generate().unwrap(), EncryptionContext::empty());
        let wrapped = running.wrap_dek(&dek, &context).wait().unwrap();
        assert_eq!(wrapped.key_id.as_str(), "orders/1", "it cannot have the other one");
        file.disable("orders", 1).unwrap();
        let e = running.wrap_dek(&dek, &context).wait().unwrap_err();
        assert!(e.kind() == ErrorKind::Denied && e.to_string().contains("orders/1 is disabled"), "{e}");
        assert_eq!(kind(running.unwrap_dek(&wrapped, &context).wait()), ErrorKind::Denied);
        file.enable("orders", 1).unwrap();
        running.unwrap_dek(&wrapped, &context).wait().unwrap();
        file.disable("orders", 1).unwrap();
        file.destroy("orders", 1).unwrap();
        assert_eq!(kind(running.unwrap_dek(&wrapped, &context).wait()), ErrorKind::Denied);
    }
}

/// One that is gone from the file, too, is none to seal under.
#[test]
fn what_is_removed_is_so_where_a_passphrase_was_changed() {
    let (_folder, path) = setup("removed");
    let running = Keyring::open_with(&path, "orders", &its()).unwrap();
    let (dek, context) = (Dek::generate().unwrap(), EncryptionContext::empty());
    let wrapped = running.wrap_dek(&dek, &context).wait().unwrap();
    let mut file = file(&path);
    file.set_passphrase(pass("another")).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let other = text.replace("\"primary\": 1", "\"primary\": 2").replace("\"version\": 1", "\"version\": 2");
    assert_ne!(other, text);
    private(&path, other);
    assert_eq!(kind(running.wrap_dek(&dek, &context).wait()), ErrorKind::Denied);
    assert_eq!(kind(running.unwrap_dek(&wrapped, &context).wait()), ErrorKind::Denied);
}

/// Every wrap is bound to its key and version.
#[test]
fn materials_cannot_change_places() {
    let (_folder, path) = setup("places");
    file(&path).rotate("orders").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let materials: Vec<_> =
        text.split("\"material\": \"").skip(1).map(|m| m.split('"').next().unwrap()).collect();
    let swapped =
        text.replace(materials[0], "@").replace(materials[1], materials[0]).replace('@', materials[1]);
    let (twice, renamed) =
        (text.replace(materials[1], materials[0]), text.replace("\"orders\"", "\"elsewhere\""));
    for (text, name) in [(swapped, "orders"), (twice, "orders"), (renamed, "elsewhere")] {
        private(&path, text);
        assert_eq!(kind(Keyring::open_with(&path, name, &its())), ErrorKind::Authentication, "{name}");
    }
}

/// Where there is no material nothing tells a wrong passphrase. The first key is under the
/// one that was given then.
#[test]
fn a_file_without_a_material_takes_any_passphrase() {
    let (_folder, path) = setup("empty");
    let (start, end) =
        (WRITTEN_ELSEWHERE.find("enabled").unwrap(), WRITTEN_ELSEWHERE.find(" } ] } ] }").unwrap());
    let text = WRITTEN_ELSEWHERE.replace(&WRITTEN_ELSEWHERE[start..end], "destroyed\"");
    private(&path, text);
    let any = Keyring::open_with(&path, "orders", &pass("any")).unwrap();
    let dek = Dek::generate().unwrap();
    assert_eq!(kind(any.wrap_dek(&dek, &EncryptionContext::empty()).wait()), ErrorKind::Denied);
    assert_eq!(kind(Keyring::open(&path, "orders")), ErrorKind::Misuse);
    KeyringFile::at(&path).with_passphrase(pass("first")).rotate("orders").unwrap();
    assert_eq!(current(&any), "orders/1", "of another passphrase: what was read before holds");
    assert_eq!(kind(Keyring::open_with(&path, "orders", &pass("any"))), ErrorKind::Authentication);
    assert_eq!(current(&Keyring::open_with(&path, "orders", &pass("first")).unwrap()), "orders/2");
}

#[test]
fn uris_name_files_and_variables() {
    let (folder, path) = setup("uris");
    let secret = folder.join("a secret");
    let new = folder.join("new.json");
    let secret_of = |text: &str| private(&secret, text);
    let named = |path: &Path, more: &str| {
        let secret = secret.display().to_string().replace(' ', "%20");
        Kms::from_uri(&format!("local:{}#orders?passphrase-file={secret}{more}", path.display())).wait()
    };
    for end in ["", "\n", "\r\n"] {
        secret_of(&format!("{ITS_PASSPHRASE}{end}"));
        named(&path, "").unwrap();
    }
    for wrong in ["\n\n", "\r", " \n"] {
        secret_of(&format!("{ITS_PASSPHRASE}{wrong}"));
        assert_eq!(kind(named(&path, "")), ErrorKind::Authentication, "{wrong:?}");
    }
    secret_of("created with it\n");
    named(&new, "&create=true").unwrap();
    named(&new, "&create=true").unwrap();
    assert!(KeyringFile::at(&new).has_passphrase().unwrap());
    Keyring::open_with(&new, "orders", &pass("created with it")).unwrap();

    for (refused, expected) in [
        (named(&new, "&passphrase-env=HOME"), ErrorKind::Misuse),
        (named(&new, "&passphrase-fil=x"), ErrorKind::Misuse),
        (named(&folder.join("none"), ""), ErrorKind::Io),
    ] {
        assert_eq!(kind(refused), expected);
    }
    let env =
        |name: &str| Kms::from_uri(&format!("local:{}#orders?passphrase-env={name}", path.display())).wait();
    for name in ["LIBKMS_TEST_NO_SUCH_VARIABLE", "", "a=b"] {
        assert_eq!(kind(env(name)), ErrorKind::Misuse, "{name}");
    }
}

#[test]
fn files_of_passphrases_are_private_and_short() {
    let folder = Folder::new("passphrase-files");
    let path = folder.join("secret");
    let of = |text: &[u8]| {
        private(&path, text);
        Passphrase::from_file(&path)
    };
    of(&[b'x'; 1024]).unwrap();
    of(&[&[b'x'; 1024][..], b"\r\n"].concat()).unwrap();
    for (text, expected) in [
        (&b""[..], ErrorKind::Misuse),
        (b"\n", ErrorKind::Misuse),
        (b"\r\n", ErrorKind::Misuse),
        (b"\xff", ErrorKind::Misuse),
        (&[b'x'; 1025], ErrorKind::Limit),
        (&[b'x'; 100_000], ErrorKind::Limit),
    ] {
        let e = of(text).unwrap_err();
        assert!(e.kind() == expected && e.to_string().contains("secret"), "{e}");
    }
    of(b"good").unwrap();
    for mode in [0o644, 0o640, 0o620, 0o604] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let e = Passphrase::from_file(&path).unwrap_err();
        assert!(e.kind() == ErrorKind::Misuse && e.to_string().contains("chmod 600"), "{e}");
    }
    assert_eq!(kind(Passphrase::from_file(folder.join("none"))), ErrorKind::Io);
    assert_eq!(kind(Passphrase::from_file(&folder.0)), ErrorKind::Misuse);
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg("-m600").arg(&path).status().unwrap();
    assert!(made.success());
    assert_eq!(kind(Passphrase::from_file(&path)), ErrorKind::Misuse, "and nobody hangs");
}

/// Two writers, four that open it anew each time, four that have it open.
#[test]
fn rotation_under_load_loses_nothing() {
    let (_folder, path) = setup("load");
    let stop = AtomicBool::new(false);
    thread::scope(|t| {
        let writers: Vec<_> = (0..2)
            .map(|_| t.spawn(|| (0..10).for_each(|_| drop(file(&path).rotate("orders").unwrap()))))
            .collect();
        for _ in 0..4 {
            t.spawn(|| {
                let running = cold(&path);
                while !stop.load(Ordering::SeqCst) {
                    let sealed = seal(&cold(&path));
                    assert_eq!(open(&running, "", &sealed).unwrap(), b"x");
                }
            });
        }
        writers.into_iter().for_each(|w| w.join().unwrap());
        stop.store(true, Ordering::SeqCst);
    });
    let key = &file(&path).keys().unwrap()[0];
    let numbers: Vec<_> = key.versions.iter().map(|v| v.version).collect();
    assert_eq!((numbers, key.primary), ((1..=21).collect(), 21));
}

/// Two that begin at once and one passphrase: one keyring.
#[test]
fn one_of_two_first_uses_makes_it() {
    let folder = Folder::new("passphrase-first");
    let secret = folder.join("secret");
    private(&secret, "both");
    let uri = format!(
        "local:{}#k?create=true&passphrase-file={}",
        folder.join("keys.json").display(),
        secret.display()
    );
    let kms = |uri: &str| Kms::from_uri(uri).wait().unwrap().scope(EncryptionContext::empty());
    let (a, b) = thread::scope(|t| {
        let (a, b) = (t.spawn(|| kms(&uri)), t.spawn(|| kms(&uri)));
        (a.join().unwrap(), b.join().unwrap())
    });
    assert_eq!(open(&b, "", &seal(&a)).unwrap(), b"x");
}
