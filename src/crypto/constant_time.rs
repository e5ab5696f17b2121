//! No branch and no address depends on a key, on plaintext or on what is made of them.
use super::{
    Cobblestone, Xaes256Gcm,
    cbc::{self, AesCbc},
    expand_sha512,
    gcm::AesGcm,
    hkdf::expand_sha256,
    hmac::{hmac_sha256, hmac_sha512},
    keywrap::{Kw, Kwp},
    secretbox::Secretbox,
    xnonce::XnonceGcm,
};
use crate::{
    arch::Aes256Gcm,
    secret::constant_time::{constant_time, hidden, hide, is_hidden, leaks, show, shown},
};

fn secret(len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
    hide(&mut bytes[..]);
    bytes
}

/// RustCrypto tells its verdict on a tag itself, by one branch.
fn verdicts() -> usize {
    usize::from(Aes256Gcm::new(&[0; 32]).engine().is_none())
}

#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn f26_xaes_in_constant_time() {
    let key = hidden([7; 32]);
    let schedule = constant_time(|| Xaes256Gcm::expanded(&key)).unwrap();
    for len in [0, 1, 16, 100, 1000, 5000] {
        for key in [Xaes256Gcm::new(&key), Xaes256Gcm::with(&key, &schedule)] {
            let (mut sealed, mut opened, plaintext) = (Vec::new(), Vec::new(), secret(len));
            constant_time(|| key.seal(b"aad", &plaintext, &mut sealed)).unwrap();
            assert!(is_hidden(&sealed[24..]));
            show(&mut sealed[..]);
            let (right, result) = leaks(|| key.open(b"aad", &sealed, &mut opened));
            assert!(right == verdicts() && result.is_ok() && is_hidden(&opened));
            sealed[24 + len] ^= 1;
            let (wrong, result) = leaks(|| key.open(b"aad", &sealed, &mut opened));
            assert!(wrong == verdicts() && result.is_err());
        }
    }
}

#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn f26_chunks_in_constant_time() {
    let input = hidden([7; 32]);
    let (key, head) = constant_time(|| Cobblestone::start(&input, b"context")).unwrap();
    let mut head = shown(head);
    for len in [0, 1, 5000, super::CHUNK] {
        let (plaintext, mut sealed, mut opened) = (secret(len), Vec::new(), Vec::new());
        constant_time(|| key.seal_chunk(3, &plaintext, &mut sealed)).unwrap();
        assert!(is_hidden(&sealed));
        show(&mut sealed[..]);
        let (right, result) = leaks(|| key.open_chunk(3, &sealed, &mut opened));
        assert!(right == verdicts() && result.is_ok() && is_hidden(&opened));
        let (wrong, result) = leaks(|| key.open_chunk(4, &sealed, &mut opened));
        assert!(wrong == verdicts() && result.is_err());
    }
    assert!(constant_time(|| Cobblestone::of(&input, b"context", &head)).is_ok());
    head[40] ^= 1;
    assert!(constant_time(|| Cobblestone::of(&input, b"context", &head)).is_err());
}

/// Right padding of each length, and wrong ones: where the first wrong byte stands is not told.
#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn f01_padding_is_judged_in_constant_time() {
    for size in [16, 24, 32] {
        let key = vec![7; size];
        let seal = |len| cbc::tests::seal_with(&key, &[4; 16], &vec![9; len]);
        // The IV is added to the only block, all of which is padding.
        let wrong = (0..16).map(|i| {
            let mut sealed = seal(0);
            sealed[i] ^= 0x40;
            sealed
        });
        let messages: Vec<_> =
            (0..33).map(|len| (seal(len), true)).chain(wrong.map(|m| (m, false))).collect();
        let mut key = key.clone();
        hide(&mut key[..]);
        let key = constant_time(|| AesCbc::new(&key)).unwrap();
        for (sealed, is_right) in messages {
            let opened = constant_time(|| key.open(&sealed));
            assert_eq!(opened.is_ok(), is_right);
            assert!(opened.is_err() || is_hidden(&opened.unwrap()));
        }
        let sealed = constant_time(|| key.seal(&secret(20))).unwrap();
        assert!(is_hidden(&sealed[16..]));
    }
}

#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn f26_secretbox_in_constant_time() {
    let key = hidden([7; 32]);
    let key = Secretbox::new(&key);
    for len in [0, 1, 32, 100, 1000, 5000] {
        let (plaintext, mut sealed, mut opened) = (secret(len), Vec::new(), Vec::new());
        constant_time(|| key.seal(&plaintext, &mut sealed)).unwrap();
        assert!(is_hidden(&sealed[24..]));
        show(&mut sealed[..]);
        constant_time(|| key.open(&sealed, &mut opened)).unwrap();
        assert!(is_hidden(&opened));
        for at in [24, 39, 39 + len] {
            sealed[at] ^= 1;
            assert!(constant_time(|| key.open(&sealed, &mut opened)).is_err());
            sealed[at] ^= 1;
        }
    }
}

