//! The KMS and the keys that the Go program in tests/kubernetes/go has too, and what it wrote.
use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use flate2::read::GzDecoder;
use libkms::{
    Error, ErrorKind, Result, async_trait,
    kubernetes::{
        DekSource, Key, KmsProvider, KmsService, KmsStatus, KmsVersion, Provider, Transformer, Wrapped,
    },
};
use sha2::{Digest, Sha256};
use std::{
    io::{BufRead, BufReader},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A provider, and the names of its keys with their sizes, or of its KMS with its version.
type Listed = (&'static str, &'static [(&'static str, usize)]);

/// In the order that values are read in. "plain" has DEKs where "vault" has seeds.
pub const PROVIDERS: &[Listed] = &[
    ("kms", &[("vault", 2)]),
    ("aesgcm", &[("a:b", 32), ("k16", 16), ("k24", 24), ("a", 32)]),
    ("aescbc", &[("a", 32), ("a:b", 16), ("k24", 24)]),
    ("secretbox", &[("a:b", 32), ("ключ", 32)]),
    ("kms", &[("plain", 2)]),
    ("kms", &[("one", 1)]),
    ("kms", &[("one:two", 1)]),
    ("identity", &[]),
];

/// The secret of a key, or the KEK of a KMS.
pub fn secret(kind: &str, name: &str, size: usize) -> Vec<u8> {
    Sha256::digest(format!("libkms test key {kind}/{name}"))[..size].to_vec()
}

/// What writes a value of the Go program: `KIND/NAME`, `identity`, and "one" before Kubernetes 1.25.
pub fn writers() -> impl Iterator<Item = String> {
    let keys =
        PROVIDERS.iter().flat_map(|(kind, keys)| keys.iter().map(move |key| format!("{kind}/{}", key.0)));
    keys.chain(["identity".to_owned()])
}

/// All of them, this one in front.
pub fn providers(writer: &str) -> Vec<Provider> {
    let (writes, name) = writer.split_once('/').unwrap_or((writer, ""));
    let mut all = Vec::new();
    for (kind, keys) in PROVIDERS {
        let mut keys = keys.to_vec();
        let at = keys.iter().position(|key| key.0 == name).filter(|_| *kind == writes);
        if let Some(at) = at {
            keys[..=at].rotate_right(1);
        }
        let provider = provider(kind, &keys);
        if at.is_some() || (keys.is_empty() && *kind == writes) {
            all.insert(0, provider);
        } else {
            all.push(provider);
        }
    }
    all
}

fn provider(kind: &str, keys: &[(&str, usize)]) -> Provider {
    let all =
        || keys.iter().map(|(name, size)| Key::new(*name, &secret(kind, name, *size)).unwrap()).collect();
    match kind {
        "kms" if keys[0].1 == 1 => Provider::Kms(kms(KmsVersion::V1, keys[0].0)),
        "kms" => Provider::Kms(kms(KmsVersion::V2, keys[0].0)),
        "aesgcm" => Provider::AesGcm(all()),
        "aescbc" => Provider::AesCbc(all()),
        "secretbox" => Provider::Secretbox(all()),
        _ => Provider::Identity,
    }
}

pub fn kms(version: KmsVersion, name: &str) -> KmsProvider {
    let endpoint = "unix:///nowhere".to_owned();
    KmsProvider { version, name: name.into(), endpoint, timeout: Duration::from_secs(3), cache_size: 1000 }
}

pub fn transformer(writer: &str) -> Transformer {
    Transformer::new(providers(writer), |kms| Ok(Remote::new(kms))).unwrap()
}

/// A KMS whose KEK everybody knows: it wraps with AES-GCM, the key id in the AAD.
pub struct Remote {
    name: String,
    version: KmsVersion,
    pub state: Mutex<State>,
}

/// What a test may change, and what it may count.
#[derive(Default)]
pub struct State {
    /// Of the key that wraps now, instead of `kek/NAME`.
    pub key_id: Option<String>,
    /// What Encrypt says instead.
    pub encrypts_as: Option<String>,
    pub healthz: Option<String>,
    pub fails: Option<ErrorKind>,
    /// `encrypt`, `decrypt` and `status`, as they came.
    pub calls: Vec<&'static str>,
    /// Before a call ends.
    pub takes: Duration,
}

impl Remote {
    pub fn new(kms: &KmsProvider) -> Arc<Self> {
        Arc::new(Self { name: kms.name.clone(), version: kms.version, state: Mutex::default() })
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The calls since it was last asked.
    pub fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    fn called(&self, call: &'static str) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        state.calls.push(call);
        let (fails, takes) = (state.fails, state.takes);
        drop(state);
        std::thread::sleep(takes);
        fails.map_or(Ok(()), |kind| Err(Error::new(kind, "the test has it fail")))
    }

    fn key_id(&self) -> String {
        let of_v2 = || self.state.lock().unwrap().key_id.clone().unwrap_or(format!("kek/{}", self.name));
        if self.version == KmsVersion::V1 { String::new() } else { of_v2() }
    }

    fn kek(&self) -> Aes256Gcm {
        Aes256Gcm::new_from_slice(&secret("kms", &self.name, 32)).unwrap()
    }
}

#[async_trait]
impl KmsService for Remote {
    async fn encrypt(&self, plaintext: &[u8], uid: &str) -> Result<Wrapped> {
        self.called("encrypt")?;
        assert_eq!(uid.len(), 36);
        let other = self.state.lock().unwrap().encrypts_as.clone();
        let key_id = other.unwrap_or_else(|| self.key_id());
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).unwrap();
        let payload = Payload { msg: plaintext, aad: key_id.as_bytes() };
        let wrapped = self.kek().encrypt((&nonce).into(), payload).unwrap();
        let mut answer = Wrapped { ciphertext: [&nonce[..], &wrapped].concat(), ..Wrapped::default() };
        if self.version == KmsVersion::V2 {
            answer.key_id = key_id;
            answer.annotations =
                [("b.example.com".into(), vec![0, 255]), ("a.example.com.".into(), vec![])].into();
        }
        Ok(answer)
    }

    async fn decrypt(&self, wrapped: &Wrapped, _: &str) -> Result<DekSource> {
        self.called("decrypt")?;
        let refused = || Error::new(ErrorKind::Denied, "not wrapped by this KMS");
        let (nonce, sealed) = wrapped.ciphertext.split_first_chunk::<12>().ok_or_else(refused)?;
        let payload = Payload { msg: sealed, aad: wrapped.key_id.as_bytes() };
        DekSource::take(self.kek().decrypt(nonce.into(), payload).map_err(|_| refused())?)
    }

    async fn status(&self) -> Result<KmsStatus> {
        self.called("status")?;
        let healthz = self.state.lock().unwrap().healthz.clone().unwrap_or("ok".into());
        Ok(KmsStatus { version: "v2".into(), healthz, key_id: self.key_id() })
    }
}

/// A line of the Go program.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub by: String,
    pub path: Vec<u8>,
    pub value: Vec<u8>,
    pub sha256: String,
    pub len: usize,
    pub stale: bool,
    pub error: String,
    pub panic: String,
}

impl Line {
    pub fn parse(line: &str) -> Self {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap_or("").to_owned();
        Self {
            by: text("by"),
            path: unbase64(&text("path")),
            value: unbase64(&text("value")),
            sha256: text("sha256"),
            len: line["len"].as_u64().unwrap_or(0) as usize,
            stale: line["stale"].as_bool().unwrap_or(false),
            error: text("error"),
            panic: text("panic"),
        }
    }

    pub fn to_json(&self) -> String {
        let base64 = <base64ct::Base64 as base64ct::Encoding>::encode_string;
        serde_json::json!({ "by": self.by, "path": base64(&self.path), "value": base64(&self.value) })
            .to_string()
    }
}

pub fn unbase64(text: &str) -> Vec<u8> {
    <base64ct::Base64 as base64ct::Encoding>::decode_vec(text).unwrap()
}

pub fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the Go program wrote: `values write 120`, and of `values write 500` the value of 1 MiB.
pub fn recorded() -> impl Iterator<Item = Line> {
    let file = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes/values.jsonl.gz"));
    BufReader::new(GzDecoder::new(file.unwrap())).lines().map(|line| Line::parse(&line.unwrap()))
}
