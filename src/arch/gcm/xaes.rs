//! XAES-256-GCM (C2SP, <https://c2sp.org/XAES-256-GCM>): the key of a message, derived from
//! the first half of its nonce and set up where it is, in one pass.
use super::{
    Engine, KERNEL_STACK, MessageKey,
    key::{Halves, Key, Keys, MANY, encrypt, halves, schedule, set_halves},
    lanes::{Block, Lanes, write},
};
use crate::{
    Result,
    arch::portable,
    secret::{Locked, without_residue, without_residue_below},
};

/// The round keys of a key; in the last place, which AES-256 has no use for, K1.
pub(in crate::arch) type Rounds = [Block; 16];

/// More stack than a batch uses: keys of many messages lie on it.
pub(super) const BATCH_STACK: usize = KERNEL_STACK + 28 * 1024;
/// Fewer keys take as long one after the other.
pub(super) const FEW: usize = 3;

/// A key of XAES-256-GCM, for messages of at most 2^36 - 32 bytes.
#[derive(Clone, Copy)]
pub(crate) struct XaesKey<'a> {
    bytes: &'a [u8; 32],
    schedule: Option<&'a XaesSchedule>,
}

/// A key that is expanded for many messages, in key memory. Empty where the processor has no
/// kernels.
pub(crate) struct XaesSchedule(Option<Locked<Rounds>>);

impl XaesSchedule {
    pub(crate) fn of(key: &[u8; 32]) -> Result<Self> {
        let Some(engine) = Engine::best() else { return Ok(Self(None)) };
        let mut rounds = [0; 16];
        engine.prepare(&mut rounds, key);
        Ok(Self(Some(Locked::new(|| rounds)?)))
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

    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8; 32] {
        self.bytes
    }

    /// Appends ciphertext and tag; says whether it did, which beyond 2^36 - 32 bytes it does not.
    pub(crate) fn seal_onto(
        self,
        nonce: &[u8; 24],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let (context, nonce) = split(nonce);
        self.for_message(context, plaintext.len(), |key| key.seal_onto(nonce, aad, plaintext, out))
    }

    /// Appends the plaintext of what ends in its tag; says whether it is authentic. If not, nothing is
    /// left in the spare room.
    pub(crate) fn open_onto(
        self,
        nonce: &[u8; 24],
        aad: &[u8],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let (context, nonce) = split(nonce);
        self.for_message(context, sealed.len(), |key| key.open_onto(nonce, aad, sealed, out))
    }

    /// The key of one message, where it is made: on a stack that the caller wipes.
    #[inline(always)]
    fn for_message<R>(
        self,
        context: &[u8; 12],
        len: usize,
        work: impl FnOnce(MessageKey<'_>) -> R,
    ) -> Result<R> {
        let Some(engine) = Engine::best() else {
            return Ok(work(MessageKey::Portable(&portable_key(self.bytes, context))));
        };
        let (mut own, mut key) = ([0; 16], Key::ZEROS);
        engine.derive(&mut key, self.rounds(engine, &mut own)?, context, Key::blocks(len));
        Ok(work(MessageKey::Kernel(engine, &key)))
    }

    /// Those of its schedule, or, if it has none, of one that is made for it.
    #[inline(always)]
    fn rounds<'r>(self, engine: Engine, own: &'r mut Rounds) -> Result<&'r Rounds>
    where
        'a: 'r,
    {
        if let Some(XaesSchedule(Some(rounds))) = self.schedule {
            return rounds.get();
        }
        engine.prepare(own, self.bytes);
        Ok(own)
    }
}

/// One message of a batch, and what became of it.
pub(crate) struct Message<'a> {
    pub(crate) key: XaesKey<'a>,
    pub(crate) nonce: [u8; 24],
    pub(crate) aad: &'a [u8],
    /// Plaintext; or ciphertext and tag.
    pub(crate) input: &'a [u8],
    /// What is made of it is appended; on failure nothing.
    pub(crate) out: Vec<u8>,
    /// Whether that was done.
    pub(crate) done: Result<bool>,
}

/// Sealing or opening.
type Work<'a> = fn(&mut Message<'a>, MessageKey<'_>);

