//! Every kernel against the RustCrypto crates.
mod batches;

use super::{Aes256Gcm, Engine, KERNEL_STACK, MessageKey, XaesKey, XaesSchedule, key::Key, xaes};
use crate::secret::{Locked, STACK};
use sha2::{Digest, Sha256};

/// SplitMix64.
pub(in crate::arch) struct Random(pub(in crate::arch) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(in crate::arch) fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N).try_into().unwrap()
    }

    pub(in crate::arch) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(len).collect()
    }
}

/// Around every buffer: what stands there must stay.
const CANARY: [u8; 64] = [0xca; 64];
const LONGEST: usize = 4096;

/// Case `i`: every length up to 4096, every AAD length up to 257 and every alignment occurs.
struct Case {
    key: [u8; 32],
    nonce: [u8; 12],
    aad: Vec<u8>,
    plaintext: Vec<u8>,
    offset: usize,
    /// A key for messages of this length alone, or of any.
    is_for_len: bool,
    flip: usize,
}

impl Case {
    fn new(i: usize, random: &mut Random) -> Self {
        let len = match i % 64 {
            // Where spans of 256 blocks end, and some long ones.
            63 => (random.next() % 20_000) as usize,
            _ => (i * 17) % (LONGEST + 1),
        };
        Self {
            key: random.array(),
            nonce: random.array(),
            aad: random.bytes(i % 258),
            plaintext: random.bytes(len),
            offset: (i / 3) % 64,
            is_for_len: random.next().is_multiple_of(2),
            flip: random.next() as usize,
        }
    }

    fn key(&self, engine: Option<Engine>) -> Aes256Gcm {
        Aes256Gcm::on(engine, &self.key, if self.is_for_len { self.plaintext.len() } else { usize::MAX })
    }

    /// `bytes` at the offset, canaries around them.
    fn place(&self, bytes: &[u8]) -> Vec<u8> {
        [&CANARY[..self.offset], bytes, &CANARY].concat()
    }

    fn seal(&self, key: &Aes256Gcm) -> (Vec<u8>, [u8; 16]) {
        let mut buffer = self.place(&self.plaintext);
        let data = &mut buffer[self.offset..][..self.plaintext.len()];
        let tag = key.seal(&self.nonce, &self.aad, data).unwrap();
        (buffer, tag)
    }

    fn check(&self, engine: Engine, sealed: &[u8], tag: &[u8; 16]) {
        let (key, len) = (self.key(Some(engine)), self.plaintext.len());
        let said = || format!("{}: {} bytes, {} of AAD", engine.name(), len, self.aad.len());
        assert!(self.seal(&key) == (sealed.to_vec(), *tag), "{}", said());
        let mut buffer = sealed.to_vec();
        key.open(&self.nonce, &self.aad, &mut buffer[self.offset..][..len], tag).unwrap();
        assert!(buffer == self.place(&self.plaintext), "opened: {}", said());

        self.check_appended(engine, &sealed[self.offset..][..len], tag);
    }

    /// From one buffer to the end of another.
    fn check_appended(&self, engine: Engine, ciphertext: &[u8], tag: &[u8; 16]) {
        let mut key = Key::ZEROS;
        let front = &CANARY[..self.offset];
        engine.set(&mut key, &self.key, Key::blocks(self.plaintext.len()));
        let key = MessageKey::Kernel(engine, &key);
        let mut sealed = front.to_vec();
        assert!(key.seal_onto(&self.nonce, &self.aad, &self.plaintext, &mut sealed));
        assert!(sealed == [front, ciphertext, tag].concat());
        let mut opened = front.to_vec();
        assert!(key.open_onto(&self.nonce, &self.aad, &sealed[self.offset..], &mut opened));
        assert!(opened == [front, &self.plaintext].concat());

        // One bit of ciphertext, tag or AAD is another one.
        let (mut aad, sealed) = (self.aad.clone(), &mut sealed[self.offset..]);
        let (byte, bit) = (self.flip / 8 % (sealed.len() + aad.len()), self.flip % 8);
        match byte.checked_sub(sealed.len()) {
            Some(of_aad) => aad[of_aad] ^= 1 << bit,
            None => sealed[byte] ^= 1 << bit,
        }
        let before = opened.clone();
        assert!(!key.open_onto(&self.nonce, &aad, sealed, &mut opened));
        assert!(opened == before);
        let (data, tag) = sealed.split_last_chunk_mut().unwrap();
        assert!(self.key(Some(engine)).open(&self.nonce, &aad, data, tag).is_err());
        assert!(data.iter().all(|b| *b == 0));
    }
}

