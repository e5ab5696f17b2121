//! The life of keys in a keyring file.
mod common;

use common::*;
use libkms::{
    Aad, ErrorKind, Scope, Wait,
    kek::{KeyState, Keyring, KeyringFile},
};
use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

fn setup(name: &str) -> (Folder, std::path::PathBuf, KeyringFile) {
    let folder = Folder::new(name);
    let path = folder.join("keys.json");
    Keyring::create(&path, "orders").unwrap();
    let file = KeyringFile::at(&path);
    (folder, path, file)
}

fn cold(path: &std::path::Path) -> Scope {
    scope(Keyring::open(path, "orders").unwrap(), &[])
}

fn seal(scope: &Scope) -> Vec<u8> {
    scope.seal(Aad::empty(), b"x").wait().unwrap()
}

fn key_of(sealed: &[u8]) -> String {
    libkms::inspect(sealed).unwrap().recipients()[0].wrapped.key_id.to_string()
}

#[test]
fn rotated_disabled_enabled_destroyed() {
    let (_folder, path, file) = setup("life");
    let one = seal(&cold(&path));
    assert_eq!(file.rotate("orders").unwrap().as_str(), "orders/2");
    let two = seal(&cold(&path));
    assert_eq!((key_of(&one), key_of(&two)), ("orders/1".into(), "orders/2".into()));
    assert!(cold(&path).open(Aad::empty(), &one).wait().unwrap().is_stale());
    assert!(!cold(&path).open(Aad::empty(), &two).wait().unwrap().is_stale());

    file.disable("orders", 1).unwrap();
    let error = open(&cold(&path), "", &one).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("orders/1 is disabled"), "{error}");
    file.enable("orders", 1).unwrap();
    assert_eq!(open(&cold(&path), "", &one).unwrap(), b"x");
    file.disable("orders", 1).unwrap();
    file.destroy("orders", 1).unwrap();
    assert!(open(&cold(&path), "", &one).unwrap_err().to_string().contains("orders/1 is destroyed"));
    assert_eq!(open(&cold(&path), "", &two).unwrap(), b"x");

    // Of the two keys that were, one is left in the file.
    assert_eq!(fs::read_to_string(&path).unwrap().matches("material").count(), 1);
    let versions = &file.keys().unwrap()[0].versions;
    let states: Vec<_> = versions.iter().map(|v| (v.version, v.state)).collect();
    assert_eq!(states, [(1, KeyState::Destroyed), (2, KeyState::Enabled)]);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let (_folder, path, file) = setup("refused");
    file.rotate("orders").unwrap();
    file.rotate("orders").unwrap();
    file.disable("orders", 1).unwrap();
    file.destroy("orders", 1).unwrap();
    let before = fs::read(&path).unwrap();
    for refused in [
        file.add("orders").map(|_| ()),
        file.add("a/b").map(|_| ()),
        file.add("").map(|_| ()),
        file.rotate("nobody").map(|_| ()),
        file.disable("orders", 3),
        file.destroy("orders", 3),
        file.destroy("orders", 2),
        file.disable("orders", 9),
        file.enable("orders", 1),
        file.destroy("orders", 1),
        file.disable("nobody", 1),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Misuse);
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(KeyringFile::at("/nowhere/keys.json").rotate("k").unwrap_err().kind(), ErrorKind::Io);
    fs::write(&path, "{}").unwrap();
    assert_eq!(file.rotate("orders").unwrap_err().kind(), ErrorKind::Malformed);
    assert_eq!(fs::read(&path).unwrap(), b"{}");
}

#[test]
fn keys_are_added_and_modes_and_links_kept() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path, file) = setup("added");
    assert_eq!(file.add("backup").unwrap().as_str(), "backup/1");
    let names: Vec<_> = file.keys().unwrap().into_iter().map(|k| k.name).collect();
    assert_eq!(names, ["orders", "backup"]);
    let link = folder.join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    KeyringFile::at(&link).rotate("backup").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(file.keys().unwrap()[1].primary, 2);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2, "nothing left beside it");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(file.rotate("backup").unwrap_err().kind(), ErrorKind::Misuse);
}

