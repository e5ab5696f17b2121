//! AES-256-GCM on every kernel path of this processor: what aws-lc-rs makes of it, byte for
//! byte, and nothing opens that was altered.
#![no_main]
use aws_lc_rs::aead::{self, AES_256_GCM, LessSafeKey, UnboundKey};
use libfuzzer_sys::fuzz_target;
use libkms::raw::{Aes256Gcm, Kernels};
use std::sync::LazyLock;

/// Kernels work by groups of up to 512 bytes and spans of 4 KiB: some of each.
const LONGEST: usize = 20_000;

static KERNELS: LazyLock<Vec<Kernels>> = LazyLock::new(Kernels::all);

/// What is sealed, and what is altered then.
struct Case<'a> {
    key: [u8; 32],
    nonce: [u8; 12],
    aad: &'a [u8],
    plain: Vec<u8>,
    /// The key is for messages of any length, not just of this one.
    any_length: bool,
    altered: (u8, usize),
}

fuzz_target!(|data: &[u8]| {
    let Some(case) = Case::parse(data) else { return };
    let (sealed, tag) = case.expected();
    for kernels in KERNELS.iter() {
        case.check(*kernels, &sealed, tag);
    }
});

impl<'a> Case<'a> {
    fn parse(data: &'a [u8]) -> Option<Self> {
        let (&[key, flags, times, aad, what, high, low], rest) = data.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (aad, part) = rest.split_at(rest.len().min(aad.into()));
        // The fuzzer's own inputs are short.
        let len = (part.len() * usize::from(times)).min(LONGEST) + usize::from(flags >> 1);
        let plain = part.iter().chain([&key]).copied().cycle().take(len).collect();
        let key = std::array::from_fn(|i| key.wrapping_mul(i as u8 | 1));
        let altered = (what, usize::from(u16::from_be_bytes([high, low])));
        Some(Self { key, nonce: *nonce, aad, plain, any_length: flags & 1 == 1, altered })
    }

    fn expected(&self) -> (Vec<u8>, [u8; 16]) {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.key).unwrap());
        let nonce = aead::Nonce::assume_unique_for_key(self.nonce);
        let mut sealed = self.plain.clone();
        let tag = key.seal_in_place_separate_tag(nonce, aead::Aad::from(self.aad), &mut sealed).unwrap();
        (sealed, tag.as_ref().try_into().unwrap())
    }

    fn check(&self, kernels: Kernels, sealed: &[u8], tag: [u8; 16]) {
        let name = kernels.name();
        let most = if self.any_length { usize::MAX } else { self.plain.len() };
        let key = Aes256Gcm::new(kernels, &self.key, most);
        let mut data = self.plain.clone();
        let made = key.seal(&self.nonce, self.aad, &mut data).unwrap();
        assert!(data == sealed && made == tag, "{name} seals to something else");
        key.open(&self.nonce, self.aad, &mut data, &tag).unwrap();
        assert!(data == self.plain, "{name} opens to something else");

        let (mut nonce, mut aad, mut data, mut tag) = (self.nonce, self.aad.to_vec(), sealed.to_vec(), tag);
        let parts: [&mut [u8]; 4] = [&mut tag, &mut nonce, &mut aad, &mut data];
        let mut parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let ((what, bit), n) = (self.altered, parts.len());
        let part = &mut parts[usize::from(what) % n];
        let at = bit / 8 % part.len();
        part[at] ^= 1 << (bit % 8);
        assert!(key.open(&nonce, &aad, &mut data, &tag).is_err(), "{name} opens what was altered");
        assert!(data.iter().all(|byte| *byte == 0), "{name} leaves what it did not open");
    }
}
