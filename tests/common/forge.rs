//! The format written a second time, by hand, for whoever wants to forge.
#![allow(dead_code, reason = "each test file uses its own part")]
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use hmac::Mac;
use libkms::{Dek, EncryptionContext, KeyId, Result, WrappedDek, async_trait, kek::KmsBackend};
use sha2::Sha512;

/// A KMS for forgers: the wrapped DEK is the DEK, then whatever else, which it ignores.
pub struct Glass {
    pub key_id: &'static str,
    pub dek: [u8; 32],
}

#[async_trait]
impl KmsBackend for Glass {
    fn scheme(&self) -> &str {
        "x-glass"
    }
    fn accepts(&self, key_id: &KeyId) -> bool {
        key_id.as_str() == self.key_id
    }
    async fn generate_dek(&self, context: &EncryptionContext) -> Result<(Dek, WrappedDek)> {
        let dek = Dek::take(self.dek)?;
        let wrapped = self.wrap_dek(&dek, context).await?;
        Ok((dek, wrapped))
    }
    async fn wrap_dek(&self, dek: &Dek, _: &EncryptionContext) -> Result<WrappedDek> {
        Ok(WrappedDek::new(KeyId::new(self.key_id)?, dek.expose()?.to_vec()))
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, _: &EncryptionContext) -> Result<Dek> {
        Dek::take(wrapped.ciphertext[..wrapped.ciphertext.len().min(32)].to_vec())
    }
}

pub struct Keys {
    pub mac: [u8; 32],
    pub payload: [u8; 32],
    pub commitment: [u8; 32],
}

pub fn derive(dek: &[u8; 32], suite: u8, context: &EncryptionContext) -> Keys {
    let info = [b"libkms/v1\0", &[suite][..], context.encoding()].concat();
    let first = hmac(dek, &[&info[..], &[1]].concat());
    let second = hmac(dek, &[&first[..], &info, &[2]].concat());
    let part = |b: &[u8]| b.try_into().unwrap();
    Keys { mac: part(&first[..32]), payload: part(&first[32..]), commitment: part(&second[..32]) }
}

pub fn hmac(key: &[u8], data: &[u8]) -> [u8; 64] {
    let mut mac = hmac::Hmac::<Sha512>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// A header to be, every field at the forger's will.
#[derive(Clone)]
pub struct Forged {
    pub magic: Vec<u8>,
    pub version: u8,
    pub suite: u8,
    pub copies: u8,
    pub count: Option<u8>,
    pub recipients: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    pub fields: Vec<u8>,
    pub padding: Vec<u8>,
    pub len: Option<u16>,
}

impl Forged {
    pub fn new(suite: u8, dek: &[u8; 32]) -> Self {
        let recipient = (b"x-glass".to_vec(), b"glass/1".to_vec(), dek.to_vec());
        Self {
            magic: b"KMSE".to_vec(),
            version: 1,
            suite,
            copies: 1,
            count: None,
            recipients: vec![recipient],
            fields: vec![],
            padding: vec![],
            len: None,
        }
    }

    pub fn two_copies(mut self) -> Self {
        self.copies = 2;
        self
    }

    /// Header and mac, right for these keys, whatever the header says.
    pub fn build(&self, keys: &Keys) -> Vec<u8> {
        let mut h = self.magic.clone();
        let count = self.count.unwrap_or(self.recipients.len() as u8);
        h.extend([self.version, self.suite, self.copies, count, 0, 0]);
        h.extend(keys.commitment);
        for (scheme, key_id, wrapped) in &self.recipients {
            h.push(scheme.len() as u8);
            h.extend(scheme);
            for part in [key_id, wrapped] {
                h.extend((part.len() as u16).to_be_bytes());
                h.extend(part);
            }
        }
        h.extend((self.fields.len() as u16).to_be_bytes());
        h.extend(&self.fields);
        h.extend(&self.padding);
        if self.copies == 2 && self.padding.is_empty() {
            h.resize((h.len() + 16).next_power_of_two().max(4096) - 16, 0);
        }
        let len = self.len.unwrap_or(h.len() as u16);
        h[8..10].copy_from_slice(&len.to_be_bytes());
        let mac = hmac(&keys.mac, &h);
        h.extend(&mac[..16]);
        h
    }
}

/// The AES-256-GCM key and nonce of one XAES message.
pub fn xaes(key: &[u8; 32], nonce: &[u8; 24]) -> ([u8; 32], [u8; 12]) {
    let l = u128::from_be_bytes(block(key, [0; 16]));
    let k1 = (l << 1) ^ if l >> 127 == 1 { 0x87 } else { 0 };
    let mut out = [0; 32];
    for i in 0..2 {
        let mut m = [0; 16];
        m[..4].copy_from_slice(&[0, i as u8 + 1, b'X', 0]);
        m[4..].copy_from_slice(&nonce[..12]);
        let m = (u128::from_be_bytes(m) ^ k1).to_be_bytes();
        out[16 * i..][..16].copy_from_slice(&block(key, m));
    }
    (out, nonce[12..].try_into().unwrap())
}

pub fn block(key: &[u8; 32], input: [u8; 16]) -> [u8; 16] {
    let mut b = input.into();
    aes::Aes256::new(key.into()).encrypt_block(&mut b);
    b.into()
}

/// The AES-256-GCM key of a chunked payload.
pub fn chunks(key: &[u8; 32], salt: &[u8], aad: &[u8]) -> [u8; 32] {
    let info = [b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0", salt, aad].concat();
    hmac(key, &[&info[..], &[1]].concat())[..32].try_into().unwrap()
}

/// Ciphertext and tag that are authentic under both GCM keys, to two plaintexts: one block
/// is chosen so that both tags agree.
pub fn collide(a: (&[u8; 32], &[u8; 12]), b: (&[u8; 32], &[u8; 12])) -> Vec<u8> {
    let side = |(key, nonce): (&[u8; 32], &[u8; 12])| {
        let h = u128::from_be_bytes(block(key, [0; 16]));
        let mut j0 = [0; 16];
        j0[..12].copy_from_slice(nonce);
        j0[15] = 1;
        (h, u128::from_be_bytes(block(key, j0)))
    };
    let ((h1, e1), (h2, e2)) = (side(a), side(b));
    // No aad, two blocks: GHASH = c1 h^3 + c2 h^2 + len h.
    let (c1, len) = (u128::from_be_bytes(*b"sixteen bytes!!!"), 256u128);
    let rest = |h: u128| mul(c1, mul(h, mul(h, h))) ^ mul(len, h);
    let c2 = mul(rest(h1) ^ rest(h2) ^ e1 ^ e2, inverse(mul(h1, h1) ^ mul(h2, h2)));
    let tag = rest(h1) ^ mul(c2, mul(h1, h1)) ^ e1;
    [c1, c2, tag].iter().flat_map(|x| x.to_be_bytes()).collect()
}

/// In the field of GHASH (SP 800-38D, section 6.3).
pub fn mul(x: u128, y: u128) -> u128 {
    let (mut z, mut v) = (0, y);
    for i in (0..128).rev() {
        if x >> i & 1 == 1 {
            z ^= v;
        }
        v = v >> 1 ^ if v & 1 == 1 { 0xe1 << 120 } else { 0 };
    }
    z
}

/// x^(2^128 - 2).
fn inverse(x: u128) -> u128 {
    let (mut square, mut out) = (mul(x, x), 1 << 127);
    for _ in 1..128 {
        out = mul(out, square);
        square = mul(square, square);
    }
    out
}