/// Where the RustCrypto crates serve, they tell their verdict on a tag themselves, by one branch.
#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn f26_gcm_of_every_size_and_with_an_extended_nonce_in_constant_time() {
    for size in [16, 24, 32] {
        let key = constant_time(|| AesGcm::new(&secret(size))).unwrap();
        let told = if size == 32 { verdicts() } else { 1 };
        in_constant_time(
            told,
            12,
            |plaintext, out| key.seal(b"aad", plaintext, out),
            |sealed, out| key.open(b"aad", sealed, out),
        );
    }
    for size in [32, 64, 100] {
        let key = constant_time(|| XnonceGcm::new(&secret(size))).unwrap();
        in_constant_time(
            verdicts(),
            44,
            |plaintext, out| key.seal(b"aad", plaintext, out),
            |sealed, out| key.open(b"aad", sealed, out),
        );
    }
}

/// `public`: so many bytes of a sealed message are random ones.
fn in_constant_time(
    told: usize,
    public: usize,
    seal: impl Fn(&[u8], &mut Vec<u8>) -> crate::Result<()>,
    open: impl Fn(&[u8], &mut Vec<u8>) -> crate::Result<()>,
) {
    for len in [0, 1, 16, 100, 5000] {
        let (plaintext, mut sealed, mut opened) = (secret(len), Vec::new(), Vec::new());
        constant_time(|| seal(&plaintext, &mut sealed)).unwrap();
        assert!(is_hidden(&sealed[public..]));
        show(&mut sealed[..]);
        let (right, result) = leaks(|| open(&sealed, &mut opened));
        assert!(right == told && result.is_ok() && is_hidden(&opened));
        sealed[public + len] ^= 1;
        let (wrong, result) = leaks(|| open(&sealed, &mut opened));
        assert!(wrong == told && result.is_err());
    }
}

/// RustCrypto tells itself whether an unwrapped key is one: the value in front of it, its
/// length and its padding are looked at, one after the other, which takes one branch for a wrong
/// one and a few for a right one, however long the key is.
#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn key_wrap_in_constant_time() {
    for size in [16, 24, 32] {
        let kek = secret(size);
        let (kwp, kw) = constant_time(|| (Kwp::new(&kek).unwrap(), Kw::new(&kek).unwrap()));
        let dek = secret(32);
        let mut wrapped = constant_time(|| kwp.wrap(&dek)).unwrap();
        show(&mut wrapped[..]);
        assert!(is_hidden(kwp.unwrap_dek(&wrapped).unwrap().expose().unwrap()));
        for len in [32, 16, 320] {
            let dek = secret(len);
            let (mut by_kwp, mut by_kw) = constant_time(|| (kwp.wrap(&dek).unwrap(), kw.wrap(&dek).unwrap()));
            assert!(is_hidden(&by_kwp) && is_hidden(&by_kw));
            show(&mut by_kwp[..]);
            show(&mut by_kw[..]);
            for is_right in [true, false] {
                let mut out = vec![0; len];
                let (kwp_leaks, unwrapped) = leaks(|| kwp.unwrap_to(&by_kwp, &mut out));
                assert_eq!(shown(unwrapped.is_ok()), is_right);
                let (kw_leaks, unwrapped) = leaks(|| kw.unwrap(&by_kw));
                assert_eq!(shown(unwrapped.is_ok()), is_right);
                assert_eq!(kw_leaks, 1);
                assert!(if is_right { (1..=4).contains(&kwp_leaks) } else { kwp_leaks == 1 }, "{kwp_leaks}");
                by_kwp[9] ^= 1;
                by_kw[9] ^= 1;
            }
        }
    }
}

#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn derivation_in_constant_time() {
    for len in [16, 32, 200] {
        let (key, part) = (secret(len), secret(300));
        assert!(is_hidden(&constant_time(|| hmac_sha512(&key, &[b"public", &part]))));
        assert!(is_hidden(&constant_time(|| hmac_sha256(&key, &[b"public", &part]))));
        let mut out = [0; 200];
        constant_time(|| expand_sha512(&key, &[b"info"], &mut out)).unwrap();
        assert!(is_hidden(&out));
        constant_time(|| expand_sha256(&key, &[b"info"], &mut out)).unwrap();
        assert!(is_hidden(&out));
    }
}
