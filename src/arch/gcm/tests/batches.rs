//! Several keys at once against each alone.
use super::{
    super::{
        Engine, Message, MessageKey, XaesKey, XaesSchedule,
        key::{Key, Keys, MANY},
        open_many, seal_many,
        xaes::{BATCH_STACK, FEW, portable_key, together},
    },
    Random, depth,
};

/// Messages of a batch: some long ones, some whose key is expanded already, one that failed before.
struct Batch {
    keys: Vec<[u8; 32]>,
    nonces: Vec<[u8; 24]>,
    plaintexts: Vec<Vec<u8>>,
    schedules: Vec<Option<XaesSchedule>>,
}

const AAD: [u8; 300] = [5; 300];

impl Batch {
    fn new(random: &mut Random, count: usize, most: u64) -> Self {
        let len = |random: &mut Random| (random.next() % (most + 1)) as usize;
        let plaintexts: Vec<_> = (0..count)
            .map(|_| {
                let len = len(random);
                random.bytes(len)
            })
            .collect();
        let keys: Vec<[u8; 32]> = (0..count).map(|_| random.array()).collect();
        let schedules =
            keys.iter().enumerate().map(|(i, key)| (i % 3 == 0).then(|| XaesSchedule::of(key).unwrap()));
        Self {
            schedules: schedules.collect(),
            nonces: (0..count).map(|_| random.array()).collect(),
            keys,
            plaintexts,
        }
    }

    fn messages<'a>(&'a self, inputs: &'a [Vec<u8>]) -> Vec<Message<'a>> {
        let message = |i: usize| Message {
            key: match &self.schedules[i] {
                Some(schedule) => XaesKey::with(&self.keys[i], schedule),
                None => XaesKey::new(&self.keys[i]),
            },
            nonce: self.nonces[i],
            aad: &AAD[..self.plaintexts[i].len() % 300],
            input: &inputs[i],
            out: b"front".to_vec(),
            done: Ok(true),
        };
        (0..self.keys.len()).map(message).collect()
    }

    /// As RustCrypto has them.
    fn expected(&self) -> Vec<Vec<u8>> {
        let sealed = |message: &mut Message<'_>| {
            let (context, _) = message.nonce.split_first_chunk().unwrap();
            message.out.clear();
            message.seal(MessageKey::Portable(&portable_key(message.key.bytes(), context)));
            std::mem::take(&mut message.out)
        };
        self.messages(&self.plaintexts).iter_mut().map(sealed).collect()
    }
}

#[test]
fn keys_of_a_batch_are_derived_as_each_alone() {
    let mut random = Random(4);
    let mut keys = Keys::ZEROS;
    for (engine, most) in Engine::all().flat_map(|e| [9000, 0, 40, 300, 2000, 9000].map(|most| (e, most))) {
        for count in 1..=engine.many() {
            let batch = Batch::new(&mut random, count, most);
            let expected = batch.expected();
            let mut messages = batch.messages(&batch.plaintexts);
            together(engine, &mut keys, &mut messages, Message::seal);
            for (message, expected) in messages.iter().zip(&expected) {
                assert!(matches!(message.done, Ok(true)));
                assert!(message.out == [b"front", &expected[..]].concat(), "{} {most}", engine.name());
            }
            let mut messages = batch.messages(&expected);
            together(engine, &mut keys, &mut messages, Message::open);
            for (message, plaintext) in messages.iter().zip(&batch.plaintexts) {
                assert!(message.out == [b"front", &plaintext[..]].concat(), "{} {most}", engine.name());
            }
        }
    }
}

#[test]
fn one_bad_message_of_a_batch_fails_alone() {
    let mut random = Random(5);
    for count in (0..=2 * MANY + 1).chain([100]) {
        let batch = Batch::new(&mut random, count, 500);
        let mut sealed = batch.messages(&batch.plaintexts);
        seal_many(&mut sealed);
        let mut inputs: Vec<_> = sealed.into_iter().map(|message| message.out[5..].to_vec()).collect();
        assert!(inputs == batch.expected(), "{count}");
        for bad in 0..count {
            inputs[bad][0] ^= 1;
            let mut opened = batch.messages(&inputs);
            opened[(bad + 1) % count].done = Err(crate::Error::misuse("it failed before"));
            open_many(&mut opened);
            for (i, message) in opened.iter().enumerate() {
                let is_left = i == bad || i == (bad + 1) % count;
                assert_eq!(!matches!(message.done, Ok(true)), is_left, "{i} of {count}");
                let plaintext = if is_left { &[][..] } else { &batch.plaintexts[i] };
                assert!(message.out == [b"front", plaintext].concat());
            }
            inputs[bad][0] ^= 1;
        }
    }
}

#[test]
fn keys_are_set_at_once_as_each_alone() {
    let mut random = Random(6);
    for (engine, len) in Engine::all().flat_map(|e| [0, 64, 400, 1000, 5000].map(|len| (e, len))) {
        let bytes: [[u8; 32]; MANY] = std::array::from_fn(|_| random.array());
        let half = |at: usize| bytes.map(|key| u128::from_le_bytes(key[at..at + 16].try_into().unwrap()));
        let halves = [half(0), half(16)];
        let mut keys = Keys::ZEROS;
        engine.set_many(&mut keys, &halves, Key::blocks(len));
        for (key, bytes) in keys.keys.iter().zip(&bytes).take(engine.many()) {
            let mut alone = Key::ZEROS;
            engine.set(&mut alone, bytes, Key::blocks(len));
            let seal = |key| {
                let mut out = Vec::new();
                assert!(MessageKey::Kernel(engine, key).seal_onto(&[1; 12], b"", &vec![7; len], &mut out));
                out
            };
            assert!(seal(key) == seal(&alone), "{} {len}", engine.name());
        }
    }
}

#[test]
fn a_batch_uses_less_stack_than_is_wiped() {
    let batch = Batch::new(&mut Random(7), 3 * MANY + FEW, 3000);
    let mut messages = batch.messages(&batch.plaintexts);
    messages.iter_mut().for_each(|message| message.out.reserve(4000));
    for engine in Engine::all() {
        let used = depth(|| {
            let mut keys = Keys::ZEROS;
            for some in messages.chunks_mut(engine.many()) {
                together(engine, &mut keys, some, Message::seal);
            }
        });
        assert!(used > 10_000 && used < BATCH_STACK - 1024, "{}: {used} of {BATCH_STACK}", engine.name());
    }
}
