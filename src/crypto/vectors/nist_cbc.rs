//! NIST CAVP: AES-CBC. Its blocks have no padding: ours is cut off, and put on.
use super::{
    super::cbc::{AesCbc, tests::seal_with},
    PASSED, account,
    nist::{Case, read},
};

#[test]
#[ignore = "needs the NIST files: tests/run fetches them"]
fn cbc_known_answers_and_multiblock_messages() {
    let files = [
        ("GFSbox", [14, 12, 10]),
        ("KeySbox", [42, 48, 32]),
        ("VarKey", [256, 384, 512]),
        ("VarTxt", [256, 256, 256]),
        ("MMT", [20, 20, 20]),
    ];
    for (name, totals) in files {
        for (size, total) in [128, 192, 256].into_iter().zip(totals) {
            let cases = read("LIBKMS_NIST_VECTORS", &format!("CBC/CBC{name}{size}.rsp"));
            account(total, cases.iter().map(both_ways), &[(PASSED, total)]);
        }
    }
}

fn both_ways(case: &Case) -> &'static str {
    assert_eq!(encrypt(&case["KEY"], &case["IV"], &case["PLAINTEXT"]), case["CIPHERTEXT"], "{case:?}");
    assert_eq!(decrypt(&case["KEY"], &case["IV"], &case["CIPHERTEXT"]), case["PLAINTEXT"], "{case:?}");
    PASSED
}

/// Of another directory, since the package of the other files leaves these out.
#[test]
#[ignore = "needs the NIST files: tests/run fetches them"]
fn cbc_monte_carlo() {
    for size in [128, 192, 256] {
        let cases = read("LIBKMS_NIST_MONTE_CARLO", &format!("CBCMCT{size}.rsp"));
        let outcomes = cases.iter().enumerate().map(|(i, case)| {
            let follows = cases.get(i + 1).filter(|next| next.section == case.section);
            monte_carlo(case, follows)
        });
        account(200, outcomes, &[(PASSED, 200)]);
    }
}

/// AESAVS, section 6.4.2: a thousand rounds, each of one block. They give the answer of the
/// case, and what the next case starts from.
fn monte_carlo(case: &Case, next: Option<&Case>) -> &'static str {
    type Cipher = fn(&[u8], &[u8], &[u8]) -> Vec<u8>;
    let (cipher, from, to) = match case.section.as_str() {
        "[ENCRYPT]" => (encrypt as Cipher, "PLAINTEXT", "CIPHERTEXT"),
        "[DECRYPT]" => (decrypt as Cipher, "CIPHERTEXT", "PLAINTEXT"),
        other => panic!("{other}"),
    };
    let (key, mut iv, mut input) = (&case["KEY"], case["IV"].clone(), case[from].clone());
    let (mut previous, mut last) = (Vec::new(), case["IV"].clone());
    for _ in 0..1000 {
        let output = cipher(key, &iv, &input);
        // Encryption chains on what it gave, decryption on what it was given.
        iv = if to == "CIPHERTEXT" { output.clone() } else { input };
        previous = std::mem::replace(&mut last, output);
        input = previous.clone();
    }
    assert_eq!(last, case[to], "{case:?}");
    if let Some(next) = next {
        let both = [previous.as_slice(), &last].concat();
        let change = &both[both.len() - key.len()..];
        assert_eq!(next["KEY"], key.iter().zip(change).map(|(k, c)| k ^ c).collect::<Vec<_>>());
        assert_eq!((&next["IV"], &next[from]), (&last, &previous));
    }
    PASSED
}

/// The block that pads is the last one.
fn encrypt(key: &[u8], iv: &[u8], blocks: &[u8]) -> Vec<u8> {
    seal_with(key, iv.try_into().unwrap(), blocks)[16..][..blocks.len()].to_vec()
}

/// A block that pads follows on the last one.
fn decrypt(key: &[u8], iv: &[u8], blocks: &[u8]) -> Vec<u8> {
    let padding = &seal_with(key, blocks.last_chunk().unwrap(), &[])[16..];
    AesCbc::new(key).unwrap().open(&[iv, blocks, padding].concat()).unwrap()
}
