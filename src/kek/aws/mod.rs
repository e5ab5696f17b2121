//! KEKs in AWS KMS.
mod allowed;
mod arn;
mod calls;
mod credentials;
mod failure;
mod guard;
mod http;
mod open;
mod policy;

pub use policy::{AwsPolicy, AwsUse};

use super::{KmsBackend, OnTokio};
use crate::{Dek, EncryptionContext, Error, KeyId, Recipient, Result, WrappedDek};
use allowed::Allowed;
use arn::Name;
use aws_sdk_kms::Client;
use calls::Calls;
use std::fmt;

const SCHEME: &str = "aws-kms";
/// A tenth of the smallest quota that an account has for these calls in a region, all its
/// programs together.
const CALLS_PER_SECOND: u32 = 550;

/// A key in AWS KMS: scheme `aws-kms`, URI `aws-kms:ARN` and the like
/// ([`kek`](super)'s table).
///
/// New DEKs are made by GenerateDataKey, others wrapped by Encrypt; Decrypt opens, and
/// DescribeKey tells which key an alias stands for. KMS is given the pairs of the encryption
/// context and logs them. What is stored of a key is its ARN, and the id of its material
/// where KMS tells that: an alias is followed when a DEK is wrapped, and never when one is
/// opened.
///
/// **What opens**: the key that was configured; what an alias or an id stood for in this
/// process, in its replies; the keys and accounts that were named
/// ([`accept`](Self::accept), [`accept_account`](Self::accept_account)); in the regions that
/// were listed ([`in_region`](Self::in_region)), replicas of a multi-Region key that opens.
/// For anything else no call is made. After an alias moved, a process that starts anew is to
/// be told of the key before.
///
/// **What AWS must allow** for it, [`AwsPolicy`] tells.
///
/// **Where it runs**: on libkms's own I/O thread, whoever calls. The SDK's retries are off,
/// libkms's count; it waits 3.1 s for a connection, and otherwise as long as libkms does.
///
/// **Secrets**: a DEK that comes out of a reply is wiped there. What the SDK and its HTTP
/// client hold of a request or a reply, while they read and write it, is ordinary memory
/// that is freed and not wiped.
#[derive(Clone)]
pub struct AwsKms(Calls);

impl AwsKms {
    /// With a client of your own, in its region or in that of the key's ARN: credentials,
    /// endpoint and HTTP client are yours, its retries are not used. It may be built
    /// anywhere. `key`: an ARN, an id, `alias/NAME` or the ARN of an alias.
    ///
    /// # Errors
    /// Misuse if that is no name of a key, or there is no region.
    pub fn from_client(client: Client, key: &str) -> Result<Self> {
        let region = client.config().region().map(|r| r.as_ref());
        let allowed = Allowed::new(Name::parse(key)?, region)?;
        Ok(Self(Calls::new(client.config(), allowed)))
    }

    /// Opens under this key, too: one that the alias stood for, by its ARN.
    ///
    /// # Errors
    /// Misuse if it is no key's ARN.
    pub fn accept(mut self, arn: &str) -> Result<Self> {
        self.0.allowed.accept(arn)?;
        Ok(self)
    }

    /// Opens under any key of this account (12 digits), in the key's region and those
    /// listed. Whoever may write records may then choose among them.
    ///
    /// # Errors
    /// Misuse if it is no account.
    pub fn accept_account(mut self, account: &str) -> Result<Self> {
        self.0.allowed.accept_account(account)?;
        Ok(self)
    }

    /// Lists one more region: replicas of a multi-Region key that opens do so there.
    ///
    /// # Errors
    /// Misuse if it is no region.
    pub fn in_region(mut self, region: &str) -> Result<Self> {
        self.0.allowed.in_region(region)?;
        Ok(self)
    }

    /// Sends this grant token with every call. It is no secret.
    ///
    /// # Errors
    /// Misuse if it is empty or longer than 8192 bytes, or the eleventh.
    pub fn grant_token(mut self, token: &str) -> Result<Self> {
        if !(1..=8192).contains(&token.len()) || self.0.grant_tokens.len() == 10 {
            return Err(Error::misuse("aws-kms: at most 10 grant tokens, of 1 to 8192 bytes"));
        }
        self.0.grant_tokens.push(token.into());
        Ok(self)
    }

    fn on_tokio(&self) -> OnTokio<Calls> {
        OnTokio::own(self.0.clone())
    }
}

#[async_trait::async_trait]
impl KmsBackend for AwsKms {
    fn scheme(&self) -> &str {
        self.0.scheme()
    }

    fn accepts(&self, key_id: &KeyId) -> bool {
        self.0.accepts(key_id)
    }

    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        self.on_tokio().wrap_dek(dek, context).await
    }

    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        self.on_tokio().unwrap_dek(wrapped, context).await
    }

    async fn generate_dek(&self, context: &EncryptionContext) -> Result<(Dek, WrappedDek)> {
        self.on_tokio().generate_dek(context).await
    }

    async fn current_key(&self) -> Result<Option<KeyId>> {
        self.on_tokio().current_key().await
    }

    fn name(&self) -> String {
        self.0.name()
    }

    fn place(&self, key_id: &KeyId) -> usize {
        self.0.place(key_id)
    }

    fn calls_per_second(&self) -> Option<u32> {
        Some(CALLS_PER_SECOND)
    }
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsKms({})", self.0.allowed.name.as_str())
    }
}

/// Headers are not verified by then: whose key it is, their reader must know.
pub(super) fn how_to_accept(recipients: &[Recipient]) -> Option<String> {
    let ours = recipients.iter().filter(|r| r.scheme == SCHEME);
    let arns: Vec<_> = ours.filter_map(|r| allowed::arn(&r.wrapped.key_id)).collect();
    let arns = (!arns.is_empty()).then(|| arns.join(","))?;
    Some(format!(
        "if you trust that key, add accept={arns} to the URI of an aws-kms KEK, behind a ? or an & \
         (AwsKms::accept in a program)"
    ))
}
