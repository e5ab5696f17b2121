//! Which instruction set serves, and the kernels that are compiled for it.
#[cfg(target_arch = "aarch64")]
use super::lanes::Armv8;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Aesni, Vaes256, Vaes512};
use super::{
    cbc::{self, BLOCK},
    gcm::{Data, Halves, Key, Keys, Rounds, crypt, derive, derive_one, many, prepare, set, set_many},
    lanes::{Block, Lanes},
};
use std::{mem::MaybeUninit, sync::OnceLock};

/// An instruction set that has kernels here, and that this processor has.
#[derive(Clone, Copy)]
pub(crate) struct Engine(Set);

#[derive(Clone, Copy)]
enum Set {
    #[cfg(target_arch = "aarch64")]
    Armv8(Armv8),
    #[cfg(target_arch = "x86_64")]
    Aesni(Aesni),
    #[cfg(target_arch = "x86_64")]
    Vaes256(Vaes256),
    #[cfg(target_arch = "x86_64")]
    Vaes512(Vaes512),
}

/// The kernels of `$engine`: a `Kernels`.
macro_rules! kernels_of {
    ($engine:expr, $t:ident => $do:expr) => {
        match $engine.0 {
            #[cfg(target_arch = "aarch64")]
            Set::Armv8($t) => $do,
            #[cfg(target_arch = "x86_64")]
            Set::Aesni($t) => $do,
            #[cfg(target_arch = "x86_64")]
            Set::Vaes256($t) => $do,
            #[cfg(target_arch = "x86_64")]
            Set::Vaes512($t) => $do,
        }
    };
}

impl Engine {
    /// The fastest; `None`: the RustCrypto crates serve.
    pub(crate) fn best() -> Option<Self> {
        static BEST: OnceLock<Option<Engine>> = OnceLock::new();
        *BEST.get_or_init(|| Self::all().last())
    }

    /// All that this processor has and nobody switched off, the fastest last.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let all = [
            Aesni::detect().map(Set::Aesni),
            Vaes256::detect().map(Set::Vaes256),
            Vaes512::detect().map(Set::Vaes512),
        ];
        #[cfg(target_arch = "aarch64")]
        let all = [Armv8::detect().map(Set::Armv8)];
        #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
        let all: [Option<Set>; 0] = [];
        all.into_iter().flatten().map(Self).filter(|engine| !is_off(engine.name()))
    }

    pub(crate) fn name(self) -> &'static str {
        kernels_of!(self, t => name(t))
    }

    /// [`Key::set`].
    pub(super) fn set(self, key: &mut Key, bytes: &[u8; 32], blocks: usize) {
        kernels_of!(self, t => t.set(key, bytes, blocks));
    }

    /// Encrypts, and gives the tag.
    pub(super) fn seal(self, key: &Key, nonce: &[u8; 12], aad: &[u8], data: Data<'_>) -> [u8; 16] {
        kernels_of!(self, t => t.seal(key, nonce, aad, data)).to_le_bytes()
    }

    /// Decrypts, and gives the tag that should have come with it.
    pub(super) fn open(self, key: &Key, nonce: &[u8; 12], aad: &[u8], data: Data<'_>) -> [u8; 16] {
        kernels_of!(self, t => t.open(key, nonce, aad, data)).to_le_bytes()
    }

    /// [`prepare`].
    pub(super) fn prepare(self, rounds: &mut Rounds, key: &[u8; 32]) {
        kernels_of!(self, t => t.prepare(rounds, key));
    }

    /// [`derive`].
    pub(super) fn derive(self, key: &mut Key, rounds: &Rounds, context: &[u8; 12], blocks: usize) {
        kernels_of!(self, t => t.derive(key, rounds, context, blocks));
    }

    /// [`derive_one`].
    pub(super) fn derive_one(self, halves: &mut Halves, k: usize, rounds: &Rounds, context: &[u8; 12]) {
        kernels_of!(self, t => t.derive_one(halves, k, rounds, context));
    }

    /// [`set_many`]: as many keys as [`many`](Self::many) says.
    pub(super) fn set_many(self, keys: &mut Keys, halves: &Halves, blocks: usize) {
        kernels_of!(self, t => t.set_many(keys, halves, blocks));
    }

    /// How many keys are set at the same time.
    pub(super) fn many(self) -> usize {
        kernels_of!(self, t => many_of(t))
    }

    /// [`cbc::set`].
    pub(super) fn set_cbc(self, key: &mut cbc::Key, bytes: &[u8]) {
        kernels_of!(self, t => t.set_cbc(key, bytes));
    }

    /// [`cbc::seal`].
    pub(super) fn seal_cbc(self, keys: &[Block], iv: &[u8; BLOCK], blocks: &mut [u8]) {
        kernels_of!(self, t => t.seal_cbc(keys, iv, blocks));
    }

    /// [`cbc::open`].
    pub(super) fn open_cbc(self, keys: &[Block], sealed: &[u8], out: &mut [MaybeUninit<u8>]) {
        kernels_of!(self, t => t.open_cbc(keys, sealed, out));
    }
}

