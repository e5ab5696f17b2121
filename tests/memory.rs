//! Key memory, as the system sees it: pages, limits, forks. Needs system calls.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "fork, and the pages of a key")]
mod common;

use common::*;
use libkms::{
    Aad, Dek, EncryptionContext, ErrorKind, Header, Kms, Result, Scope, SealOptions, Wait,
    kek::{Keyring, KmsBackend, Mock},
    secret::residency,
};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
};

/// Runs `child` in a fork, and gives what it answers.
fn in_fork(child: impl FnOnce() -> u8) -> i32 {
    // SAFETY: the child runs `child` and exits; what it calls answers without locks.
    match unsafe { libc::fork() } {
        0 => {
            let answer = child();
            // SAFETY: ends the child at once, without the test harness's destructors.
            unsafe { libc::_exit(answer.into()) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: waits for the child made above.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            assert!(libc::WIFEXITED(status), "the child was killed: {status}");
            libc::WEXITSTATUS(status)
        }
    }
}

fn forked<T>(result: Result<T>) -> bool {
    result.is_err_and(|e| e.kind() == ErrorKind::Forked)
}

#[test]
fn f16_after_a_fork_every_call_of_the_child_answers_forked() {
    let folder = Folder::new("fork");
    let ring = Keyring::create(folder.join("k.json"), "k").unwrap();
    let (scope, dek) = (scope(Mock::new("k"), &[]), Dek::generate().unwrap());
    let sealed = scope.seal(Aad::empty(), b"x").wait().unwrap();
    let stream = seal_stream(&scope, "", &SealOptions::new(), &pattern(40_000));
    let header = Header::parse(&stream).unwrap();
    let opening = scope.opener(Aad::empty(), &header).wait().unwrap();
    let mut sealing = scope.sealer(Aad::empty()).wait().unwrap();
    let wrapped = ring.wrap_dek(&dek, scope.context()).wait().unwrap();

    let answer = in_fork(|| {
        let mut out = Vec::new();
        let checks = [
            forked(scope.seal(Aad::empty(), b"x").wait()),
            forked(scope.open(Aad::empty(), &sealed).wait()),
            forked(scope.sealer(Aad::empty()).wait()),
            forked(scope.opener(Aad::empty(), &header).wait()),
            forked(sealing.push(&[0; 20_000], &mut out)),
            forked(opening.stream().push(&stream[header.len()..], &mut out)),
            forked(dek.expose()),
            forked(Dek::generate()),
            forked(Dek::take([7; 32])),
            forked(ring.wrap_dek(&dek, scope.context()).wait()),
            forked(ring.unwrap_dek(&wrapped, scope.context()).wait()),
            forked(scope.with("a", "b").unwrap().seal(Aad::empty(), b"x").wait()),
            out.is_empty(),
            residency() == Default::default(),
        ];
        drop((ring, dek, opening));
        checks.iter().position(|ok| !ok).map_or(0, |i| i as u8 + 1)
    });
    assert_eq!(answer, 0, "the check with this number failed in the child");
    assert_eq!(open(&scope, "", &sealed).unwrap(), b"x", "and the parent goes on");
}

/// A process that forks before its first use, as a server does for its workers.
#[test]
fn a_child_that_was_first_to_use_libkms_works() {
    let ran = again("first_use_in_a_child").status().unwrap();
    assert!(ran.success());
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn first_use_in_a_child() {
    let work = || u8::from(scope(Mock::new("k"), &[]).seal(Aad::empty(), b"x").wait().is_err());
    assert_eq!(in_fork(work), 0);
    assert_eq!(work(), 0, "parent and child each have their own");
}

/// The pages of a key: locked, not dumped, wiped on fork, between pages without access.
#[test]
fn keys_lie_in_locked_pages_between_guards() {
    let dek = Dek::generate().unwrap();
    let at = std::ptr::from_ref(dek.expose().unwrap()) as usize;
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut maps = Vec::new();
    for line in smaps.lines() {
        let range = line.split(' ').next().and_then(|r| r.split_once('-'));
        let number = |s: &str| usize::from_str_radix(s, 16).ok();
        if let Some((Some(from), Some(to))) = range.map(|(a, b)| (number(a), number(b))) {
            maps.push((from..to, line.split(' ').nth(1).unwrap_or(""), ""));
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            maps.last_mut().unwrap().2 = flags;
        }
    }
    let i = maps.iter().position(|m| m.0.contains(&at)).unwrap();
    let (range, access, flags) = &maps[i];
    assert_eq!(*access, "rw-p");
    for flag in ["lo", "dd", "wf"] {
        assert!(flags.split(' ').any(|f| f == flag), "{flag} is missing of {flags}");
    }
    let guard = |m: &(std::ops::Range<usize>, &str, &str)| m.1 == "---p";
    assert!(guard(&maps[i - 1]) && maps[i - 1].0.end == range.start);
    assert!(guard(&maps[i + 1]) && maps[i + 1].0.start == range.end);
    let r = residency();
    assert!(r.locked > 0 && r.locked_bytes >= 32 * r.locked);
}

#[test]
fn f33_with_little_or_no_lockable_memory_it_goes_on_and_says_so() {
    for (limit, some_locked) in [("64", true), ("0", false)] {
        // root passes the limit: another user, and a copy of this program it can read.
        let folder = Folder::new(&format!("memlock-{limit}"));
        let copy = folder.join("test");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            "ulimit -l $1 && exec \"$2\" --ignored --exact keys_beyond_the_limit",
            "sh",
            limit,
        ]);
        shell.arg(&copy).env("EXPECT_LOCKED", some_locked.to_string());
        // SAFETY: a question without side effects.
        if unsafe { libc::geteuid() } == 0 {
            shell.uid(65534).gid(65534);
        }
        let ran = shell.output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    }
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn keys_beyond_the_limit() {
    let keys: Vec<_> = (0..5000).map(|_| Dek::generate().unwrap()).collect();
    let r = residency();
    let expected = std::env::var("EXPECT_LOCKED").is_ok_and(|v| v == "true");
    assert!(r.unlocked > 0 && r.unlocked_bytes >= 32 * r.unlocked, "{r:?}");
    assert_eq!(r.locked > 0, expected, "{r:?}");
    assert_eq!(r.locked + r.unlocked, 5000);
    let kms = Kms::builder().kek(Mock::new("k")).build().unwrap();
    let scope: Scope = kms.scope(EncryptionContext::empty());
    let sealed = scope.seal(Aad::empty(), b"x").wait().unwrap();
    assert_eq!(open(&scope, "", &sealed).unwrap(), b"x");
    drop(keys);
    assert!(residency().unlocked < 100);
}

/// This program again, for one test.
fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", test]);
    command
}
