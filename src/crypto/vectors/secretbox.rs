//! secretbox: the example of NaCl (tests/secretbox.c) and that of Go (golang.org/x/crypto/nacl/secretbox).
use super::{
    super::secretbox::{Secretbox, tests::seal_with},
    unhex,
};

#[test]
fn nacl() {
    check(
        &unhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389"),
        &unhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37"),
        &unhex(concat!(
            "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c6129",
            "6cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde",
            "048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705",
        )),
        &unhex(concat!(
            "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a",
            "c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae",
            "90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74",
            "e355a5",
        )),
    );
}

#[test]
fn go() {
    let sealed = concat!(
        "8442bc313f4626f1359e3b50122b6ce6fe66ddfe7d39d14e637eb4fd5b45beadab55198df6ab5368439792a23c87db70",
        "acb6156dc5ef957ac04f6276cf6093b84be77ff0849cc33e34b7254d5a8f65ad",
    );
    check(&[1; 32], &[2; 24], &[3; 64], &unhex(sealed));
}

fn check(key: &[u8], nonce: &[u8], plaintext: &[u8], sealed: &[u8]) {
    let (key, expected) = (key.try_into().unwrap(), [nonce, sealed].concat());
    assert_eq!(seal_with(key, nonce.try_into().unwrap(), plaintext), expected);
    let mut opened = Vec::new();
    Secretbox::new(key).open(&expected, &mut opened).unwrap();
    assert_eq!(opened, plaintext);
}
