//! What a cipher makes of a key: the fifteen round keys, and the powers of H, plain and as the
//! kernels keep them. All memory of a process is searched, the dead stack and the registers first.
#[path = "kubernetes.rs"]
mod kubernetes;

use super::{again, deepen, forge, maps, masked};
use crate::common::*;
use libkms::{Aad, SealOptions, Wait};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const DEK: [u8; 32] = [0x3c; 32];

#[test]
fn f34_nothing_that_is_made_of_a_key_is_left() {
    for without in ["", "vaes512", "vaes512,vaes256", "vaes512,vaes256,aesni"] {
        let ran = again("ciphers::round_keys_and_the_whole_memory").env("LIBKMS_WITHOUT", without).output();
        let ran = ran.unwrap();
        assert!(ran.status.success(), "without {without:?}: {}", String::from_utf8_lossy(&ran.stdout));
    }
}

/// Looks first, and computes then what it looks for: whatever computes it leaves it somewhere.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn round_keys_and_the_whole_memory() {
    let folder = Folder::new("round-keys");
    let mut looker = Looker::new(&folder.0);
    let (context, plaintext) = (context(&[("a", "b")]), pattern(40_000));
    let kms = || scope(forge::Glass { key_id: "glass/1", dek: DEK }, &[("a", "b")]);
    deepen(60);

    let scope = kms();
    let first = scope.seal(Aad::empty(), &plaintext[..300]).wait().unwrap();
    let sealed = [first, scope.seal(Aad::empty(), &plaintext).wait().unwrap()];
    looker.look("sealed");
    let other = kms();
    for sealed in &sealed {
        open(&other, "", sealed).unwrap();
    }
    looker.look("opened");
    let mut damaged = sealed[0].clone();
    *damaged.last_mut().unwrap() ^= 1;
    open(&other, "", &damaged).unwrap_err();
    looker.look("refused");

    let (mut stream, mut back) = (Vec::new(), Vec::new());
    let mut sealing = scope.sealer_with(Aad::from("s"), &SealOptions::new()).wait().unwrap();
    sealing.push(&plaintext, &mut stream).unwrap();
    looker.look("sealing");
    sealing.finish(&mut stream).unwrap();
    looker.look("stream sealed");
    let header = libkms::Header::parse(&stream).unwrap();
    let opener = other.opener(Aad::from("s"), &header).wait().unwrap();
    let mut opening = opener.stream();
    opening.push(&stream[header.len()..], &mut back).unwrap();
    looker.look("opening");
    opening.finish(&mut back).unwrap();
    drop(opener);
    looker.look("stream opened");
    drop((scope, other));
    looker.look("dropped");

    let batch_scope = kms();
    let items = [(&batch_scope, Aad::empty(), &plaintext[..200]); 20];
    let batch = batch_scope.kms().seal_batch(&items).wait();
    looker.look("batch sealed");
    let batch: Vec<_> = batch.into_iter().map(|sealed| sealed.unwrap()).collect();
    let items: Vec<_> = batch.iter().map(|sealed| (&batch_scope, Aad::empty(), &sealed[..])).collect();
    assert!(batch_scope.kms().open_batch(&items).wait().iter().all(|opened| opened.is_ok()));
    looker.look("batch opened");
    drop(items);
    drop(batch_scope);
    looker.look("batch dropped");

    let keys = |suite| forge::derive(&DEK, suite, &context).payload;
    let message = |sealed: &Vec<u8>| {
        let nonce = sealed[header_len(sealed)..][..24].try_into().unwrap();
        forge::xaes(&keys(1), &nonce).0
    };
    let of_stream = forge::chunks(&keys(2), &stream[header.len()..][..24], b"s");
    for look in &looker.looks {
        for (what, key) in [
            ("the first message", message(&sealed[0])),
            ("the other", message(&sealed[1])),
            ("one of the batch", message(&batch[0])),
            ("another of the batch", message(&batch[18])),
        ] {
            assert_eq!(look.finds(&key), Found::default(), "{what}, {}", look.name);
        }
        let (of_payload, of_stream) = (look.finds(&keys(1)), look.finds(&of_stream));
        let is_under_way = ["sealing", "opening"].contains(&look.name);
        // In key memory, and there as long as they are in use.
        for found in [&of_payload, &of_stream] {
            assert_eq!(*found, Found { key_memory: found.key_memory, ..Found::default() }, "{}", look.name);
        }
        assert_eq!(
            of_payload.key_memory > 0,
            !["dropped", "batch dropped"].contains(&look.name),
            "{}",
            look.name
        );
        assert_eq!(of_stream.key_memory > 0, is_under_way, "{}", look.name);
        // Found there: all round keys, and powers as the kernels keep them.
        let kernels = !std::env::var("LIBKMS_WITHOUT").is_ok_and(|w| w.contains("aesni"));
        if is_under_way && kernels && cfg!(target_arch = "x86_64") && is_x86_feature_detected!("aes") {
            assert!(of_stream.key_memory >= 2 * (15 + 8), "{}: {of_stream:?}", look.name);
        }
    }
    the_search_finds_what_is_there(&mut looker, &keys(1));
}

