//! The seeds and DEKs of Kubernetes' values: nothing of them is left where they worked.
use super::{
    super::{deepen, forked, in_fork},
    *,
};
use hmac::{Hmac, KeyInit, Mac};
use libkms::{
    Result, async_trait,
    kubernetes::{
        DekSource, Key, KmsProvider, KmsService, KmsStatus, KmsVersion, Provider, Transformer, Wrapped,
    },
};
use std::{sync::Arc, time::Duration};

const PATH: &str = "/registry/secrets/default/db";

/// Wraps by masking: the bytes that are looked for lie nowhere.
struct Masks;

/// Otherwise than what is looked for, which would be found where this one is copied.
fn wrapped(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 0xa7).collect()
}

#[async_trait]
impl KmsService for Masks {
    async fn encrypt(&self, plaintext: &[u8], _: &str) -> Result<Wrapped> {
        Ok(Wrapped { ciphertext: wrapped(plaintext), key_id: "k".into(), ..Wrapped::default() })
    }
    async fn decrypt(&self, source: &Wrapped, _: &str) -> Result<DekSource> {
        DekSource::take(wrapped(&source.ciphertext))
    }
    async fn status(&self) -> Result<KmsStatus> {
        Ok(KmsStatus { version: "v2".into(), healthz: "ok".into(), key_id: "k".into() })
    }
}

fn transformer() -> Transformer {
    let (name, endpoint) = ("masks".to_owned(), "unix:///nowhere".to_owned());
    let timeout = Duration::from_secs(3);
    let kms = KmsProvider { version: KmsVersion::V2, name, endpoint, timeout, cache_size: 0 };
    Transformer::new(vec![Provider::Kms(kms)], |_| Ok(Arc::new(Masks))).unwrap()
}

#[test]
fn f16_after_a_fork_no_value_is_read_or_written() {
    let by = transformer();
    let value = by.write(PATH, b"text").wait().unwrap();
    let source = DekSource::take([7; 32]).unwrap();
    let answer = in_fork(|| {
        let checks = [
            forked(by.read(PATH, &value).wait()),
            forked(by.try_read(PATH, &value)),
            forked(by.write(PATH, b"text").wait()),
            forked(by.try_write(PATH, b"text")),
            forked(source.expose()),
            forked(DekSource::take([7; 32])),
            forked(Key::new("k", &[7; 32])),
            forked(Transformer::without_kms(vec![Provider::Identity])),
        ];
        checks.iter().filter(|is_forked| !**is_forked).count() as u8
    });
    assert_eq!(answer, 0);
}

#[test]
fn f34_nothing_of_a_seed_is_left() {
    for without in ["", "vaes512", "vaes512,vaes256", "vaes512,vaes256,aesni"] {
        let mut ran = again("ciphers::kubernetes::seeds_and_the_whole_memory");
        let ran = ran.env("LIBKMS_WITHOUT", without).output().unwrap();
        assert!(ran.status.success(), "without {without:?}: {}", String::from_utf8_lossy(&ran.stdout));
    }
}

/// Looks first, and computes then what it looks for.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn seeds_and_the_whole_memory() {
    let folder = Folder::new("seeds");
    let mut looker = Looker::new(&folder.0);
    let plaintext = pattern(300);
    deepen(60);

    let by = transformer();
    let mut value = by.write(PATH, &plaintext).wait().unwrap();
    looker.look("written");
    by.try_write(PATH, &plaintext).unwrap().unwrap();
    looker.look("written again");
    let other = transformer();
    other.read(PATH, &value).wait().unwrap();
    looker.look("read");
    other.try_read(PATH, &value).unwrap().unwrap();
    looker.look("read again");
    let at = b"k8s:enc:kms:v2:masks:".len() + 3;
    value[at + 100] ^= 1;
    other.try_read(PATH, &value).unwrap_err();
    looker.look("refused");
    drop((by, other));
    looker.look("dropped");

    // The seed stands behind its field's head, before the type.
    let (info, end) = (value[at..at + 32].to_vec(), value.len() - 2);
    let stored = &value[end - 32..end];
    let masked_seed: Vec<_> = stored.iter().map(|byte| byte ^ 0xa7 ^ 0x55).collect();
    let halves: Vec<_> =
        masked_seed.chunks(8).map(|half| u64::from_ne_bytes(half.try_into().unwrap())).collect();
    for look in &looker.looks {
        let files = look.files.each_ref().map(|path| fs::read(path).unwrap());
        let places = [&look.registers, &look.dead_stack, &files[0], &files[1]];
        // What HMAC makes of it is kept; of another one it would be found.
        assert_eq!(places.map(|place| count(place, &halves)), [0; 4], "the seed, {}", look.name);
    }
    let seed = masked(&masked_seed);
    let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(&seed).unwrap();
    mac.update(&info);
    mac.update(&[1]);
    let key: [u8; 32] = mac.finalize().into_bytes().into();
    for look in &looker.looks {
        assert_eq!(look.finds(&key), Found::default(), "the DEK, {}", look.name);
    }
    the_search_finds_what_is_there(&mut looker, &key);
    looker.look("known");
    let ordinary = fs::read(&looker.looks[2].files[0]).unwrap();
    assert!(count(&ordinary, &halves) == 4, "the seed is in the memory of the test by now");
}
