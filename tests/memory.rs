//! Key memory, as the system sees it: pages, limits, forks. Needs system calls.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "fork, and the pages of a key")]
#[path = "memory/ciphers.rs"]
mod ciphers;
mod common;
#[path = "common/forge.rs"]
mod forge;
#[path = "common/unsure.rs"]
mod unsure;

use common::*;
use libkms::{
    Aad, Dek, EncryptionContext, ErrorKind, Freshness, Header, Kms, Result, Scope, SealOptions, Wait,
    kek::{Keyring, KeyringFile, KmsBackend, Mock, OnTokio, Passphrase},
    secret::residency,
};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
};
use unsure::Unsure;

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
    let passphrase = Passphrase::take(*b"a passphrase").unwrap();
    let (scope, dek) = (scope(Mock::new("k"), &[]), Dek::generate().unwrap());
    let sealed = scope.seal(Aad::empty(), b"x").wait().unwrap();
    let stream = seal_stream(&scope, "", &SealOptions::new(), &pattern(40_000));
    let header = Header::parse(&stream).unwrap();
    let opening = scope.opener(Aad::empty(), &header).wait().unwrap();
    let mut sealing = scope.sealer(Aad::empty()).wait().unwrap();
    let wrapped = ring.wrap_dek(&dek, scope.context()).wait().unwrap();
    // Nobody in the child would end the wait for a key that is not told.
    let silent = common::scope(Unsure(Mock::new("k"), "hangs"), &[]);

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
            forked(Keyring::open(folder.join("k.json"), "k")),
            forked(Passphrase::take([7; 32])),
            silent.kms().freshness(&header).wait() == Freshness::Unknown,
            silent.kms().usage() == libkms::Usage::default(),
            forked(Keyring::create_with(folder.join("p.json"), "k", &passphrase)),
            out.is_empty(),
            residency() == Default::default(),
        ];
        drop((ring, dek, opening));
        checks.iter().position(|ok| !ok).map_or(0, |i| i as u8 + 1)
    });
    assert_eq!(answer, 0, "the check with this number failed in the child");
    assert_eq!(open(&scope, "", &sealed).unwrap(), b"x", "and the parent goes on");
}

/// The I/O thread stays with the parent; so does a runtime that was handed over.
#[test]
fn f16_a_forked_child_waits_for_no_io_thread() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let context = EncryptionContext::empty();
    let (own, on) = (OnTokio::own(Mock::new("k")), OnTokio::on(runtime.handle().clone(), Mock::new("k")));
    let (dek, wrapped) = own.generate_dek(&context).wait().unwrap();
    on.generate_dek(&context).wait().unwrap();
    let answer = in_fork(|| {
        let checks = [
            forked(own.current_key().wait()),
            forked(own.unwrap_dek(&wrapped, &context).wait()),
            forked(own.wrap_dek(&dek, &context).wait()),
            forked(own.generate_dek(&context).wait()),
            forked(on.current_key().wait()),
        ];
        checks.iter().position(|ok| !ok).map_or(0, |i| i as u8 + 1)
    });
    assert_eq!(answer, 0, "the check with this number failed in the child");
    own.unwrap_dek(&wrapped, &context).wait().unwrap();
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

