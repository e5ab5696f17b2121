//! What is new in a configuration, as text.
use super::{
    super::{
        base64,
        node::Value,
        scalar::resolve,
        which::{KeyRef, ProviderKind},
    },
    NewProvider,
};
use crate::{Error, Result, crypto::random, kubernetes::Key, secret::Locked};
use zeroize::Zeroizing;

/// A key that nobody has seen, and its secret in base64.
pub(super) struct Fresh {
    pub(super) key: Key,
    secret: Zeroizing<String>,
}

impl Fresh {
    /// 32 bytes, for each kind.
    pub(super) fn new(name: &str) -> Result<Self> {
        let bytes = Locked::<[u8; 32]>::fill(random)?;
        let secret = base64::encode(bytes.get()?);
        Ok(Self { key: Key::new(name, bytes.get()?)?, secret })
    }

    pub(super) fn block(&self, indent: usize, end: &str) -> Zeroizing<String> {
        let (blank, name, secret) = (" ".repeat(indent), scalar(self.key.name()), &*self.secret);
        written(&[&blank, "- name: ", &name, end, &blank, "  secret: ", secret, end])
    }

    pub(super) fn flow(&self) -> Zeroizing<String> {
        let name = quoted(self.key.name());
        written(&["{\"name\": ", &name, ", \"secret\": \"", &self.secret, "\"}"])
    }
}

/// A provider as an item of a list.
pub(super) fn block(new: &NewProvider, fresh: Option<&Fresh>, indent: usize, end: &str) -> Zeroizing<String> {
    let (blank, kind) = (" ".repeat(indent), new.key_ref().kind.name());
    let head = format!("{blank}- {kind}:{end}");
    let Some(fresh) = fresh else {
        let NewProvider::Kms { name, endpoint, timeout } = new else {
            return written(&[&blank, "- identity: {}", end]);
        };
        let field = |name: &str, value: &str| format!("{blank}    {name}: {}{end}", scalar(value));
        let timeout = timeout.as_ref().map(|timeout| field("timeout", timeout)).unwrap_or_default();
        return written(&[
            &head,
            &field("apiVersion", "v2"),
            &field("name", name),
            &field("endpoint", endpoint),
            &timeout,
        ]);
    };
    written(&[&head, &blank, "    keys:", end, &fresh.block(indent + 4, end)])
}

pub(super) fn flow(new: &NewProvider, fresh: Option<&Fresh>) -> Zeroizing<String> {
    let Some(fresh) = fresh else {
        let NewProvider::Kms { name, endpoint, timeout } = new else {
            return written(&["{\"identity\": {}}"]);
        };
        let timeout = timeout.as_ref().map(|t| format!(", \"timeout\": {}", quoted(t))).unwrap_or_default();
        let (name, endpoint) = (quoted(name), quoted(endpoint));
        return written(&[
            "{\"kms\": {\"apiVersion\": \"v2\", \"name\": ",
            &name,
            ", \"endpoint\": ",
            &endpoint,
            &timeout,
            "}}",
        ]);
    };
    written(&["{\"", new.key_ref().kind.name(), "\": {\"keys\": [", &fresh.flow(), "]}}"])
}

pub(super) fn whole(resources: &[String], providers: &str) -> Zeroizing<String> {
    let names: String = resources.iter().map(|name| format!("      - {}\n", scalar(name))).collect();
    written(&[
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n  - resources:\n",
        &names,
        "    providers:\n",
        providers,
    ])
}

pub(super) fn manifest(text: &str, name: &str, namespace: Option<&str>) -> Result<Zeroizing<String>> {
    [Some(name), namespace].into_iter().flatten().try_for_each(check_object_name)?;
    let namespace = namespace.map(|name| format!("  namespace: {}\n", scalar(name))).unwrap_or_default();
    let head = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\n{namespace}type: Opaque\n",
        scalar(name)
    );
    Ok(written(&[&head, "data:\n  encryption-config.yaml: ", &base64::encode(text.as_bytes()), "\n"]))
}

fn check_object_name(name: &str) -> Result<()> {
    let may_stand = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let is_right = (1..=253).contains(&name.len())
        && name.chars().all(may_stand)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.']);
    if is_right {
        Ok(())
    } else {
        Err(Error::misuse("no name of an object: a-z 0-9 - . and up to 253 of them"))
    }
}

/// The name of a new key or plugin.
pub(super) fn check_name(of: &KeyRef) -> Result<()> {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_right =
        (1..=64).contains(&of.name.len()) && of.name.chars().all(may_stand) && !of.name.starts_with('-');
    if is_right || of.kind == ProviderKind::Identity {
        return Ok(());
    }
    Err(Error::misuse("the name of a new key is 1 to 64 of A-Z a-z 0-9 . _ - and begins with no -"))
}

/// Plain where that is a text, and nothing else.
fn scalar(text: &str) -> String {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    let is_plain = text.chars().all(may_stand) && !text.starts_with(['-', ':', '@']) && !text.ends_with(':');
    match resolve(text, None, true) {
        Ok(Value::Text(_)) if is_plain => text.into(),
        _ => quoted(text),
    }
}

/// As JSON and YAML both have it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn written(parts: &[&str]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| text.push_str(part));
    text
}
