//! What AWS must allow for what libkms calls: printed, and never applied.
mod bound;
mod document;
mod permits;

use super::{
    allowed::{Allowed, checked_region},
    arn::{Name, is_account},
};
use crate::{
    EncryptionContext, Error, Result,
    kek::{KeyUri, Role},
};
use bound::Bound;
use permits::{Permit, permits};

/// What a program does with what is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AwsUse {
    /// Makes new DEKs.
    Seal,
    /// Unwraps DEKs: opens, and seals more under a header that was kept.
    Open,
    /// Unwraps DEKs and wraps them anew.
    Rewrap,
}

/// The policies that allow one purpose its calls to AWS KMS, bound to its encryption context,
/// and nothing else. Made from key URIs: no key is opened, nothing is asked or applied.
///
/// The manual has a [page](crate::manual::aws_policy) with the calls, the conditions and what
/// is printed.
///
/// ```
/// # fn main() -> libkms::Result<()> {
/// use libkms::{EncryptionContext, kek::{AwsPolicy, AwsUse}};
///
/// let context = EncryptionContext::new([("purpose", "orders")])?;
/// let key = "aws-kms:arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
/// let reader = AwsPolicy::new(&context).kek(&key.parse()?).uses(&[AwsUse::Open]).to_json()?;
/// assert!(reader.contains("kms:Decrypt") && !reader.contains("kms:Encrypt\""));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct AwsPolicy {
    context: EncryptionContext,
    any_value: Vec<String>,
    uses: Vec<AwsUse>,
    keks: Vec<(KeyUri, Role)>,
    account: Option<String>,
    region: Option<String>,
    principal: Option<String>,
}

/// Where nobody was named. AWS takes no policy that says this.
const NOBODY: &str = "REPLACE-WITH-THE-ARN-OF-A-ROLE-OR-USER";

impl AwsPolicy {
    /// For all uses, and for this context alone: no pair less, none more.
    pub fn new(context: &EncryptionContext) -> Self {
        Self {
            context: context.clone(),
            any_value: Vec::new(),
            uses: vec![AwsUse::Seal, AwsUse::Open, AwsUse::Rewrap],
            keks: Vec::new(),
            account: None,
            region: None,
            principal: None,
        }
    }

    /// A pair of this key must be there, whatever its value: a tenant's
    /// ([`Scope::with`](crate::Scope::with)).
    #[must_use]
    pub fn any_value(mut self, key: &str) -> Self {
        self.any_value.push(key.into());
        self
    }

    /// Only these uses.
    #[must_use]
    pub fn uses(mut self, uses: &[AwsUse]) -> Self {
        self.uses = uses.into();
        self
    }

    /// A KEK that wraps, as in [`Builder::kek`](crate::Builder::kek). One that is not in AWS
    /// KMS counts, too: with several, each must be able to wrap a DEK that another made.
    #[must_use]
    pub fn kek(mut self, uri: &KeyUri) -> Self {
        self.keks.push((uri.clone(), Role::Wraps));
        self
    }

    /// A KEK that only opens.
    #[must_use]
    pub fn opens_with(mut self, uri: &KeyUri) -> Self {
        self.keks.push((uri.clone(), Role::Opens));
        self
    }

    /// The account (12 digits) of keys that are named by alias or id, which do not say it.
    /// Without it `*` stands in its place.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        self.account = Some(account.into());
        self
    }

    /// The region of keys whose URI does not say it.
    #[must_use]
    pub fn region(mut self, region: &str) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Whom the key policies allow it: the ARN of a role, a user or an account.
    #[must_use]
    pub fn principal(mut self, arn: &str) -> Self {
        self.principal = Some(arn.into());
        self
    }

    /// The policies as JSON: an object of `iam_policy`, a document, and
    /// `key_policy_statements`, for each key what to add to its policy.
    ///
    /// # Errors
    /// Misuse if no KEK is in AWS KMS, a URI, account, region or principal is none, nothing
    /// need be allowed, or the context holds what no policy can say. Limit if the IAM policy
    /// has more than 6144 characters.
    pub fn to_json(&self) -> Result<String> {
        self.check()?;
        let bound = Bound::new(&self.context, &self.any_value)?;
        let permits = self.permits()?;
        document::json(&permits, &bound, self.principal.as_deref().unwrap_or(NOBODY))
    }

    /// What whoever applies the policies should know of them: a line each.
    ///
    /// # Errors
    /// As [`to_json`](Self::to_json).
    pub fn remarks(&self) -> Result<Vec<String>> {
        let mut said = Vec::new();
        for (uri, _) in self.keks.iter().filter(|(uri, _)| !is_ours(uri)) {
            said.push(format!("{uri} is not in AWS KMS: no policy speaks of it"));
        }
        for (kek, _) in self.allowed()? {
            let name = kek.name.as_str();
            if kek.name.place().is_none() && self.account.is_none() {
                said.push(format!("{name} does not say its account: * stands in its place"));
            }
            if matches!(kek.name, Name::Alias(_)) {
                said.push(format!(
                    "{name} opens under the key that it points to: accept= names those before"
                ));
            }
        }
        if self.principal.is_none() {
            said.push("no principal is named: AWS refuses the key policies as they are".into());
        }
        Ok(said)
    }

    fn permits(&self) -> Result<Vec<Permit>> {
        let wrapping = self.keks.iter().filter(|(_, role)| *role == Role::Wraps).count();
        let permits = permits(&self.allowed()?, &self.uses, wrapping > 1, self.account.as_deref());
        if permits.is_empty() {
            return Err(Error::misuse("aws-kms: for these uses nothing need be allowed: the KEKs only open"));
        }
        Ok(permits)
    }

    /// Those in AWS KMS.
    fn allowed(&self) -> Result<Vec<(Allowed, Role)>> {
        let ours = self.keks.iter().filter(|(uri, _)| is_ours(uri));
        let allowed =
            |(uri, role): &(KeyUri, Role)| Ok((Allowed::from_uri(uri, self.region.as_deref())?, *role));
        let all = ours.map(allowed).collect::<Result<Vec<_>>>()?;
        if all.is_empty() {
            return Err(Error::misuse("aws-kms: none of the KEKs is in AWS KMS"));
        }
        Ok(all)
    }

    fn check(&self) -> Result<()> {
        self.region.as_deref().map(checked_region).transpose()?;
        if self.account.as_deref().is_some_and(|account| !is_account(account)) {
            return Err(Error::misuse("aws-kms: an account has 12 digits"));
        }
        if self.principal.as_deref().is_some_and(|arn| !is_principal(arn)) {
            let said = "aws-kms: a principal is an ARN, as in arn:aws:iam::ACCOUNT:role/NAME; no * in it";
            return Err(Error::misuse(said));
        }
        Ok(())
    }
}

fn is_ours(uri: &KeyUri) -> bool {
    uri.scheme() == "aws-kms"
}

/// A role, a user, a session of one, or an account: never everybody.
fn is_principal(text: &str) -> bool {
    let fields: Vec<_> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, who] = fields[..] else { return false };
    let is_of_a_name = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b);
    arn == "arn"
        && (partition == "aws" || partition.starts_with("aws-"))
        && ["iam", "sts"].contains(&service)
        && region.is_empty()
        && is_account(account)
        && !who.is_empty()
        && who.bytes().all(is_of_a_name)
}

#[cfg(test)]
mod tests;