/// What computed `key` left it in ordinary memory; another one is nowhere but in a register.
fn the_search_finds_what_is_there(looker: &mut Looker, key: &[u8; 32]) {
    let other: [u8; 32] = std::array::from_fn(|i| 200 - 3 * i as u8);
    looker.looks.clear();
    made_of(key);
    looker.look("computed");
    load_a_register(u64::from_ne_bytes(masked(&other[..8]).try_into().unwrap()));
    looker.look("loaded");
    let (computed, loaded) = (looker.looks[0].finds(key), looker.looks[1].finds(&other));
    assert!(computed.dead_stack >= 15 && computed.ordinary >= 30 && computed.key_memory == 0, "{computed:?}");
    assert!(loaded.registers == 1 || !cfg!(target_arch = "x86_64"), "{loaded:?}");
}

/// How many halves of blocks were found.
#[derive(Debug, Default, PartialEq)]
struct Found {
    registers: usize,
    dead_stack: usize,
    ordinary: usize,
    key_memory: usize,
}

struct Looker {
    folder: PathBuf,
    registers: Box<[u8; REGISTERS]>,
    vectors: u32,
    stack: Box<[u8; DEAD]>,
    looks: Vec<Look>,
}

/// Sixteen of 8 bytes, 32 of 64.
const REGISTERS: usize = 16 * 8 + 32 * 64;
const DEAD: usize = 40 << 10;

/// All masked.
struct Look {
    name: &'static str,
    registers: Vec<u8>,
    dead_stack: Vec<u8>,
    /// Ordinary memory, and key memory.
    files: [PathBuf; 2],
}

impl Looker {
    fn new(folder: &Path) -> Self {
        #[cfg(target_arch = "x86_64")]
        let vectors =
            u32::from(is_x86_feature_detected!("avx")) + u32::from(is_x86_feature_detected!("avx512f"));
        #[cfg(not(target_arch = "x86_64"))]
        let vectors = 0;
        let (registers, stack) = (Box::new([0; REGISTERS]), Box::new([0; DEAD]));
        Self { folder: folder.into(), registers, vectors, stack, looks: Vec::with_capacity(16) }
    }

    /// Inlined: it looks where the work before it was.
    #[inline(always)]
    fn look(&mut self, name: &'static str) {
        store_registers(&mut self.registers, self.vectors);
        copy_dead_stack(&mut self.stack);
        self.copy(name);
    }

    fn copy(&mut self, name: &'static str) {
        let (registers, dead_stack) = (masked(&self.registers[..]), masked(&self.stack[..]));
        self.registers.fill(0);
        self.stack.fill(0);
        let files = ["ordinary", "keys"].map(|kind| self.folder.join(format!("{name}-{kind}")));
        let mut out = files.each_ref().map(|path| File::create(path).unwrap());
        let (smaps, memory) = (fs::read_to_string("/proc/self/smaps").unwrap(), File::open("/proc/self/mem"));
        let (memory, mut part) = (memory.unwrap(), vec![0; 1 << 16]);
        for (range, _, flags) in maps(&smaps).iter().filter(|map| map.1.starts_with("rw")) {
            let is_key_memory = flags.split(' ').any(|flag| flag == "dd");
            for at in range.clone().step_by(part.len()) {
                let len = part.len().min(range.end - at);
                // Some pages of the kernel's cannot be read so.
                let read = memory.read_at(&mut part[..len], at as u64).unwrap_or(0);
                part[..read].iter_mut().for_each(|byte| *byte ^= 0x55);
                out[usize::from(is_key_memory)].write_all(&part[..read]).unwrap();
                part.fill(0);
            }
        }
        self.looks.push(Look { name, registers, dead_stack, files });
    }
}

impl Look {
    fn finds(&self, key: &[u8; 32]) -> Found {
        let wanted = made_of(key);
        let [ordinary, keys] = self.files.each_ref().map(|path| fs::read(path).unwrap());
        Found {
            registers: count(&self.registers, &wanted),
            dead_stack: count(&self.dead_stack, &wanted),
            ordinary: count(&ordinary, &wanted),
            key_memory: count(&keys, &wanted),
        }
    }
}

/// How many of `wanted` stand anywhere.
fn count(memory: &[u8], wanted: &[u64]) -> usize {
    let mut begins = vec![false; 1 << 16];
    wanted.iter().for_each(|half| begins[usize::from(*half as u16)] = true);
    let mut found: HashMap<u64, bool> = wanted.iter().map(|half| (*half, false)).collect();
    for window in memory.windows(8) {
        if begins[usize::from(u16::from_ne_bytes([window[0], window[1]]))] {
            let half = u64::from_ne_bytes(window.try_into().unwrap());
            found.entry(half).and_modify(|found| *found = true);
        }
    }
    found.values().filter(|found| **found).count()
}

