//! From the DEK that a KMS hands over to the envelope and back: what is derived, remembered,
//! compared and looked up on the way takes no branch and no address from a secret.
use crate::{
    Aad, Dek, EncryptionContext, KeyId, Kms, MemoryHeaders, Result, SealOptions, Wait, WrappedDek,
    arch::Aes256Gcm,
    kek::KmsBackend,
    secret::constant_time::{constant_time, hidden, hide, is_hidden, leaks, show},
};

/// Its wrapped DEKs are the DEKs, which it hides when it hands them over.
struct Hiding;

#[async_trait::async_trait]
impl KmsBackend for Hiding {
    fn scheme(&self) -> &str {
        "x-hiding"
    }

    fn accepts(&self, _: &KeyId) -> bool {
        true
    }

    async fn generate_dek(&self, context: &EncryptionContext) -> Result<(Dek, WrappedDek)> {
        let dek = Dek::take(hidden([7; 32]))?;
        let wrapped = self.wrap_dek(&dek, context).await?;
        Ok((dek, wrapped))
    }

    async fn wrap_dek(&self, dek: &Dek, _: &EncryptionContext) -> Result<WrappedDek> {
        let mut wrapped = dek.expose()?.to_vec();
        show(&mut wrapped[..]);
        Ok(WrappedDek::new(KeyId::new("hiding/1")?, wrapped))
    }

    async fn unwrap_dek(&self, wrapped: &WrappedDek, _: &EncryptionContext) -> Result<Dek> {
        let mut dek = wrapped.ciphertext.clone();
        hide(&mut dek[..]);
        Dek::take(dek)
    }
}

fn plaintext() -> Vec<u8> {
    let mut plaintext = vec![9; 40_000];
    hide(&mut plaintext[..]);
    plaintext
}

/// RustCrypto tells its verdict on each tag itself, by one branch.
fn verdicts(tags: usize) -> usize {
    if Aes256Gcm::new(&[0; 32]).engine().is_none() { tags } else { 0 }
}

#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn f26_records_in_constant_time() {
    let kms = || Kms::builder().kek(Hiding).build().unwrap().scope(EncryptionContext::empty());
    let scope = kms();
    for _ in 0..3 {
        let (aad, plaintext) = (Aad::from("aad"), plaintext());
        let mut sealed = constant_time(|| scope.seal(aad, &plaintext).wait()).unwrap();
        assert!(is_hidden(&sealed[sealed.len() - 40_000..]));
        show(&mut sealed[..]);
        // A DEK that is unwrapped, and one that is remembered.
        let other = kms();
        for _ in 0..2 {
            let (right, opened) = leaks(|| other.open(aad, &sealed).wait());
            assert!(right == verdicts(1) && is_hidden(&opened.unwrap().plaintext));
        }
        let (wrong, refused) = leaks(|| other.open(Aad::empty(), &sealed).wait());
        assert!(wrong == verdicts(1) && refused.is_err());
        // The header's mac, and the commitment.
        for at in [10, sealed.len() - 40_000 - 16 - 24 - 1] {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(constant_time(|| kms().open(aad, &forged).wait()).is_err());
        }
    }
}

#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn f26_streams_and_references_in_constant_time() {
    let kms = Kms::builder().kek(Hiding).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    let (aad, plaintext, mut sealed, mut opened) = (Aad::from("aad"), plaintext(), Vec::new(), Vec::new());
    let options = SealOptions::new();
    constant_time(|| scope.seal_stream(aad, &options, &plaintext[..], &mut sealed)).unwrap();
    show(&mut sealed[..]);
    let (right, result) = leaks(|| scope.open_stream(aad, &sealed[..], &mut opened));
    assert!(right == verdicts(3) && result.is_ok() && is_hidden(&opened));

    let references = scope.references(MemoryHeaders::new());
    let mut record = constant_time(|| references.seal(aad, &plaintext).wait()).unwrap();
    show(&mut record[..]);
    let (right, result) = leaks(|| references.open(aad, &record).wait());
    assert!(right == verdicts(1) && is_hidden(&result.unwrap().plaintext));
}
