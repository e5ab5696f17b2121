//! The AWS Encryption SDK: a DEK for each message, wrapped by a key that is at hand. Its suite
//! commits to the key, and does not sign; the encryption context is its AAD.
use super::Direction;
use crate::library::{Burst, Contestant};
use aws_esdk::{
    client::Client,
    material_providers::{
        self,
        types::{
            AesWrappingAlg, EsdkAlgorithmSuiteId, keyring::KeyringRef,
            material_providers_config::MaterialProvidersConfig,
        },
    },
    types::aws_encryption_sdk_config::AwsEncryptionSdkConfig,
};
use aws_smithy_types::Blob;
use std::hint::black_box;
use tokio::runtime::{Builder, Runtime};

const CONTEXT: [(&str, &str); 3] = [("table", "users"), ("column", "email"), ("tenant", "7d3f")];

pub(super) fn aws_esdk(direction: Direction, bytes: usize) -> Contestant {
    let (sdk, plain) = (Sdk::new(), vec![7; bytes]);
    let sealed = sdk.seal(&plain);
    let burst: Burst = match direction {
        Direction::Seal => Box::new(move |calls| {
            for _ in 0..calls {
                black_box(sdk.seal(black_box(&plain)));
            }
        }),
        Direction::Open => Box::new(move |calls| {
            for _ in 0..calls {
                black_box(sdk.open(black_box(&sealed)));
            }
        }),
    };
    Contestant { name: "AWS Encryption SDK", burst }
}

struct Sdk {
    runtime: Runtime,
    client: Client,
    keyring: KeyringRef,
}

impl Sdk {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().build().unwrap();
        let config = MaterialProvidersConfig::builder().build().unwrap();
        let providers = material_providers::client::Client::from_conf(config).unwrap();
        let keyring = providers
            .create_raw_aes_keyring()
            .key_namespace("libkms")
            .key_name("bench")
            .wrapping_key(vec![0; 32])
            .wrapping_alg(AesWrappingAlg::AlgAes256GcmIv12Tag16);
        let keyring = runtime.block_on(keyring.send()).unwrap();
        let client = Client::from_conf(AwsEncryptionSdkConfig::builder().build().unwrap()).unwrap();
        Self { runtime, client, keyring }
    }

    fn seal(&self, plain: &[u8]) -> Blob {
        let context = CONTEXT.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let call = self
            .client
            .encrypt()
            .plaintext(plain)
            .keyring(self.keyring.clone())
            .encryption_context(context)
            .algorithm_suite_id(EsdkAlgorithmSuiteId::AlgAes256GcmHkdfSha512CommitKey);
        self.runtime.block_on(call.send()).unwrap().ciphertext.unwrap()
    }

    /// It takes the record, and there is no way to it without a copy.
    fn open(&self, sealed: &Blob) -> Blob {
        let call = self.client.decrypt().ciphertext(sealed.clone()).keyring(self.keyring.clone());
        self.runtime.block_on(call.send()).unwrap().plaintext.unwrap()
    }
}