/// The halves of all blocks that are made of a key, masked.
fn made_of(key: &[u8; 32]) -> Vec<u64> {
    let h = u128::from_be_bytes(forge::block(key, [0; 16]));
    let powers: Vec<u128> =
        std::iter::successors(Some(h), |power| Some(forge::mul(*power, h))).take(36).collect();
    // Bits reversed, times x modulo the polynomial (src/arch/gcm/hash.rs).
    let kept = |h: u128| (h << 1 ^ if h >> 127 == 1 { 0xc2 << 120 | 1 } else { 0 }).to_le_bytes();
    let plain = powers.iter().map(|power| power.to_be_bytes());
    let reversed = powers.iter().map(|power| power.to_le_bytes());
    let blocks =
        round_keys(key).into_iter().chain(plain).chain(reversed).chain(powers.iter().map(|h| kept(*h)));
    let halves = blocks.flat_map(|block| {
        let (a, b) = block.split_at(8);
        [a, b].map(|half| u64::from_ne_bytes(masked(half).try_into().unwrap()))
    });
    halves.collect()
}

/// FIPS 197, section 5.2.
fn round_keys(key: &[u8; 32]) -> [[u8; 16]; 15] {
    let (mut words, mut round) = ([[0u8; 4]; 60], 1u8);
    words[..8].iter_mut().zip(key.chunks(4)).for_each(|(word, bytes)| word.copy_from_slice(bytes));
    for i in 8..60 {
        let mut word = words[i - 1];
        if i % 4 == 0 {
            word = word.map(s_box);
        }
        if i % 8 == 0 {
            word.rotate_left(1);
            word[0] ^= round;
            round <<= 1;
        }
        words[i] = std::array::from_fn(|j| words[i - 8][j] ^ word[j]);
    }
    std::array::from_fn(|i| words[4 * i..4 * i + 4].concat().try_into().unwrap())
}

/// FIPS 197, section 5.1.1: x^254 in the field, and an affine map.
fn s_box(byte: u8) -> u8 {
    let times = |a: u8, b: u8| {
        (0..8).rev().fold(0u8, |sum, i| {
            let doubled = sum << 1 ^ if sum >> 7 == 1 { 0x1b } else { 0 };
            doubled ^ if b >> i & 1 == 1 { a } else { 0 }
        })
    };
    let inverse = (0..253).fold(byte, |power, _| times(power, byte));
    (0..5).fold(0x63, |sum, i| sum ^ inverse.rotate_left(i))
}

/// Of those that a call may change, and those that it may not: all.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn store_registers(into: &mut [u8; REGISTERS], vectors: u32) {
    macro_rules! store {
        ($mov:literal, $name:literal, $($n:literal)*) => {
            concat!($($mov, " [rdi + 128 + 64 * ", $n, "], ", $name, $n, "\n"),*)
        };
    }
    // SAFETY: writes to `into` alone, which has room for all of them; `vectors` says what there is.
    unsafe {
        std::arch::asm!(
            "mov [rdi], rax", "mov [rdi + 8], rbx", "mov [rdi + 16], rcx", "mov [rdi + 24], rdx",
            "mov [rdi + 32], rbp", "mov [rdi + 40], r8", "mov [rdi + 48], r9", "mov [rdi + 56], r10",
            "mov [rdi + 64], r11", "mov [rdi + 72], r12", "mov [rdi + 80], r13", "mov [rdi + 88], r14",
            "mov [rdi + 96], r15",
            "cmp esi, 1", "je 3f", "ja 4f",
            store!("movdqu", "xmm", 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15), "jmp 5f",
            "3:", store!("vmovdqu", "ymm", 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15), "jmp 5f",
            "4:", store!("vmovdqu64", "zmm", 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23
                24 25 26 27 28 29 30 31),
            "5:",
            in("rdi") into.as_mut_ptr(), in("esi") vectors, options(nostack),
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn store_registers(_: &mut [u8; REGISTERS], _: u32) {}

/// What is masked stands as it is in one register, and nowhere else.
#[inline(always)]
fn load_a_register(masked: u64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: changes registers, which are declared.
    unsafe {
        std::arch::asm!(
            "xor {0}, {1}", "movq xmm13, {0}", "xor {0}, {0}",
            inout(reg) masked => _, in(reg) 0x5555_5555_5555_5555u64, out("xmm13") _,
            options(nomem, nostack),
        );
    }
    let _ = masked;
}

/// The stack was deeper than this, by `deepen`.
#[inline(never)]
fn copy_dead_stack(into: &mut [u8; DEAD]) {
    let here = 0u8;
    let bottom = std::ptr::from_ref(&here) as usize - 256 - DEAD;
    for (i, byte) in into.iter_mut().enumerate() {
        // SAFETY: the stack was that deep, and its pages stay mapped.
        *byte = unsafe { std::ptr::read_volatile((bottom + i) as *const u8) };
    }
}
