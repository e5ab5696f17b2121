//! Argon2id: RFC 9106, and the tests of the reference implementation, which have neither a
//! secret nor associated data, as our files have none.
use super::{super::argon2id, unhex};
use crate::ErrorKind;
use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};

#[test]
fn rfc_9106() {
    let data = AssociatedData::new(&[4; 12]).unwrap();
    let params = ParamsBuilder::new().m_cost(32).t_cost(3).p_cost(4).data(data).output_len(32).build();
    let params = params.unwrap();
    let mut memory = vec![argon2::Block::new(); params.block_count()];
    let argon = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params).unwrap();
    let mut tag = [0; 32];
    argon.hash_password_into_with_memory(&[1; 32], &[2; 16], &mut tag, &mut memory[..]).unwrap();
    assert_eq!(tag[..], unhex("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"));
}

#[test]
fn reference_implementation() {
    let cases = [
        (
            16,
            2,
            1,
            "password",
            "somesalt",
            "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7",
        ),
        (
            18,
            2,
            1,
            "password",
            "somesalt",
            "78fe1ec91fb3aa5657d72e710854e4c3d9b9198c742f9616c2f085bed95b2e8c",
        ),
        (8, 2, 1, "password", "somesalt", "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"),
        (8, 2, 2, "password", "somesalt", "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"),
        (
            16,
            1,
            1,
            "password",
            "somesalt",
            "f6a5adc1ba723dddef9b5ac1d464e180fcd9dffc9d1cbf76cca2fed795d9ca98",
        ),
        (
            16,
            4,
            1,
            "password",
            "somesalt",
            "9025d48e68ef7395cca9079da4c4ec3affb3c8911fe4f86d1a2520856f63172c",
        ),
        (
            16,
            2,
            1,
            "differentpassword",
            "somesalt",
            "0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde",
        ),
        (
            16,
            2,
            1,
            "password",
            "diffsalt",
            "bdf32b05ccc42eb15d58fd19b1f856b113da1e9a5874fdcc544308565aa8141c",
        ),
    ];
    for (log_m, t, p, passphrase, salt, key) in cases {
        let found = argon2id(passphrase.as_bytes(), salt.as_bytes(), [1 << log_m, t, p]).unwrap();
        assert_eq!(found.get().unwrap()[..], unhex(key), "{log_m} {t} {p} {passphrase} {salt}");
    }
}

#[test]
fn what_cannot_be_is_an_error() {
    for (salt, cost) in [(16, [7, 1, 1]), (7, [64, 1, 1]), (16, [64, 0, 1])] {
        let e = argon2id(b"password", &vec![7; salt], cost).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Limit, "{cost:?}");
    }
}