/// Each case on every kernel; what all of them gave comes to this value.
fn cases(count: usize, hash: &str) {
    let engines: Vec<_> = Engine::all().collect();
    let (mut random, mut hashed) = (Random(0x6b6d_7321), Sha256::new());
    for i in 0..count {
        let case = Case::new(i, &mut random);
        let (sealed, tag) = case.seal(&case.key(None));
        for engine in &engines {
            case.check(*engine, &sealed, &tag);
        }
        hashed.update(&sealed);
        hashed.update(tag);
    }
    let hashed: String = hashed.finalize().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hashed, hash);
}

#[test]
fn ten_thousand_cases_on_every_kernel() {
    cases(10_000, "6950f93a61dae3d0d23a5f0356ee4eef8a915da09dbf15f16bfdfa596672f34c");
}

#[test]
#[ignore = "slow in debug: tests/run has it in a release build"]
fn a_million_cases_on_every_kernel() {
    cases(1_000_000, "51710cb4936c1c199ddec4faf0f5786406f936c42ff65fa416e091dbf27ad737");
}

/// Where the counter's second byte, its third and its fourth go on.
#[test]
fn counters_go_on_from_byte_to_byte() {
    let mut random = Random(1);
    let (key, nonce) = (random.array(), random.array());
    let around = |blocks: usize| [blocks * 16 - 64, blocks * 16 - 32, blocks * 16 - 16, blocks * 16 + 5];
    for len in [1 << 8, 1 << 9, 1 << 16].into_iter().flat_map(around) {
        same_everywhere(&key, &nonce, len);
    }
}

#[test]
#[ignore = "256 MiB: tests/run has it in a release build"]
fn counters_go_on_to_their_last_byte() {
    let mut random = Random(2);
    same_everywhere(&random.array(), &random.array(), (1 << 28) + 77);
}

fn same_everywhere(key: &[u8; 32], nonce: &[u8; 12], len: usize) {
    let mut expected = vec![0x5a; len];
    let tag = Aes256Gcm::on(None, key, len).seal(nonce, b"", &mut expected).unwrap();
    for engine in Engine::all() {
        let (key, mut data) = (Aes256Gcm::on(Some(engine), key, len), vec![0x5a; len]);
        assert!(key.seal(nonce, b"", &mut data).unwrap() == tag, "{} {len}", engine.name());
        assert!(data == expected, "{} {len}", engine.name());
        key.open(nonce, b"", &mut data, &tag).unwrap();
        assert!(data.iter().all(|b| *b == 0x5a), "{} {len}", engine.name());
    }
}

#[test]
fn a_key_set_for_a_length_serves_up_to_it_and_no_further() {
    let (key, nonce) = ([3; 32], [4; 12]);
    for engine in Engine::all() {
        for most in [0, 1, 64, 400, 600, 5000] {
            let narrow = Aes256Gcm::on(Some(engine), &key, most);
            for len in 0..=most.min(700) {
                let tag = Aes256Gcm::on(None, &key, len).seal(&nonce, b"a", &mut vec![7; len]).unwrap();
                assert_eq!(narrow.seal(&nonce, b"a", &mut vec![7; len]).unwrap(), tag, "{most} {len}");
            }
            assert!(narrow.seal(&nonce, b"", &mut vec![0; most + 1]).is_err());
            assert!(narrow.open(&nonce, b"", &mut vec![0; most + 1], &[0; 16]).is_err());
        }
    }
}