impl Message<'_> {
    /// Nothing has failed yet.
    fn is_well(&self) -> bool {
        matches!(self.done, Ok(true))
    }

    pub(super) fn seal(&mut self, key: MessageKey<'_>) {
        self.done = Ok(key.seal_onto(split(&self.nonce).1, self.aad, self.input, &mut self.out));
    }

    pub(super) fn open(&mut self, key: MessageKey<'_>) {
        self.done = Ok(key.open_onto(split(&self.nonce).1, self.aad, self.input, &mut self.out));
    }
}

/// Seals each, and wipes what that leaves.
pub(crate) fn seal_many(messages: &mut [Message<'_>]) {
    each(messages, Message::seal);
}

/// Opens each, and wipes what that leaves.
pub(crate) fn open_many(messages: &mut [Message<'_>]) {
    each(messages, Message::open);
}

fn each<'a>(messages: &mut [Message<'a>], work: Work<'a>) {
    let Some(engine) = Engine::best() else {
        return without_residue(|| messages.iter_mut().for_each(|message| alone(message, work)));
    };
    without_residue_below::<BATCH_STACK, _>(|| {
        let mut keys = Keys::ZEROS;
        for some in messages.chunks_mut(engine.many()) {
            if some.len() <= FEW {
                some.iter_mut().for_each(|message| alone(message, work));
            } else {
                together(engine, &mut keys, some, work);
            }
        }
    });
}

fn alone<'a>(message: &mut Message<'a>, work: Work<'a>) {
    if message.is_well() {
        let (key, nonce, len) = (message.key, message.nonce, message.input.len());
        let done = key.for_message(split(&nonce).0, len, |key| work(message, key));
        if let Err(e) = done {
            message.done = Err(e);
        }
    }
}

/// The keys of all at the same time; then one message after the other, which overlap by themselves.
pub(super) fn together<'a>(engine: Engine, keys: &mut Keys, messages: &mut [Message<'a>], work: Work<'a>) {
    let (mut own, mut halves, mut longest) = ([0; 16], [[0; MANY]; 2], 0);
    for (k, message) in messages.iter_mut().enumerate() {
        match message.key.rounds(engine, &mut own) {
            Ok(rounds) => engine.derive_one(&mut halves, k, rounds, split(&message.nonce).0),
            Err(e) => message.done = Err(e),
        }
        longest = longest.max(message.input.len());
    }
    engine.set_many(keys, &halves, Key::blocks(longest));
    for (message, key) in messages.iter_mut().zip(&keys.keys) {
        if message.is_well() {
            work(message, MessageKey::Kernel(engine, key));
        }
    }
}

/// What the message key is derived from, and the nonce under that key.
fn split(nonce: &[u8; 24]) -> (&[u8; 12], &[u8; 12]) {
    let (context, nonce) = nonce.split_first_chunk().expect("24 bytes");
    (context, nonce.try_into().expect("24 - 12 bytes"))
}

/// Expands a key, with K1.
#[inline(always)]
pub(in crate::arch) fn prepare<T: Lanes>(t: T, rounds: &mut Rounds, key: &[u8; 32]) {
    let o = t.one();
    let [a, b] = halves(o, key);
    let [l] = schedule(o, rounds, [[a], [b]]);
    rounds[15] = subkey(o.number(l));
}

/// The key of a message, for so many blocks.
#[inline(always)]
pub(in crate::arch) fn derive<T: Lanes>(
    t: T,
    key: &mut Key,
    rounds: &Rounds,
    context: &[u8; 12],
    blocks: usize,
) {
    set_halves(t, key, derived(t.one(), rounds, context), blocks);
}

/// The bytes of the key of one message of several, number `k`.
#[inline(always)]
pub(in crate::arch) fn derive_one<T: Lanes>(
    t: T,
    halves: &mut Halves,
    k: usize,
    rounds: &Rounds,
    context: &[u8; 12],
) {
    let [a, b] = derived(t.one(), rounds, context);
    write(t.one(), &mut halves[0], k, a);
    write(t.one(), &mut halves[1], k, b);
}

#[inline(always)]
fn derived<O: Lanes>(o: O, rounds: &Rounds, context: &[u8; 12]) -> [O::V; 2] {
    let [a, b] = inputs(context);
    encrypt(o, rounds, [a ^ rounds[15], b ^ rounds[15]])
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