fn many_of<T: Lanes>(_: T) -> usize {
    many::<T>()
}

fn name<K: Kernels>(_: K) -> &'static str {
    K::NAME
}

/// In debug builds `LIBKMS_WITHOUT` names kernels that are not to be used, with commas.
fn is_off(name: &str) -> bool {
    cfg!(debug_assertions)
        && std::env::var("LIBKMS_WITHOUT").is_ok_and(|names| names.split(',').any(|n| n == name))
}

/// What is compiled once for each instruction set.
trait Kernels: Lanes {
    const NAME: &str;
    fn set(self, key: &mut Key, bytes: &[u8; 32], blocks: usize);
    fn seal(self, key: &Key, nonce: &[u8; 12], aad: &[u8], data: Data<'_>) -> Block;
    fn open(self, key: &Key, nonce: &[u8; 12], aad: &[u8], data: Data<'_>) -> Block;
    fn prepare(self, rounds: &mut Rounds, key: &[u8; 32]);
    fn derive(self, key: &mut Key, rounds: &Rounds, context: &[u8; 12], blocks: usize);
    fn derive_one(self, halves: &mut Halves, k: usize, rounds: &Rounds, context: &[u8; 12]);
    fn set_many(self, keys: &mut Keys, halves: &Halves, blocks: usize);
    fn set_cbc(self, key: &mut cbc::Key, bytes: &[u8]);
    fn seal_cbc(self, keys: &[Block], iv: &[u8; BLOCK], blocks: &mut [u8]);
    fn open_cbc(self, keys: &[Block], sealed: &[u8], out: &mut [MaybeUninit<u8>]);
}

/// A function that may use the instructions of a token, of one that is written over [`Lanes`].
macro_rules! kernel {
    ($token:ty, $features:literal, fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $of:expr) => {
        fn $name(self, $($arg: $type),*) -> $result {
            #[target_feature(enable = $features)]
            #[inline(never)]
            fn kernel(t: $token, $($arg: $type),*) -> $result {
                $of(t, $($arg),*)
            }
            // SAFETY: the token proves that the processor has these features.
            unsafe { kernel(self, $($arg),*) }
        }
    };
}

macro_rules! kernels {
    ($token:ty, $name:literal, $features:literal) => {
        impl Kernels for $token {
            const NAME: &str = $name;
            kernel!($token, $features, fn set(key: &mut Key, bytes: &[u8; 32], blocks: usize) -> () = set);
            kernel!($token, $features,
                fn seal(key: &Key, nonce: &[u8; 12], aad: &[u8], data: Data<'_>) -> Block = crypt::<_, true>);
            kernel!($token, $features,
                fn open(key: &Key, nonce: &[u8; 12], aad: &[u8], data: Data<'_>) -> Block = crypt::<_, false>);
            kernel!($token, $features, fn prepare(rounds: &mut Rounds, key: &[u8; 32]) -> () = prepare);
            kernel!($token, $features,
                fn derive(key: &mut Key, rounds: &Rounds, context: &[u8; 12], blocks: usize) -> () = derive);
            kernel!($token, $features,
                fn derive_one(halves: &mut Halves, k: usize, rounds: &Rounds, context: &[u8; 12]) -> () = derive_one);
            kernel!($token, $features,
                fn set_many(keys: &mut Keys, halves: &Halves, blocks: usize) -> ()
                    = set_many);
            kernel!($token, $features, fn set_cbc(key: &mut cbc::Key, bytes: &[u8]) -> () = cbc::set);
            kernel!($token, $features,
                fn seal_cbc(keys: &[Block], iv: &[u8; BLOCK], blocks: &mut [u8]) -> () = cbc::seal);
            kernel!($token, $features,
                fn open_cbc(keys: &[Block], sealed: &[u8], out: &mut [MaybeUninit<u8>]) -> () = cbc::open);
        }
    };
}

#[cfg(target_arch = "aarch64")]
kernels!(Armv8, "armv8", "neon,aes");
#[cfg(target_arch = "x86_64")]
kernels!(Aesni, "aesni", "avx,aes,pclmulqdq");
#[cfg(target_arch = "x86_64")]
kernels!(Vaes256, "vaes256", "avx2,vaes,vpclmulqdq,aes,pclmulqdq,bmi2");
#[cfg(target_arch = "x86_64")]
kernels!(
    Vaes512,
    "vaes512",
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,vaes,vpclmulqdq,aes,pclmulqdq,bmi1,bmi2"
);
