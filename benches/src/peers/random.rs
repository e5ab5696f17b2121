//! 24 random bytes.
use crate::library::Contestant;
use std::hint::black_box;

/// Those of libkms first.
pub fn random() -> Vec<Contestant> {
    let system = ring::rand::SystemRandom::new();
    vec![
        fill("libkms", |out| *out = libkms::raw::random().unwrap()),
        fill("aws-lc-rs", |out| aws_lc_rs::rand::fill(out).unwrap()),
        fill("getrandom", |out| getrandom::fill(out).unwrap()),
        fill("OpenSSL", |out| openssl::rand::rand_bytes(out).unwrap()),
        fill("rand", |out| rand::Rng::fill_bytes(&mut rand::rng(), out)),
        fill("ring", move |out| ring::rand::SecureRandom::fill(&system, out).unwrap()),
    ]
}

fn fill(name: &'static str, mut one: impl FnMut(&mut [u8; 24]) + 'static) -> Contestant {
    let burst = Box::new(move |calls| {
        for _ in 0..calls {
            let mut bytes = [0; 24];
            one(black_box(&mut bytes));
            black_box(bytes);
        }
    });
    Contestant { name, burst }
}