/// Threads that hold every lock there is must not stop a child.
#[test]
fn a_fork_in_the_middle_of_everything_does_not_hang() {
    let scope = scope(Mock::new("k"), &[]);
    let sealed = scope.seal(Aad::empty(), b"x").wait().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|t| {
        for n in 0..3 {
            let (scope, sealed, stop) = (&scope, &sealed, &stop);
            t.spawn(move || {
                let mut i = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    i += 1;
                    let tenant = scope.with("t", format!("{n}-{}", i % 50)).unwrap();
                    tenant.seal(Aad::empty(), b"x").wait().unwrap();
                    open(scope, "", sealed).unwrap();
                }
            });
        }
        for _ in 0..100 {
            let answer = in_fork(|| {
                let tenant = scope.with("t", "child").unwrap();
                u8::from(
                    !forked(tenant.seal(Aad::empty(), b"x").wait()) || !forked(open(&scope, "", &sealed)),
                )
            });
            assert_eq!(answer, 0);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// Bytes of keys, masked so that what is looked for is not what is found.
fn masked(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|b| b ^ 0x55).collect()
}

/// Whether 16 bytes stand in the dead part of this thread's stack.
fn is_on_the_stack(masked: &[u8]) -> bool {
    snapshot().windows(masked.len()).any(|w| w == masked)
}

/// The dead part of the stack, masked. It was that deep just now (`deepen`).
#[inline(never)]
fn snapshot() -> Vec<u8> {
    let mut copy = Vec::with_capacity(40 * 1024);
    let here = 0u8;
    let top = std::ptr::from_ref(&here) as usize;
    for at in top - 40 * 1024..top - 1024 {
        // SAFETY: the stack was deeper than this, and its pages stay mapped.
        let byte = unsafe { std::ptr::read_volatile(at as *const u8) };
        copy.push(byte ^ 0x55);
    }
    copy
}

/// Overwrites the dead part of the stack.
#[inline(never)]
fn deepen(kib: usize) {
    let mut block = [0u8; 1024];
    std::hint::black_box(&mut block);
    if kib > 0 {
        deepen(kib - 1);
    }
    std::hint::black_box(&mut block);
}

#[inline(never)]
fn leave(key: &[u8; 32]) {
    let mut frame = [0u8; 8192];
    frame[3000..3032].copy_from_slice(key);
    std::hint::black_box(&mut frame);
}

/// Keys, and what is derived from them, leave nothing on the stack where they worked.
#[test]
fn f34_no_key_is_left_on_the_stack() {
    let folder = Folder::new("stack");
    let ring = Keyring::create(folder.join("k.json"), "k").unwrap();
    let text = fs::read_to_string(folder.join("k.json")).unwrap();
    let base64 = text.split("\"material\": \"").nth(1).unwrap().split('"').next().unwrap();
    let kek = masked(&<base64ct::Base64 as base64ct::Encoding>::decode_vec(base64).unwrap());
    let context = context(&[("a", "b")]);
    let dek = [0x3c; 32];
    let scope = scope(forge::Glass { key_id: "glass/1", dek }, &[("a", "b")]);
    let keys = forge::derive(&dek, 1, &context);
    let mut wanted = vec![("K_mac", masked(&keys.mac)), ("K_payload", masked(&keys.payload))];
    wanted.push(("KEK", kek));
    let check = |what: &str, wanted: &[(&str, Vec<u8>)]| {
        for (name, key) in wanted {
            for half in key.chunks(16) {
                assert!(!is_on_the_stack(half), "{name} after {what}");
            }
        }
    };

    deepen(60);
    scope.seal(Aad::empty(), &[7; 300]).wait().unwrap();
    check("the first seal", &wanted);
    // The key of a message is told by its nonce: look first, and compute it then.
    let message_key = |sealed: &[u8]| {
        let nonce = sealed[header_len(sealed)..][..24].try_into().unwrap();
        masked(&forge::xaes(&keys.payload, &nonce).0)
    };
    deepen(60);
    let sealed = scope.seal(Aad::empty(), &[7; 300]).wait().unwrap();
    let found = snapshot();
    for half in message_key(&sealed).chunks(16) {
        assert!(!found.windows(16).any(|w| w == half), "the message's key after a seal");
    }
    wanted.push(("the message's key", message_key(&sealed)));
    deepen(60);
    open(&scope, "", &sealed).unwrap();
    check("an open", &wanted);
    deepen(60);
    let wrapped = ring.wrap_dek(&Dek::generate().unwrap(), &context).wait().unwrap();
    check("a wrap", &wanted);
    deepen(60);
    ring.unwrap_dek(&wrapped, &context).wait().unwrap();
    check("an unwrap", &wanted);

    // The search finds what is there.
    deepen(60);
    leave(&[0x77; 32]);
    assert!(is_on_the_stack(&masked(&[0x77; 16])));
}

/// Nor in the vector registers: the dump of a process holds them.
#[cfg(target_arch = "x86_64")]
#[test]
fn f34_the_vector_registers_are_wiped() {
    let scope = scope(Mock::new("k"), &[]);
    let sealed = scope.seal(Aad::empty(), &[7; 300]).wait().unwrap();
    let opener = scope.open(Aad::empty(), &sealed);
    drop(opener.wait().unwrap());
    let registers = |work: &dyn Fn()| {
        work();
        let mut r = [[0u8; 16]; 16];
        // SAFETY: stores sixteen registers of 16 bytes each to an array of that size.
        unsafe {
            std::arch::asm!(
                "movdqu [{0}], xmm0", "movdqu [{0} + 16], xmm1", "movdqu [{0} + 32], xmm2",
                "movdqu [{0} + 48], xmm3", "movdqu [{0} + 64], xmm4", "movdqu [{0} + 80], xmm5",
                "movdqu [{0} + 96], xmm6", "movdqu [{0} + 112], xmm7", "movdqu [{0} + 128], xmm8",
                "movdqu [{0} + 144], xmm9", "movdqu [{0} + 160], xmm10", "movdqu [{0} + 176], xmm11",
                "movdqu [{0} + 192], xmm12", "movdqu [{0} + 208], xmm13", "movdqu [{0} + 224], xmm14",
                "movdqu [{0} + 240], xmm15",
                in(reg) r.as_mut_ptr(), options(nostack, preserves_flags),
            );
        }
        r
    };
    // What moved a tag, or cleared a buffer, may show.
    const FEW: usize = 3;
    let noise = |r: &[[u8; 16]; 16]| r.iter().filter(|r| r.iter().filter(|b| **b != 0).count() > 12).count();
    // A cipher of the same crates, called without the library, leaves round keys there.
    let bare = registers(&|| {
        use aes::cipher::{BlockCipherEncrypt, KeyInit};
        let mut block = [9; 16].into();
        aes::Aes256::new(&[0x91; 32].into()).encrypt_block(&mut block);
        std::hint::black_box(block);
    });
    let (mut out, mut back) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    for _ in 0..3 {
        scope.seal_into(Aad::empty(), &[7; 300], &mut out).wait().unwrap();
        let sealed = registers(&|| ());
        assert!(noise(&sealed) <= FEW, "{sealed:x?}");
        out.clear();
        scope.open_into(Aad::empty(), &sealed_again(&scope), &mut back).wait().unwrap();
        let opened = registers(&|| ());
        assert!(noise(&opened) <= FEW, "{opened:x?}");
    }
    assert!(noise(&bare) > 2 * FEW || !std::is_x86_feature_detected!("aes"), "the check can fail: {bare:x?}");
}

#[cfg(target_arch = "x86_64")]
fn sealed_again(scope: &Scope) -> Vec<u8> {
    scope.seal(Aad::empty(), &[7; 300]).wait().unwrap()
}

const PASSPHRASE: [u8; 32] = masked_array(*b"a passphrase of 32 bytes in all!");
const KDF: &str = r#"{ "name": "argon2id", "m": 19456, "t": 1, "p": 1, "salt": "c2FsdCBvZiAxNiBieXRlcw==" }"#;
const WRAPPED: &str = "w0wWbUkD4tGemtk+JJBQqZVMMYw6OXqNQ73vuEra7pNBC3rxaHVvPw==";

/// At compile time: the bytes themselves lie in no memory.
const fn masked_array(mut bytes: [u8; 32]) -> [u8; 32] {
    let mut i = 0;
    while i < bytes.len() {
        bytes[i] ^= 0x55;
        i += 1;
    }
    bytes
}

/// No passphrase, nothing that is made of it, and nothing of what Argon2id works with is left
/// in memory that can be swapped or dumped, while a keyring is open and when files were edited.
#[test]
fn f34_a_passphrase_leaves_nothing_in_ordinary_memory() {
    let mut child = again("a_passphrase_and_the_whole_memory");
    // What is given back stays in the heap, where it can be found.
    child.env("MALLOC_ARENA_MAX", "1").env("MALLOC_MMAP_THRESHOLD_", (32 << 20).to_string());
    child.env("MALLOC_TRIM_THRESHOLD_", (1 << 30).to_string());
    let ran = child.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn a_passphrase_and_the_whole_memory() {
    let folder = Folder::new("whole-memory");
    let (path, secret) = (folder.join("k.json"), folder.join("secret"));
    let text = format!(
        r#"{{ "format": "libkms-keyring/1", "kdf": {KDF}, "keys": [ {{ "name": "k", "primary": 1, "versions":
        [ {{ "version": 1, "created": "2026-11-24T00:00:00Z", "state": "enabled", "material": "{WRAPPED}" }} ] }} ] }}"#
    );
    let unmasked = || zeroize::Zeroizing::new(PASSPHRASE.map(|b| b ^ 0x55));
    fs::write(&path, text).unwrap();
    fs::write(&secret, unmasked().as_slice()).unwrap();
    for file in [&path, &secret] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let params = argon2::Params::new(19456, 1, 1, Some(32)).unwrap();
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut wanted = vec![("the passphrase", PASSPHRASE.to_vec())];
    let derive = |wipe: bool| {
        let mut memory = zeroize::Zeroizing::new(vec![argon2::Block::new(); 19456]);
        let mut key = zeroize::Zeroizing::new([0; 32]);
        let (passphrase, salt) = (unmasked(), b"salt of 16 bytes");
        argon.hash_password_into_with_memory(&*passphrase, salt, &mut *key, &mut memory[..]).unwrap();
        // In the middle: the allocator writes to the ends of what it is given back.
        let of = |block: &argon2::Block| {
            let words: &[u64] = block.as_ref();
            masked(
                &words[60].to_ne_bytes().iter().chain(&words[61].to_ne_bytes()).copied().collect::<Vec<_>>(),
            )
        };
        let found = [masked(&*key), of(&memory[0]), of(&memory[19455])];
        if !wipe {
            drop(std::mem::take(&mut *memory));
        }
        found
    };
    let [key, first, last] = derive(true);
    wanted.extend([("K_pass", key), ("Argon2id's first block", first), ("Argon2id's last block", last)]);
    deepen(60);

    let ring = Keyring::open_with(&path, "k", &Passphrase::from_file(&secret).unwrap()).unwrap();
    let mut file = KeyringFile::at(&path).with_passphrase(Passphrase::from_file(&secret).unwrap());
    file.rotate("k").unwrap();
    file.set_passphrase(Passphrase::from_file(&secret).unwrap()).unwrap();
    assert!(ring.accepts(&libkms::KeyId::new("k/1").unwrap()));
    for (name, bytes) in &wanted {
        for half in bytes.chunks(16) {
            assert!(!is_in_memory(half), "{name} is left");
        }
    }
    // The search finds what is there, and what was given back as it is.
    let left = unmasked().to_vec();
    assert!(is_in_memory(&PASSPHRASE[16..]));
    drop(std::hint::black_box(left));
    derive(false);
    assert!(is_in_memory(&wanted[3].1) || !cfg!(target_env = "gnu"));
    drop(ring);
}

