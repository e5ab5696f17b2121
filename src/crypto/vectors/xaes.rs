//! C2SP's vectors for XAES-256-GCM, and exchange with another implementation.
use super::{
    super::xaes::{Xaes256Gcm, tests::seal_with},
    unhex,
};
use proptest::{collection::vec, prelude::*};
use sha3::{
    Shake128, Shake128Reader,
    digest::{ExtendableOutput, Update, XofReader},
};
use xaes_256_gcm::aead::{Aead, KeyInit, Payload};

const NONCE: &[u8; 24] = b"ABCDEFGHIJKLMNOPQRSTUVWX";

#[test]
fn msb_of_l_is_0() {
    vector(&[1; 32], b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
}

#[test]
fn msb_of_l_is_1() {
    let aad = b"c2sp.org/XAES-256-GCM";
    vector(&[3; 32], aad, "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d");
}

fn vector(key: &[u8; 32], aad: &[u8], ciphertext: &str) {
    let sealed = seal_with(key, NONCE, aad, b"XAES-256-GCM");
    assert_eq!(sealed, [NONCE.as_slice(), &unhex(ciphertext)].concat());
    assert_eq!(open(key, aad, &sealed), b"XAES-256-GCM");
}

#[test]
fn accumulated_10_000() {
    accumulated(10_000, "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939");
}

#[test]
#[ignore = "slow in debug: tests/run has it in a release build"]
fn accumulated_1_000_000() {
    accumulated(1_000_000, "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15");
}

fn accumulated(iterations: usize, expected: &str) {
    let mut random = Shake128::default().finalize_xof();
    let mut hash = Shake128::default();
    for _ in 0..iterations {
        let (key, nonce) = (read(&mut random), read(&mut random));
        let (plaintext, aad) = (read_vector(&mut random), read_vector(&mut random));
        let sealed = seal_with(&key, &nonce, &aad, &plaintext);
        hash.update(&sealed[24..]);
        assert_eq!(open(&key, &aad, &sealed), plaintext);
    }
    assert_eq!(read::<32>(&mut hash.finalize_xof())[..], unhex(expected));
}

fn read<const N: usize>(from: &mut Shake128Reader) -> [u8; N] {
    let mut bytes = [0; N];
    from.read(&mut bytes);
    bytes
}

/// One byte of length, then as many.
fn read_vector(from: &mut Shake128Reader) -> Vec<u8> {
    let [len] = read(from);
    let mut bytes = vec![0; usize::from(len)];
    from.read(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn exchanges_with_rustcrypto(
        key: [u8; 32],
        nonce: [u8; 24],
        aad in vec(any::<u8>(), 0..300),
        plaintext in vec(any::<u8>(), 0..3000),
    ) {
        let theirs = xaes_256_gcm::Xaes256Gcm::new(&key.into());

        let mut sealed = Vec::new();
        Xaes256Gcm::new(&key).seal(&aad, &plaintext, &mut sealed).unwrap();
        let (fresh, ciphertext) = sealed.split_first_chunk::<24>().unwrap();
        let payload = Payload { msg: ciphertext, aad: &aad };
        prop_assert_eq!(&theirs.decrypt(&(*fresh).into(), payload).unwrap(), &plaintext);

        let payload = Payload { msg: &plaintext, aad: &aad };
        let ciphertext = theirs.encrypt(&nonce.into(), payload).unwrap();
        let sealed = [nonce.as_slice(), &ciphertext].concat();
        prop_assert_eq!(open(&key, &aad, &sealed), plaintext);
    }
}

fn open(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Xaes256Gcm::new(key).open(aad, sealed, &mut out).unwrap();
    out
}
