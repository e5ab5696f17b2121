//! From a file's text to what it says.
use super::{
    amount::{BYTES, TIME, amount},
    node::{Fields, Node},
    place::{Place, Source},
};
use crate::{DekPolicy, EncryptionContext, OutagePolicy, Result, WrapPolicy, kek::KeyUri};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// A purpose as it stands in a file: right in itself, its KEKs not opened.
#[derive(Debug)]
pub(super) struct Purpose {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) keks: Vec<Kek>,
    pub(super) opens_with: Vec<Kek>,
    pub(super) context: EncryptionContext,
    pub(super) policy: DekPolicy,
    pub(super) wrap: WrapPolicy,
    pub(super) outage: OutagePolicy,
}

#[derive(Debug)]
pub(super) struct Kek {
    pub(super) uri: String,
    pub(super) place: Place,
}

const MOST_KEKS: usize = 16;

/// Sorted by name.
pub(super) fn parse(source: Source<'_>) -> Result<Vec<Purpose>> {
    let table = source.parse()?;
    let mut root = Fields::root(source, table.get_ref());
    let all = root.take("purpose");
    root.no_others("purpose")?;
    let all = root.need("purpose", all)?;
    let (mut fields, mut purposes, mut contexts) = (all.table()?, Vec::new(), Vec::new());
    let mut seen = HashMap::new();
    while let Some((name, node)) = fields.next() {
        let (purpose, context) = purpose(name, &node)?;
        // Whoever copied a section would give one purpose the data of the other.
        if let Some(other) = seen.insert(purpose.context.clone(), name) {
            return Err(context
                .error(format!("is that of purpose.{other} already: what one seals the other may open")));
        }
        purposes.push(purpose);
        contexts.push(context);
    }
    if purposes.is_empty() {
        return Err(all.error("holds no purpose: [purpose.NAME]"));
    }
    match nested(&purposes) {
        Some((outer, inner)) => {
            let outer = &purposes[outer].name;
            let said = format!("holds every pair of purpose.{outer}'s, which so may open what it seals");
            Err(contexts[inner].error(said))
        }
        None => Ok(purposes),
    }
}

/// Two purposes, of which the second has all pairs of the first and more: to name those, or
/// to take a stored context, would have the first open what the second sealed.
fn nested(purposes: &[Purpose]) -> Option<(usize, usize)> {
    let mut count = HashMap::new();
    purposes.iter().flat_map(|p| p.context.iter()).for_each(|pair| *count.entry(pair).or_insert(0) += 1);
    // Each under its rarest pair: nobody is held against all others.
    let mut by_rarest = HashMap::<_, Vec<_>>::new();
    for (i, purpose) in purposes.iter().enumerate() {
        by_rarest.entry(purpose.context.iter().min_by_key(|pair| count[pair])).or_default().push(i);
    }
    purposes.iter().enumerate().find_map(|(inner, purpose)| {
        let pairs: HashSet<_> = purpose.context.iter().collect();
        let rarest = pairs.iter().copied().map(Some).chain([None]);
        let mut others = rarest.filter_map(|pair| by_rarest.get(&pair)).flatten().copied();
        let is_held =
            |i: &usize| *i != inner && purposes[*i].context.iter().all(|pair| pairs.contains(&pair));
        others.find(is_held).map(|outer| (outer, inner))
    })
}

fn purpose<'a>(name: &str, node: &Node<'a>) -> Result<(Purpose, Node<'a>)> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !(1..=64).contains(&name.len()) || !name.chars().all(is_fine) {
        return Err(node.error("a purpose's name has 1 to 64 of A-Z a-z 0-9 _ -"));
    }
    let mut fields = node.table()?;
    let (wrapping, opening) = (fields.take("keks"), fields.take("opens_with"));
    let (context, dek, least) = (fields.take("context"), fields.take("dek"), fields.take("must_wrap"));
    let outage = fields.take("outage");
    fields.no_others("keks, must_wrap, opens_with, context, dek, outage")?;
    let (wrapping, context) = (fields.need("keks", wrapping)?, fields.need("context", context)?);

    let mut seen = HashSet::new();
    let keks = keks(&wrapping, &mut seen)?;
    if keks.is_empty() {
        return Err(wrapping.error("must name a KEK, as in \"local:/etc/kms/keys.json#orders\""));
    }
    if keks.len() > MOST_KEKS {
        return Err(wrapping.error("an envelope has at most 16 recipients"));
    }
    let wrap = least.map_or(Ok(WrapPolicy::all()), |node| must_wrap(&node, keks.len()))?;
    let purpose = Purpose {
        name: name.into(),
        place: node.place.clone(),
        keks,
        opens_with: opening.map_or(Ok(Vec::new()), |node| self::keks(&node, &mut seen))?,
        policy: dek.map_or(Ok(DekPolicy::default()), |node| policy(&node))?,
        context: self::context(&context)?,
        wrap,
        outage: outage.map_or(Ok(OutagePolicy::default()), |node| self::outage(&node))?,
    };
    Ok((purpose, context))
}

