//! A backend of one's own: a KMS that another part of the program provides.
use aes_kw::{AesKwp, KeyInit};
use libkms::{
    Aad, Dek, EncryptionContext, Error, ErrorKind, KeyId, Kms, Result, Wait, WrappedDek, async_trait,
    kek::{KmsBackend, Schemes},
};

/// Keeps a KEK in memory: enough to show the shape, not to be used.
struct InMemory {
    name: String,
    kek: AesKwp<aes::Aes256>,
}

impl InMemory {
    fn open(name: &str) -> Result<Self> {
        Ok(Self { name: name.into(), kek: AesKwp::new(&[42; 32].into()) })
    }
}

#[async_trait]
impl KmsBackend for InMemory {
    fn scheme(&self) -> &str {
        "x-memory"
    }
    fn accepts(&self, id: &KeyId) -> bool {
        id.as_str() == self.name
    }
    async fn wrap_dek(&self, dek: &Dek, _: &EncryptionContext) -> Result<WrappedDek> {
        let mut wrapped = vec![0; 40];
        self.kek
            .wrap_key(dek.expose()?, &mut wrapped)
            .map_err(|e| Error::new(ErrorKind::Unavailable, e.to_string()))?;
        Ok(WrappedDek::new(KeyId::new(&self.name)?, wrapped))
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, _: &EncryptionContext) -> Result<Dek> {
        let mut dek = [0; 32];
        let refused = |_| Error::new(ErrorKind::Authentication, "not a wrap of this key");
        if wrapped.ciphertext.len() != 40 {
            return Err(Error::new(ErrorKind::Authentication, "not a wrap of this key"));
        }
        self.kek.unwrap_key(&wrapped.ciphertext, &mut dek).map_err(refused)?;
        Dek::take(&mut dek[..])
    }
}

/// The program; the tests run it too.
pub fn main() -> Result<()> {
    // As a URI, for configurations; `Kms::builder().kek(InMemory::open("k")?)` does as well.
    let schemes = Schemes::default().with("x-memory", |uri| async move { InMemory::open(uri.rest()) });
    let kms = Kms::builder().kek(schemes.from_uri("x-memory:orders").wait()?).build()?;
    let scope = kms.scope(EncryptionContext::new([("a", "b")])?);
    let sealed = scope.seal(Aad::from("row 1"), b"hello").wait()?;
    println!("{:?}", scope.open(Aad::from("row 1"), &sealed).wait()?);
    println!("{}", scope.open(Aad::from("row 2"), &sealed).wait().unwrap_err());
    libkms::kek::contract::check(|| async { InMemory::open("orders") }).wait();
    Ok(())
}
