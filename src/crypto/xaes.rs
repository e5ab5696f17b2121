//! XAES-256-GCM (C2SP, <https://c2sp.org/XAES-256-GCM>): AES-256-GCM under a key derived
//! for each message from a 192-bit nonce, which may be drawn at random for ever.
use super::{random, random::fill_each};
use crate::{
    Error, Result,
    arch::{self, Message, XaesKey, XaesSchedule, too_long, without_kernel_residue},
};

const NONCE: usize = 24;
const TAG: usize = 16;

/// A key for any number of messages, each of at most 2^36 - 32 bytes.
#[derive(Clone, Copy)]
pub(crate) struct Xaes256Gcm<'a>(XaesKey<'a>);

impl<'a> Xaes256Gcm<'a> {
    /// What a sealed message is longer than its plaintext: nonce and tag.
    pub(crate) const OVERHEAD: usize = NONCE + TAG;

    /// It is expanded for each message: ten thousand of these are kept, and with the schedule
    /// they take nine times the room.
    pub(crate) fn new(key: &'a [u8; 32]) -> Self {
        Self(XaesKey::new(key))
    }

    /// With the schedule of the same key ([`expanded`](Self::expanded)).
    pub(crate) fn with(key: &'a [u8; 32], schedule: &'a XaesSchedule) -> Self {
        Self(XaesKey::with(key, schedule))
    }

    /// For a key that seals many messages.
    pub(crate) fn expanded(key: &[u8; 32]) -> Result<XaesSchedule> {
        without_kernel_residue(|| XaesSchedule::of(key))
    }

    /// Appends nonce, ciphertext and tag to `out`; nothing is appended on failure.
    pub(crate) fn seal(self, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut nonce = [0; NONCE];
        random(&mut nonce)?;
        self.seal_with(&nonce, aad, plaintext, out)
    }

    fn seal_with(self, nonce: &[u8; NONCE], aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.reserve(plaintext.len() + Self::OVERHEAD);
        out.extend_from_slice(nonce);
        let sealed = without_kernel_residue(|| self.0.seal_onto(nonce, aad, plaintext, out));
        sealed.and_then(was_sealed).inspect_err(|_| out.truncate(start))
    }

    /// Appends the plaintext to `out`; nothing is appended, and nothing left in its spare
    /// room, on failure.
    pub(crate) fn open(self, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or_else(Error::authentication)?;
        without_kernel_residue(|| self.0.open_onto(nonce, aad, rest, out)).and_then(is_authentic)
    }

    /// One of a batch, to be sealed: what [`seal`](Self::seal) appends goes to `out`.
    pub(crate) fn to_seal(self, aad: &'a [u8], plaintext: &'a [u8], out: Vec<u8>) -> Message<'a> {
        Message { key: self.0, nonce: [0; NONCE], aad, input: plaintext, out, done: Ok(true) }
    }

    /// One of a batch, to be opened.
    pub(crate) fn to_open(self, aad: &'a [u8], sealed: &'a [u8], out: Vec<u8>) -> Message<'a> {
        let (nonce, input, done) = match sealed.split_first_chunk::<NONCE>() {
            Some((nonce, rest)) => (*nonce, rest, Ok(true)),
            None => ([0; NONCE], sealed, Ok(false)),
        };
        Message { key: self.0, nonce, aad, input, out, done }
    }
}

/// Seals each, under a nonce of its own.
pub(crate) fn seal_many(messages: &mut [Message<'_>]) {
    if let Err(e) = fill_each(messages.iter_mut().map(|message| &mut message.nonce)) {
        return messages.iter_mut().for_each(|message| message.done = Err(e.clone()));
    }
    for Message { input, out, nonce, .. } in &mut *messages {
        out.reserve(input.len() + Xaes256Gcm::OVERHEAD);
        out.extend_from_slice(nonce);
    }
    arch::seal_many(messages);
}

/// The error of a message that was not sealed.
pub(crate) fn was_sealed(it_was: bool) -> Result<()> {
    if it_was { Ok(()) } else { Err(too_long()) }
}

/// The error of a message that was not opened.
pub(crate) fn is_authentic(it_is: bool) -> Result<()> {
    if it_is { Ok(()) } else { Err(Error::authentication()) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn seal_with(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Xaes256Gcm::new(key).seal_with(nonce, aad, plaintext, &mut out).unwrap();
        out
    }

    #[test]
    fn f22_a_failed_open_leaves_nothing() {
        let key = Xaes256Gcm::new(&[9; 32]);
        let mut sealed = Vec::new();
        key.seal(b"aad", &[0xa5; 1000], &mut sealed).unwrap();
        sealed[500] ^= 1;
        let mut out = Vec::with_capacity(4096);
        out.extend_from_slice(b"mine");
        assert!(key.open(b"aad", &sealed, &mut out).is_err());
        assert_eq!(out, b"mine");
        out.resize(out.capacity(), 0x11);
        assert!(!out.windows(8).any(|w| w == [0xa5; 8]));
    }

    #[test]
    fn f15_two_seals_of_one_plaintext_differ() {
        let key = Xaes256Gcm::new(&[9; 32]);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        key.seal(b"", b"same", &mut a).unwrap();
        key.seal(b"", b"same", &mut b).unwrap();
        assert_ne!(a[..24], b[..24]);
        assert_ne!(a[24..], b[24..]);
    }
}