/// Those of an array, if each is a key URI that does not stand among the `seen` ones.
fn keks<'a>(node: &Node<'a>, seen: &mut HashSet<&'a str>) -> Result<Vec<Kek>> {
    let mut keks = Vec::new();
    for node in node.array()? {
        let uri = node.text()?;
        uri.parse::<KeyUri>().map_err(|e| node.error(e))?;
        if !seen.insert(uri) {
            return Err(node.error("names a KEK that this purpose has already"));
        }
        keks.push(Kek { uri: uri.into(), place: node.place });
    }
    Ok(keks)
}

fn context(node: &Node<'_>) -> Result<EncryptionContext> {
    let (mut fields, mut pairs) = (node.table()?, Vec::new());
    while let Some((key, value)) = fields.next() {
        let pair = (key, value.text()?);
        EncryptionContext::new([pair]).map_err(|e| value.error(e))?;
        pairs.push(pair);
    }
    EncryptionContext::new(pairs).map_err(|e| node.error(e))
}

/// `of`: how many KEKs wrap.
fn must_wrap(node: &Node<'_>, of: usize) -> Result<WrapPolicy> {
    let least = usize::try_from(node.integer()?).unwrap_or(usize::MAX);
    let policy = WrapPolicy::at_least(least);
    policy.check(of).map_err(|e| node.error(e))?;
    Ok(policy)
}

fn outage(node: &Node<'_>) -> Result<OutagePolicy> {
    let mut fields = node.table()?;
    let mut policy = OutagePolicy::default();
    if let Some(node) = fields.take("deadline") {
        policy = policy.deadline(time(&node, 1)?);
    }
    if let Some(node) = fields.take("seal_for") {
        policy = policy.seal_for(time(&node, 0)?);
    }
    if let Some(node) = fields.take("calls_per_second") {
        let calls = u32::try_from(node.integer()?).ok().filter(|n| *n > 0);
        policy =
            policy.calls_per_second(calls.ok_or_else(|| node.error("must be a number from 1 to 2^32 - 1"))?);
    }
    fields.no_others("deadline, seal_for, calls_per_second")?;
    Ok(policy)
}

/// At least so many seconds.
fn time(node: &Node<'_>, least: u64) -> Result<Duration> {
    let seconds = node.text().ok().and_then(|text| amount(text, TIME)).filter(|n| *n >= least);
    let said =
        || node.error(format!("must be at least \"{least}s\", with a unit: s, m, h or d, as in \"10m\""));
    seconds.map(Duration::from_secs).ok_or_else(said)
}

fn policy(node: &Node<'_>) -> Result<DekPolicy> {
    let mut fields = node.table()?;
    let mut policy = DekPolicy::default();
    if let Some(node) = fields.take("messages") {
        policy = policy.for_messages(node.integer()?);
        policy.check().map_err(|e| node.error(e))?;
    }
    if let Some(node) = fields.take("bytes") {
        let bytes = node.text().map_or_else(|_| node.integer().ok(), |text| amount(text, BYTES));
        let said = "must be at least 1, in bytes or with a unit: B, KiB, MiB, GiB or TiB, as in \"64 GiB\"";
        policy = policy.for_bytes(bytes.filter(|n| *n > 0).ok_or_else(|| node.error(said))?);
    }
    if let Some(node) = fields.take("time") {
        policy = policy.for_time(time(&node, 1)?);
    }
    fields.no_others("messages, bytes, time")?;
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_says_what_the_file_says() {
        let policy = |dek: &str| {
            let text = format!("[purpose.a]\nkeks = ['x:y']\ncontext = {{}}\n{dek}");
            parse(Source { name: "x", text: &text }).unwrap().remove(0).policy
        };
        let default = DekPolicy::default;
        assert_eq!(policy(""), default());
        assert_eq!(policy("dek = {}"), default());
        assert_eq!(policy("dek.messages = 4_294_967_296"), default().for_messages(1 << 32));
        assert_eq!(policy("dek.bytes = '4 TiB'"), default().for_bytes(4 << 40));
        assert_eq!(policy("dek.time = '2h'"), default().for_time(Duration::from_secs(7200)));
        let all = policy("[purpose.a.dek]\nmessages = 1\nbytes = 7\ntime = '1d'");
        assert_eq!(all, DekPolicy::per_message().for_bytes(7).for_time(Duration::from_secs(86400)));
    }
}