/// A keyring that is open sees what others change; while the file is broken it goes on.
#[test]
fn an_open_keyring_follows_its_file() {
    let (_folder, path, file) = setup("follows");
    let running = Keyring::open(&path, "orders").unwrap();
    use libkms::kek::KmsBackend;
    let current = || running.current_key().wait().unwrap().unwrap().to_string();
    assert_eq!(current(), "orders/1");
    file.rotate("orders").unwrap();
    let two = seal(&cold(&path));
    assert!(running.accepts(&libkms::KeyId::new("orders/2").unwrap()));
    assert_eq!(current(), "orders/2");
    fs::write(&path, "{ half").unwrap();
    assert_eq!(current(), "orders/2");
    fs::remove_file(&path).unwrap();
    assert_eq!(current(), "orders/2");
    let reader = scope(running, &[]);
    assert_eq!(open(&reader, "", &two).unwrap(), b"x");
}

/// Eight threads against one file while it rotates: nothing lost, every record opens.
#[test]
fn rotation_under_load_loses_nothing() {
    let (_folder, path, file) = setup("load");
    let (stop, rotations) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|t| {
        for _ in 0..2 {
            t.spawn(|| {
                // Two writers, each with a handle of its own: no rotation is lost.
                for _ in 0..20 {
                    KeyringFile::at(&path).rotate("orders").unwrap();
                    rotations.fetch_add(1, Ordering::SeqCst);
                }
                stop.store(true, Ordering::SeqCst);
            });
        }
        for _ in 0..8 {
            t.spawn(|| {
                let running = cold(&path);
                while !stop.load(Ordering::SeqCst) {
                    let sealed = seal(&cold(&path));
                    assert_eq!(open(&running, "", &sealed).unwrap(), b"x");
                }
            });
        }
    });
    let key = &file.keys().unwrap()[0];
    assert_eq!((key.versions.len(), key.primary), (41, 41));
    assert_eq!(rotations.load(Ordering::SeqCst), 40);
    let mut numbers: Vec<_> = key.versions.iter().map(|v| v.version).collect();
    numbers.dedup();
    assert_eq!(numbers, (1..=41).collect::<Vec<_>>());
}

/// A link that is turned while a key rotates must not have one file overwrite another.
#[test]
fn a_turning_link_mixes_no_keyrings() {
    let folder = Folder::new("turning");
    let (a, b, link) = (folder.join("a.json"), folder.join("b.json"), folder.join("link"));
    Keyring::create(&a, "a").unwrap();
    Keyring::create(&b, "b").unwrap();
    let turn = |to: &std::path::Path| {
        let next = folder.join("next");
        std::os::unix::fs::symlink(to, &next).unwrap();
        fs::rename(next, &link).unwrap();
    };
    turn(&a);
    let stop = AtomicBool::new(false);
    thread::scope(|t| {
        t.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                turn(&b);
                turn(&a);
            }
        });
        for _ in 0..200 {
            // Whichever it is at the moment; the other one has no such key.
            let _ = KeyringFile::at(&link).rotate("a");
            let _ = KeyringFile::at(&link).rotate("b");
        }
        stop.store(true, Ordering::SeqCst);
    });
    for (path, name) in [(&a, "a"), (&b, "b")] {
        let keys = KeyringFile::at(path).keys().unwrap();
        assert!(keys.len() == 1 && keys[0].name == name, "{keys:?}");
    }
}

#[test]
fn a_fifo_hangs_nobody() {
    let (folder, path, file) = setup("fifo");
    let running = Keyring::open(&path, "orders").unwrap();
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg("-m600").arg(&path).status().unwrap();
    assert!(made.success());
    assert_eq!(Keyring::open(&path, "orders").unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(file.rotate("orders").unwrap_err().kind(), ErrorKind::Misuse);
    seal(&scope(running, &[]));
    drop(folder);
}
