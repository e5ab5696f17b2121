//! What is weak in a configuration that is right.
use super::{EncryptionConfiguration, Entry};
use crate::{
    Result,
    kubernetes::{Key, KmsVersion, Provider},
    secret::{same, told},
};

/// Of more, only the first ones are compared with each other.
const MOST_COMPARED: usize = 1000;

impl EncryptionConfiguration {
    /// What is weak in it, a sentence each: what new values are not protected from, and keys that
    /// are used twice.
    ///
    /// # Errors
    /// Forked in a child.
    pub fn remarks(&self) -> Result<Vec<String>> {
        let entries = self.entries.iter().zip(0..);
        let mut all: Vec<_> = entries.filter_map(|(entry, i)| of_writer(entry, i)).collect();
        all.extend(self.equal_keys()?);
        Ok(all)
    }

    fn equal_keys(&self) -> Result<Vec<String>> {
        let (mut seen, mut remarks): (Vec<(&Key, String)>, _) = (Vec::new(), Vec::new());
        let providers = self.entries.iter().flat_map(|entry| &entry.providers);
        for provider in providers {
            for key in provider.keys() {
                let name = format!("{}:{}", provider.kind().name(), key.name());
                let mut twin = None;
                for (other, of) in &seen {
                    if bool::from(told(same(other.secret()?, key.secret()?))) {
                        twin = Some(of);
                        break;
                    }
                }
                match twin {
                    // In several entries it is one key.
                    Some(of) if *of == name => {}
                    Some(of) => {
                        remarks.push(format!("{of} and {name} are the same key: neither replaces the other"))
                    }
                    None if seen.len() < MOST_COMPARED => seen.push((key, name)),
                    None => {}
                }
            }
        }
        remarks.dedup();
        Ok(remarks)
    }
}

fn of_writer(entry: &Entry, i: usize) -> Option<String> {
    let said = match entry.providers.first()? {
        Provider::Identity => "identity writes: new values are stored plain",
        Provider::AesCbc(_) => {
            "aescbc writes: values are not authenticated, and whoever can write to etcd can alter and swap them"
        }
        Provider::AesGcm(_) => {
            "aesgcm writes, with random nonces: another key must write after 200,000 writes, and nobody counts"
        }
        Provider::Kms(kms) if kms.version == KmsVersion::V1 => {
            "kms v1 writes: it is deprecated, and newer servers refuse it unless told"
        }
        Provider::Kms(_) | Provider::Secretbox(_) => return None,
    };
    Some(format!("resources[{i}]: {said}"))
}