/// Whether 16 bytes, masked, stand in pages that this process can write, those for keys apart.
fn is_in_memory(masked: &[u8]) -> bool {
    use std::os::unix::fs::FileExt;
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let memory = fs::File::open("/proc/self/mem").unwrap();
    let mut part = vec![0; 1 << 16];
    let is_ordinary = |m: &&Map<'_>| m.1.starts_with("rw") && !m.2.split(' ').any(|flag| flag == "dd");
    maps(&smaps).iter().filter(is_ordinary).any(|(range, ..)| {
        range.clone().step_by(part.len() - 16).any(|at| {
            let len = part.len().min(range.end - at);
            // Some pages of the kernel's cannot be read so.
            let read = memory.read_at(&mut part[..len], at as u64).unwrap_or(0);
            let found = part[..read].windows(16).any(|w| w.iter().zip(masked).all(|(a, b)| a ^ 0x55 == *b));
            part.fill(0);
            found
        })
    })
}

/// Addresses, access, flags.
type Map<'a> = (std::ops::Range<usize>, &'a str, &'a str);

fn maps(smaps: &str) -> Vec<Map<'_>> {
    let mut maps: Vec<Map<'_>> = Vec::new();
    for line in smaps.lines() {
        let range = line.split(' ').next().and_then(|r| r.split_once('-'));
        let number = |s: &str| usize::from_str_radix(s, 16).ok();
        if let Some((Some(from), Some(to))) = range.map(|(a, b)| (number(a), number(b))) {
            maps.push((from..to, line.split(' ').nth(1).unwrap_or(""), ""));
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            maps.last_mut().unwrap().2 = flags;
        }
    }
    maps
}

/// The pages of a key: locked, not dumped, wiped on fork, between pages without access.
#[test]
fn keys_lie_in_locked_pages_between_guards() {
    let dek = Dek::generate().unwrap();
    let at = std::ptr::from_ref(dek.expose().unwrap()) as usize;
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let maps = maps(&smaps);
    let i = maps.iter().position(|m| m.0.contains(&at)).unwrap();
    let (range, access, flags) = &maps[i];
    assert_eq!(*access, "rw-p");
    for flag in ["lo", "dd", "wf"] {
        assert!(flags.split(' ').any(|f| f == flag), "{flag} is missing of {flags}");
    }
    let guard = |m: &Map<'_>| m.1 == "---p";
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
        // By another program: a test that forks just then would hold the copy open to write,
        // and what is open to write does not run.
        let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status();
        assert!(copied.unwrap().success());
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
