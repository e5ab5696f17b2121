//! From what stands there to what it means.
use super::{
    Entry, Gate, base64, duration, endpoint, group,
    node::{Node, Value},
    place::{self, Path},
};
use crate::{
    Error, Result,
    kubernetes::{Key, KmsProvider, KmsVersion, Provider},
};
use std::{collections::HashSet, fmt::Display, time::Duration};

/// The server's, where the file says none.
pub(super) const USUAL_TIMEOUT: Duration = Duration::from_secs(3);
const USUAL_CACHE: i32 = 1000;

/// A field or an item, and where it stands. None for what is absent, or null, which is the same.
#[derive(Clone, Copy)]
struct Found<'a, 'p> {
    text: &'a str,
    node: &'a Node,
    path: &'p Path<'p>,
}

pub(super) fn read(text: &str, root: &Node, gate: Gate) -> Result<Vec<Entry>> {
    let root = Found { text, node: root, path: &Path::Root };
    let [version, kind, resources] = root.fields(["apiVersion", "kind", "resources"])?;
    let (version, kind) = (root.text_of(version, "apiVersion")?, root.text_of(kind, "kind")?);
    let is_usual = (version, kind) == ("apiserver.config.k8s.io/v1", "EncryptionConfiguration");
    let is_legacy = kind == "EncryptionConfig" && ["v1", "/v1"].contains(&version);
    if !is_usual && !is_legacy {
        let said = "kind must be EncryptionConfiguration, and apiVersion apiserver.config.k8s.io/v1";
        return Err(root.error(said));
    }
    let mut reader = Reader { gate, kms: HashSet::new() };
    let path = root.path.field("resources");
    let items = root.list(resources, &path)?;
    items.iter().enumerate().map(|(i, item)| reader.entry(root.item(item, &Path::Item(&path, i)))).collect()
}

struct Reader {
    gate: Gate,
    /// Names of the plugins so far.
    kms: HashSet<String>,
}

impl Reader {
    fn entry(&mut self, entry: Found<'_, '_>) -> Result<Entry> {
        let [resources, providers] = entry.fields(["resources", "providers"])?;
        let path = entry.path.field("resources");
        let names = entry.list(resources, &path)?;
        let mut all = Vec::with_capacity(names.len());
        for (i, item) in names.iter().enumerate() {
            let path = Path::Item(&path, i);
            let item = entry.item(item, &path);
            let name = item.text_of(Some(item.node), "")?;
            group::check(name).map_err(|said| item.error(said))?;
            all.push(name);
        }
        let of: Vec<_> = all.iter().map(|name| group::Name::of(name)).collect();
        group::check_list(&of)
            .map_err(|(i, said)| entry.item(&names[i], &Path::Item(&path, i)).error(said))?;
        let starts = names.iter().map(|name| name.at.start).collect();
        let resources = all.into_iter().map(str::to_owned).collect();
        let path = entry.path.field("providers");
        let items = entry.list(providers, &path)?.iter().enumerate();
        let providers = items.map(|(i, item)| self.provider(entry.item(item, &Path::Item(&path, i))));
        Ok(Entry { resources, starts, providers: providers.collect::<Result<_>>()? })
    }

    fn provider(&mut self, of: Found<'_, '_>) -> Result<Provider> {
        const KINDS: [&str; 5] = ["aescbc", "aesgcm", "identity", "kms", "secretbox"];
        let all = of.fields(KINDS)?;
        let mut there = KINDS.into_iter().zip(all).filter_map(|(kind, node)| Some((kind, node?)));
        let (Some((kind, node)), None) = (there.next(), there.next()) else {
            return Err(of.error("must be one of aescbc, aesgcm, identity, kms and secretbox"));
        };
        let path = of.path.field(kind);
        let of = of.item(node, &path);
        Ok(match kind {
            "aescbc" => Provider::AesCbc(keys(of, &[16, 24, 32])?),
            "aesgcm" => Provider::AesGcm(keys(of, &[16, 24, 32])?),
            "secretbox" => Provider::Secretbox(keys(of, &[32])?),
            "kms" => Provider::Kms(self.kms(of)?),
            _ => {
                let [] = of.fields([])?;
                Provider::Identity
            }
        })
    }

