//! The encryption context as the conditions of a policy.
use super::document::{Conditions, add};
use crate::{EncryptionContext, Error, Result};
use serde_json::json;
use std::collections::HashSet;

/// What a request's context must be: these pairs, and pairs of these keys.
pub(super) struct Bound {
    exact: Vec<(String, String)>,
    any_value: Vec<String>,
}

impl Bound {
    /// # Errors
    /// Misuse for what no policy can say.
    pub(super) fn new(context: &EncryptionContext, any_value: &[String]) -> Result<Self> {
        EncryptionContext::new(any_value.iter().map(|key| (&**key, "")))?;
        let named = context.iter().filter(|(key, _)| !any_value.iter().any(|any| any == key));
        let exact: Vec<_> = named.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let me = Self { exact, any_value: any_value.into() };
        me.check().map(|()| me)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().map(|(key, _)| &**key).chain(self.any_value.iter().map(|key| &**key))
    }

    fn check(&self) -> Result<()> {
        let mut seen = HashSet::new();
        for key in self.keys() {
            if !key.chars().all(is_of_a_policy) || key.contains("${") {
                return Err(Error::misuse(format!("aws-kms: no policy can name the context's key {key}")));
            }
            // To AWS the key of a condition is the same in upper and lower case.
            if !seen.insert(key.to_lowercase()) {
                let said = format!("aws-kms: no policy can tell the context's key {key} from its other case");
                return Err(Error::misuse(said));
            }
        }
        match self.exact.iter().find(|(_, value)| !value.chars().all(is_of_a_policy)) {
            None => Ok(()),
            Some((key, _)) => Err(Error::misuse(format!(
                "aws-kms: a policy has printable Latin-1 alone, and the value of {key} has more: allow any"
            ))),
        }
    }

    /// The keys twice: `kms:EncryptionContext:KEY` is the same in either case and permits
    /// further pairs, `kms:EncryptionContextKeys` forbids both, but is met by no context at
    /// all.
    pub(super) fn add_to(&self, conditions: &mut Conditions) {
        let keys: Vec<_> = self.keys().collect();
        if keys.is_empty() {
            return add(conditions, "Null", KEYS, json!("true"));
        }
        for (key, value) in &self.exact {
            add(conditions, "StringEquals", &of_pair(key), json!(literal(value)));
        }
        for key in &self.any_value {
            add(conditions, "Null", &of_pair(key), json!("false"));
        }
        add(conditions, "ForAllValues:StringEquals", KEYS, json!(keys));
    }
}

const KEYS: &str = "kms:EncryptionContextKeys";

fn of_pair(key: &str) -> String {
    format!("kms:EncryptionContext:{key}")
}

/// What both IAM and key policies may consist of.
fn is_of_a_policy(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{a1}'..='\u{ff}')
}

/// `${name}` would be a variable.
fn literal(text: &str) -> String {
    text.replace("${", "${$}{")
}