#[test]
fn keys_of_messages_are_derived_as_elsewhere() {
    let mut random = Random(3);
    for len in 0..1000 {
        let (bytes, context, nonce, plaintext) =
            (random.array(), random.array(), random.array(), random.bytes(len));
        let seal = |key: MessageKey<'_>| {
            let mut out = Vec::new();
            assert!(key.seal_onto(&nonce, b"", &plaintext, &mut out));
            out
        };
        let expected = seal(MessageKey::Portable(&xaes::portable_key(&bytes, &context)));
        for engine in Engine::all() {
            let (mut rounds, mut key) = ([0; 16], Key::ZEROS);
            engine.prepare(&mut rounds, &bytes);
            engine.derive(&mut key, &rounds, &context, Key::blocks(len));
            assert!(seal(MessageKey::Kernel(engine, &key)) == expected, "{} {len}", engine.name());
        }
    }
}

/// Kernels can be switched off, and what serves then is another one.
#[cfg(debug_assertions)]
#[test]
fn what_is_switched_off_does_not_serve() {
    let all: Vec<_> = ["portable"].into_iter().chain(Engine::all().map(Engine::name)).collect();
    for (n, name) in all.iter().enumerate() {
        let mut again = this_program();
        again.args(["--exact", "arch::gcm::tests::who_serves", "--ignored", "--nocapture"]);
        let output = again.env("LIBKMS_WITHOUT", all[n + 1..].join(",")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(&format!("serves: {name}\n")), "{said}");
    }
}

/// In an emulator, where `LIBKMS_RUNNER` names one.
#[cfg(debug_assertions)]
fn this_program() -> std::process::Command {
    let runner = std::env::var("LIBKMS_RUNNER").unwrap_or_default();
    let mut words: Vec<_> = runner.split_whitespace().map(Into::into).collect();
    words.push(std::env::current_exe().unwrap().into_os_string());
    let mut command = std::process::Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

#[test]
#[ignore = "run by another test"]
fn who_serves() {
    let engine = Aes256Gcm::new(&[0; 32]).engine();
    println!("serves: {}", engine.map_or("portable", Engine::name));
}

/// How deep the stack below it was used by `work`.
#[inline(never)]
pub(crate) fn depth(work: impl FnOnce()) -> usize {
    const MOST: usize = 128 << 10;
    #[inline(never)]
    fn paint() -> *const u8 {
        let mut below = [0u8; MOST];
        below.fill(0xa5);
        std::hint::black_box(&mut below).as_ptr()
    }
    #[inline(never)]
    fn apart(work: impl FnOnce()) {
        work();
    }
    let lowest = paint();
    apart(work);
    let is_clean = |i: &usize| {
        // SAFETY: the stack was that deep a moment ago, and its pages stay mapped.
        unsafe { lowest.add(*i).read_volatile() == 0xa5 }
    };
    MOST - (0..MOST).take_while(is_clean).count()
}

pub(crate) fn stack_that_is_wiped() -> usize {
    if Engine::best().is_some() { KERNEL_STACK } else { STACK }
}

#[test]
fn less_stack_is_used_than_is_wiped() {
    let (key, schedule) = ([7; 32], XaesSchedule::of(&[7; 32]).unwrap());
    let gcm = Aes256Gcm::new(&key);
    for len in [0, 64, 1000, 1024, 20_000] {
        let (plaintext, mut sealed, mut opened) =
            (vec![1; len], Vec::with_capacity(len + 64), Vec::with_capacity(len + 64));
        let used = [
            depth(|| drop(XaesSchedule::of(&key).unwrap())),
            depth(|| {
                let key = XaesKey::with(&key, &schedule);
                key.seal_onto(&[1; 24], b"aad", &plaintext, &mut sealed).unwrap();
            }),
            depth(|| XaesKey::new(&key).open_onto(&[1; 24], b"aad", &sealed, &mut opened).map(drop).unwrap()),
            depth(|| {
                gcm.seal(&[1; 12], b"aad", &mut opened).unwrap();
            }),
        ];
        let most = stack_that_is_wiped();
        assert!(used.into_iter().all(|used| used > 100 && used < most - 512), "{used:?} of {most}");

        let portable = depth(|| {
            let key = xaes::portable_key(&key, &[1; 12]);
            let key = MessageKey::Portable(&key);
            key.seal_onto(&[1; 12], b"aad", &plaintext, &mut sealed);
        });
        let expanded = depth(|| drop(Locked::new(|| Aes256Gcm::for_messages(&key, len)).unwrap()));
        assert!(portable.max(expanded) < STACK - 512, "{portable}, {expanded} of {STACK}");
    }
}