    fn kms(&mut self, of: Found<'_, '_>) -> Result<KmsProvider> {
        let fields = of.fields(["apiVersion", "name", "cachesize", "endpoint", "timeout"])?;
        let [api, name, cache, endpoint, timeout] = fields;
        let said = |node: Option<&Node>, field: &str, said: &str| of.error_in(node, field, said);
        let version = match of.text_of(api, "apiVersion")? {
            "" | "v1" => KmsVersion::V1,
            "v2" => KmsVersion::V2,
            _ => return Err(said(api, "apiVersion", "must be v2, or v1")),
        };
        let is_v1 = version == KmsVersion::V1;
        if is_v1 && !self.gate.kms_v1 {
            let why = "must be v2: without it this is KMS v1, which the server refuses unless its gate is on \
                       (--feature-gates=KMSv1=true)";
            return Err(said(api, "apiVersion", why));
        }
        let text = of.text_of(name, "name")?;
        if text.is_empty() {
            return Err(said(name, "name", "is missing"));
        }
        if !is_v1 && text.contains(':') {
            return Err(said(name, "name", "must not have a ':'"));
        }
        let is_new = self.kms.insert(text.to_owned());
        if !is_new && (!is_v1 || self.gate.reload) {
            return Err(said(name, "name", "is that of another kms provider"));
        }
        let url = of.text_of(endpoint, "endpoint")?;
        if url.is_empty() {
            return Err(said(endpoint, "endpoint", "is missing"));
        }
        endpoint::socket(url).map_err(|why| said(endpoint, "endpoint", why))?;
        let timeout = match timeout {
            None => USUAL_TIMEOUT,
            Some(node) => {
                let text = of.text_of(Some(node), "timeout")?;
                duration::parse(text).map_err(|why| said(Some(node), "timeout", why))?
            }
        };
        let cache_size = match cache.map(|node| &node.value) {
            None if is_v1 => USUAL_CACHE,
            None => 0,
            Some(Value::Number(Some(n))) if is_v1 && *n != 0 && i32::try_from(*n).is_ok() => *n as i32,
            Some(Value::Number(Some(_))) if !is_v1 => return Err(said(cache, "cachesize", "is for v1 only")),
            Some(_) => {
                let why = "must be a number of 32 bits: how many, or negative for no cache";
                return Err(said(cache, "cachesize", why));
            }
        };
        Ok(KmsProvider { version, name: text.into(), endpoint: url.into(), timeout, cache_size })
    }
}

fn keys(of: Found<'_, '_>, sizes: &[usize]) -> Result<Vec<Key>> {
    let [keys] = of.fields(["keys"])?;
    let path = of.path.field("keys");
    let items = of.list(keys, &path)?.iter().enumerate();
    items.map(|(i, item)| key(of.item(item, &Path::Item(&path, i)), sizes)).collect()
}

fn key(of: Found<'_, '_>, sizes: &[usize]) -> Result<Key> {
    let [name, secret] = of.fields(["name", "secret"])?;
    let text = of.text_of(name, "name")?;
    if text.is_empty() {
        return Err(of.error_in(name, "name", "is missing"));
    }
    let encoded = of.text_of(secret, "secret")?;
    if encoded.is_empty() {
        return Err(of.error_in(secret, "secret", "is missing"));
    }
    let wrong = |said: &dyn Display| of.error_in(secret, "secret", said);
    let bytes = base64::decode(encoded).ok_or_else(|| wrong(&"is no base64"))?;
    if !sizes.contains(&bytes.len()) {
        let sizes: Vec<_> = sizes.iter().map(usize::to_string).collect();
        let said = format!("is a key of {} bytes, not of {}", bytes.len(), sizes.join(", "));
        return Err(wrong(&said));
    }
    Key::new(text, &bytes)
}

impl<'a> Found<'a, '_> {
    fn item<'p>(self, node: &'a Node, path: &'p Path<'p>) -> Found<'a, 'p> {
        Found { text: self.text, node, path }
    }

    /// Each at most once, and no others.
    fn fields<const N: usize>(self, names: [&'static str; N]) -> Result<[Option<&'a Node>; N]> {
        let mut found = [None; N];
        let pairs = match &self.node.value {
            Value::Map(pairs) => &pairs[..],
            Value::Null => &[],
            _ => return Err(self.error("must be a map")),
        };
        let mut seen = [false; N];
        for (key, value) in pairs {
            let at = names.iter().position(|name| key.text() == Some(name));
            let error = |said: String| place::error(self.text, key.at.start, self.path, said);
            let i = at.ok_or_else(|| error(unknown(&names)))?;
            if std::mem::replace(&mut seen[i], true) {
                return Err(error(format!("has {} twice", names[i])));
            }
            found[i] = Some(&**value).filter(|node| !matches!(node.value, Value::Null));
        }
        Ok(found)
    }

    /// At least one.
    fn list(self, node: Option<&'a Node>, path: &Path<'_>) -> Result<&'a [std::rc::Rc<Node>]> {
        let at = node.unwrap_or(self.node).at.start;
        match node.map(|node| &node.value) {
            Some(Value::List(_, items)) if !items.is_empty() => Ok(items),
            None | Some(Value::List(..)) => Err(place::error(self.text, at, path, "at least one is needed")),
            Some(_) => Err(place::error(self.text, at, path, "must be a list")),
        }
    }

    /// Empty for what is absent. The field's name is empty where `node` is an item.
    fn text_of(self, node: Option<&'a Node>, field: &str) -> Result<&'a str> {
        match node.map(|node| &node.value) {
            None | Some(Value::Null) => Ok(""),
            Some(Value::Text(text)) => Ok(text),
            Some(_) => Err(self.error_in(node, field, "must be a text: quote it")),
        }
    }

    fn error(self, said: impl Display) -> Error {
        place::error(self.text, self.node.at.start, self.path, said)
    }

    fn error_in(self, node: Option<&Node>, field: &str, said: impl Display) -> Error {
        let at = node.unwrap_or(self.node).at.start;
        let path = if field.is_empty() { *self.path } else { self.path.field(field) };
        place::error(self.text, at, &path, said)
    }
}

fn unknown(names: &[&str]) -> String {
    match names {
        [] => "a field, where none may be".into(),
        names => format!("an unknown field; there is {}", names.join(", ")),
    }
}
