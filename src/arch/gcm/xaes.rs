//! XAES-256-GCM (C2SP, <https://c2sp.org/XAES-256-GCM>): the key of a message, derived from
//! the first half of its nonce and set up where it is, in one pass.
use super::{
    Engine, MessageKey,
    key::{Key, encrypt, halves, schedule, set_halves},
    lanes::{Block, Lanes},
};
use crate::{Result, arch::portable, secret::Locked};

/// The round keys of a key; in the last place, which AES-256 has no use for, K1.
pub(super) type Rounds = [Block; 16];

/// A key of XAES-256-GCM, for messages of at most 2^36 - 32 bytes.
#[derive(Clone, Copy)]
pub(crate) struct XaesKey<'a> {
    bytes: &'a [u8; 32],
    schedule: Option<&'a XaesSchedule>,
}

/// A key that is expanded for many messages, in key memory. Empty where the processor has no
/// kernels.
pub(crate) struct XaesSchedule(Option<(Engine, Locked<Rounds>)>);

impl XaesSchedule {
    pub(crate) fn of(key: &[u8; 32]) -> Result<Self> {
        let Some(engine) = Engine::best() else { return Ok(Self(None)) };
        let mut rounds = [0; 16];
        engine.prepare(&mut rounds, key);
        Ok(Self(Some((engine, Locked::new(|| rounds)?))))
    }
}

impl<'a> XaesKey<'a> {
    /// Expanded for each message.
    pub(crate) fn new(bytes: &'a [u8; 32]) -> Self {
        Self { bytes, schedule: None }
    }

    /// With the schedule of the same key.
    pub(crate) fn with(bytes: &'a [u8; 32], schedule: &'a XaesSchedule) -> Self {
        Self { bytes, schedule: Some(schedule) }
    }

    /// Appends ciphertext and tag; on failure nothing.
    pub(crate) fn seal_onto(
        self,
        nonce: &[u8; 24],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let (context, nonce) = split(nonce);
        self.for_message(context, plaintext.len(), |key| key.seal_onto(nonce, aad, plaintext, out))?
    }

    /// Appends the plaintext of what ends in its tag; on failure nothing, and nothing is left
    /// in the spare room.
    pub(crate) fn open_onto(
        self,
        nonce: &[u8; 24],
        aad: &[u8],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let (context, nonce) = split(nonce);
        self.for_message(context, sealed.len(), |key| key.open_onto(nonce, aad, sealed, out))?
    }

    /// The key of one message, where it is made: on a stack that the caller wipes.
    #[inline(always)]
    fn for_message<R>(
        self,
        context: &[u8; 12],
        len: usize,
        work: impl FnOnce(MessageKey<'_>) -> R,
    ) -> Result<R> {
        let (engine, mut own) = (Engine::best(), [0; 16]);
        let (engine, rounds) = match (self.schedule, engine) {
            (Some(XaesSchedule(Some((engine, rounds)))), _) => (*engine, rounds.get()?),
            (_, Some(engine)) => {
                engine.prepare(&mut own, self.bytes);
                (engine, &own)
            }
            (_, None) => return Ok(work(MessageKey::Portable(&portable_key(self.bytes, context)))),
        };
        let mut key = Key::ZEROS;
        engine.derive(&mut key, rounds, context, Key::blocks(len));
        Ok(work(MessageKey::Kernel(engine, &key)))
    }
}

/// What the message key is derived from, and the nonce under that key.
fn split(nonce: &[u8; 24]) -> (&[u8; 12], &[u8; 12]) {
    let (context, nonce) = nonce.split_first_chunk().expect("24 bytes");
    (context, nonce.try_into().expect("24 - 12 bytes"))
}

/// Expands a key, with K1.
#[inline(always)]
pub(super) fn prepare<T: Lanes>(t: T, rounds: &mut Rounds, key: &[u8; 32]) {
    let o = t.one();
    let l = schedule(o, rounds, halves(o, key));
    rounds[15] = subkey(o.number(l));
}

/// The key of a message, for so many blocks.
#[inline(always)]
pub(super) fn derive<T: Lanes>(t: T, key: &mut Key, rounds: &Rounds, context: &[u8; 12], blocks: usize) {
    let o = t.one();
    let [first, second] = inputs(context).map(|block| block ^ rounds[15]);
    let halves = encrypt(o, rounds, [first, second]);
    set_halves(t, key, halves, blocks);
}

/// The counters of the derivation, before K1 is added.
fn inputs(context: &[u8; 12]) -> [Block; 2] {
    let mut block = [0; 16];
    block[4..].copy_from_slice(context);
    let of = |number: u8| {
        let mut block = block;
        block[..4].copy_from_slice(&[0, number, b'X', 0]);
        Block::from_le_bytes(block)
    };
    [of(1), of(2)]
}

/// The CMAC subkey K1 of L, the encrypted zero block.
fn subkey(l: Block) -> Block {
    let l = l.swap_bytes();
    // No branch on the secret bit: its mask is all ones or all zeros.
    (l << 1 ^ (0u128.wrapping_sub(l >> 127) & 0x87)).swap_bytes()
}

/// By the RustCrypto crates.
pub(super) fn portable_key(key: &[u8; 32], context: &[u8; 12]) -> portable::Aes256Gcm {
    let cipher = portable::Aes256Enc::new(key);
    let k1 = subkey(cipher.encrypt(0));
    let [a, b] = inputs(context).map(|block| cipher.encrypt(block ^ k1).to_le_bytes());
    portable::Aes256Gcm::new([a, b].as_flattened().try_into().expect("twice 16 bytes"))
}
