//! No branch and no address depends on a key, on plaintext or on what is made of them. Valgrind
//! shows a program AES-NI and PCLMULQDQ, and neither VAES nor AVX-512.
use super::{
    Aes256Gcm, Engine, Message, MessageKey, XaesKey,
    key::{Key, Keys},
    lanes::Aesni,
    leaking::{by_address, by_branch},
    xaes,
};
use crate::secret::constant_time::{constant_time, hidden, hide, is_hidden, leaks, show, shown};

const NONCE: [u8; 12] = [4; 12];
const AAD: [u8; 300] = [5; 300];

/// Every way to end a message, long messages, the end of a span of 256 blocks.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=300).chain((301..1100).step_by(13)).chain([1024, 4064, 4096, 4111, 9000])
}

/// RustCrypto's, and those that valgrind lets this processor have.
pub(in crate::arch) fn engines() -> Vec<Option<Engine>> {
    let all: Vec<_> = [None].into_iter().chain(Engine::all().map(Some)).collect();
    let is_off = std::env::var_os("LIBKMS_WITHOUT").is_some();
    assert!(is_off || all.iter().flatten().any(|engine| engine.name() == "aesni"));
    all
}

/// The verdict on a tag is theirs to tell in the crates of RustCrypto: one branch a message, and
/// no more in a long one than in a short one.
fn verdicts(engine: Option<Engine>) -> usize {
    usize::from(engine.is_none())
}

#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn f27_no_branch_and_no_address_of_a_kernel_depends_on_a_secret() {
    for engine in engines() {
        for len in lengths() {
            let key = hidden([7; 32]);
            let key = constant_time(|| Aes256Gcm::on(engine, &key, len));
            let aad = &AAD[..len % 300];
            let mut data = vec![9; len];
            hide(&mut data[..]);
            let tag = constant_time(|| key.seal(&NONCE, aad, &mut data)).unwrap();
            assert!(is_hidden(&tag) && is_hidden(&data), "what is made of secrets is one");
            let tag = shown(tag);
            show(&mut data[..]);
            for (bit, is_right) in [(0, true), (1, false)] {
                let (mut data, mut tag) = (data.clone(), tag);
                tag[len % 16] ^= bit;
                let (leaks, opened) = leaks(|| key.open(&NONCE, aad, &mut data, &tag));
                assert_eq!((leaks, shown(opened).is_ok()), (verdicts(engine), is_right), "{len}");
                assert!(is_hidden(&data) == is_right || len == 0);
            }
        }
    }
}

#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn f27_keys_of_messages_are_made_in_constant_time() {
    for engine in engines() {
        for len in lengths().step_by(7) {
            let bytes = hidden([7; 32]);
            let mut plaintext = vec![9; len];
            hide(&mut plaintext[..]);
            let (mut key, mut rounds, portable) = (Key::ZEROS, [0; 16], xaes::portable_key(&bytes, &NONCE));
            let key = constant_time(|| match engine {
                None => MessageKey::Portable(&portable),
                Some(engine) => {
                    engine.prepare(&mut rounds, &bytes);
                    engine.derive(&mut key, &rounds, &NONCE, Key::blocks(len));
                    MessageKey::Kernel(engine, &key)
                }
            });
            let (mut sealed, mut opened) = (Vec::new(), Vec::new());
            assert!(constant_time(|| key.seal_onto(&NONCE, b"aad", &plaintext, &mut sealed)));
            assert!(is_hidden(&sealed));
            show(&mut sealed[..]);
            let (right, _) = leaks(|| key.open_onto(&NONCE, b"aad", &sealed, &mut opened));
            assert!(right == verdicts(engine) && is_hidden(&opened));
            sealed[len / 2] ^= 1;
            let (wrong, refused) = leaks(|| key.open_onto(&NONCE, b"aad", &sealed, &mut opened));
            assert_eq!((wrong, !refused), (verdicts(engine), true));
        }
    }
}

#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn f27_batches_are_worked_in_constant_time() {
    for engine in engines().into_iter().flatten() {
        for len in [0, 20, 300, 1000, 3000] {
            let keys: Vec<[u8; 32]> = (0..engine.many()).map(|i| hidden([i as u8; 32])).collect();
            let inputs: Vec<_> = (0..keys.len())
                .map(|i| {
                    let mut input = vec![9; len + i];
                    hide(&mut input[..]);
                    input
                })
                .collect();
            let messages = keys.iter().zip(&inputs).map(|(key, input)| Message {
                key: XaesKey::new(key),
                nonce: [4; 24],
                aad: &AAD[..len % 300],
                input,
                out: Vec::new(),
                done: Ok(true),
            });
            let (mut messages, mut made) = (messages.collect::<Vec<_>>(), Keys::ZEROS);
            constant_time(|| xaes::together(engine, &mut made, &mut messages, Message::seal));
            assert!(messages.iter().all(|message| is_hidden(&message.out)));
        }
    }
}

#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn a_kernel_that_leaks_is_told() {
    let (aesni, mut key) = (Aesni::detect().unwrap(), Key::ZEROS);
    // SAFETY: the token proves that the processor has these features.
    let told = |key: &Key| unsafe {
        [leaks(|| by_branch::kernel(aesni, key)).0, leaks(|| by_address::kernel(aesni, key)).0]
    };
    assert_eq!(told(&key), [0, 0]);
    hide(&mut key);
    assert!(told(&key).into_iter().all(|leaks| leaks > 0));
}
