//! What an API server is told of the keys that wrap.
use crate::Recipient;
use sha2::{Digest, Sha256};

/// Bytes.
const MOST: usize = 1024;

/// The keys of a header in its order, each with its scheme; their hash, if that is too long. Nothing
/// in it is a secret.
pub(super) fn key_id(recipients: &[Recipient]) -> String {
    let all: Vec<_> = recipients.iter().map(|r| format!("{}:{}", r.scheme, r.wrapped.key_id)).collect();
    let all = all.join(",");
    if all.len() <= MOST { all } else { hash(&all) }
}

/// As the API server's metrics show a key id.
pub(super) fn hash(key_id: &str) -> String {
    let digest = Sha256::digest(key_id);
    "sha256:".chars().chain(digest.iter().flat_map(|b| [b >> 4, b & 15]).map(hex)).collect()
}

fn hex(digit: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(digit)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyId, WrappedDek};

    #[test]
    fn a_key_id_names_every_key_and_is_short() {
        let to = |scheme: &str, key: &str| {
            Recipient::new(scheme, WrappedDek::new(KeyId::new(key).unwrap(), vec![1]))
        };
        assert_eq!(key_id(&[to("local", "k/1")]), "local:k/1");
        assert_eq!(key_id(&[to("local", "k/1"), to("mock", "a")]), "local:k/1,mock:a");
        let of = |len: usize| key_id(&[to("mock", &"x".repeat(len)), to("local", "k")]);
        assert_eq!(of(1011).len(), 1024);
        assert_eq!((of(1012).len(), &of(1012)[..7]), (71, "sha256:"));
        assert_ne!(of(1012), of(1013));
        assert_eq!(hash("1"), "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b");
    }
}
