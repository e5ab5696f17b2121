//! Which keys open, and what was learnt of the one that wraps.
use super::arn::{KeyArn, Name, Place, is_account, is_region, partition_of};
use crate::{
    Error, ErrorKind, KeyId, Result,
    arch::since_boot,
    rt::sync::{Mutex, lock},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Keys of an alias that are remembered: it moves once in months.
const MOST_LEARNT: usize = 64;
/// What is known of the key's material is good for this long where a reply tells nothing.
const GOOD_FOR: Duration = Duration::from_secs(30);

/// The allow-list of one KEK. A clone learns what the others learn.
#[derive(Clone)]
pub(super) struct Allowed {
    pub(super) name: Name,
    /// Where the key that wraps is.
    pub(super) region: String,
    rules: Rules,
    learnt: Arc<Mutex<Learnt>>,
}

/// What else opens, as it was configured.
#[derive(Clone, Default)]
struct Rules {
    keys: Vec<String>,
    accounts: Vec<String>,
    regions: Vec<String>,
}

#[derive(Default)]
struct Learnt {
    /// What the name stood for, the latest last.
    keys: VecDeque<String>,
    material: Option<String>,
    /// When the KMS was asked last, or said of itself, which key and material wrap: since boot.
    at: Option<Duration>,
}

impl Allowed {
    /// `region`: where the key is if its name does not say it.
    ///
    /// # Errors
    /// Misuse if nothing says it.
    pub(super) fn new(name: Name, region: Option<&str>) -> Result<Self> {
        let said = "aws-kms: no region: say region= or set AWS_REGION, or name the key by its ARN";
        let region = name.region().or(region).ok_or_else(|| Error::misuse(said))?;
        let region = checked_region(region)?;
        Ok(Self { name, region, rules: Rules::default(), learnt: Arc::default() })
    }

    /// Misuse for whatever is no key's ARN.
    pub(super) fn accept(&mut self, arn: &str) -> Result<()> {
        let said =
            "aws-kms: accept: the ARNs of keys, as in arn:aws:kms:REGION:ACCOUNT:key/ID; an alias moves";
        KeyArn::parse(arn).ok_or_else(|| Error::misuse(said))?;
        self.rules.keys.push(arn.into());
        Ok(())
    }

    /// Misuse for whatever is no account.
    pub(super) fn accept_account(&mut self, account: &str) -> Result<()> {
        if !is_account(account) {
            return Err(Error::misuse("aws-kms: accept-account: accounts, of 12 digits each"));
        }
        self.rules.accounts.push(account.into());
        Ok(())
    }

    /// Misuse for whatever is no region.
    pub(super) fn in_region(&mut self, region: &str) -> Result<()> {
        self.rules.regions.push(checked_region(region)?);
        Ok(())
    }

    /// The key that `id` names, if it may be asked to unwrap.
    pub(super) fn allowed<'a>(&self, id: &'a KeyId) -> Option<KeyArn<'a>> {
        let arn = split(id.as_str())?;
        let is_it = |key: &String| key == arn.text;
        let is_own = matches!(&self.name, Name::Key(own) if is_it(own));
        let is_named = is_own || self.rules.keys.iter().any(is_it) || self.is_of_an_account(&arn);
        let is_allowed =
            is_named || lock(&self.learnt).keys.iter().any(is_it) || self.is_a_replica_of_one(&arn);
        is_allowed.then_some(arn)
    }

    /// The region of an allowed key, by its place among those that were configured; its own is
    /// the first. What was learnt is there.
    pub(super) fn place(&self, id: &KeyId) -> usize {
        let of_keys = self.keys().filter_map(KeyArn::parse).map(|arn| arn.place.region);
        let mut regions = std::iter::once(&*self.region).chain(self.regions()).chain(of_keys);
        let region = split(id.as_str()).map(|arn| arn.place.region);
        region.and_then(|region| regions.position(|one| one == region)).unwrap_or_default()
    }

    fn is_of_an_account(&self, arn: &KeyArn<'_>) -> bool {
        let Place { partition, region, account } = arn.place;
        let is_here = region == self.region || self.rules.regions.iter().any(|r| r == region);
        is_here && partition == partition_of(region) && self.rules.accounts.iter().any(|a| a == account)
    }

    fn is_a_replica_of_one(&self, arn: &KeyArn<'_>) -> bool {
        let is_one = |key: &String| arn.is_replica_of(key);
        let is_own = || matches!(&self.name, Name::Key(own) if is_one(own));
        self.rules.regions.iter().any(|r| r == arn.place.region)
            && (is_own() || self.rules.keys.iter().any(is_one) || lock(&self.learnt).keys.iter().any(is_one))
    }

    /// The keys that were named besides its own.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.rules.keys.iter().map(|key| &**key)
    }

    /// The accounts of which every key opens.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &str> {
        self.rules.accounts.iter().map(|account| &**account)
    }

    /// The regions that were listed.
    pub(super) fn regions(&self) -> impl Iterator<Item = &str> {
        self.rules.regions.iter().map(|region| &**region)
    }

    /// What GenerateDataKey or DescribeKey says of the key that wraps; the id to store for it.
    ///
    /// # Errors
    /// BadReply if that is not the key that was asked for.
    pub(super) fn told(&self, arn: Option<&str>, material: Option<&str>) -> Result<KeyId> {
        if !material.is_none_or(is_material) {
            return Err(Error::new(ErrorKind::BadReply, "aws-kms: a reply whose KeyMaterialId is none"));
        }
        let arn = self.checked(arn)?;
        let mut learnt = lock(&self.learnt);
        learnt.is_now(&arn);
        if let Some(material) = material {
            learnt.material = Some(material.into());
        }
        learnt.at = Some(since_boot());
        learnt.id(&arn)
    }

    /// The same of Encrypt, which does not tell the material: it is the one that was told
    /// last for that key. That is never newer than what was used, so that at worst a fresh
    /// wrap is taken for stale.
    ///
    /// # Errors
    /// As [`told`](Self::told).
    pub(super) fn wrapped(&self, arn: Option<&str>) -> Result<KeyId> {
        let arn = self.checked(arn)?;
        let mut learnt = lock(&self.learnt);
        learnt.is_now(&arn);
        learnt.id(&arn)
    }

    /// Whether the KMS is to be asked which material wraps.
    pub(super) fn is_to_ask(&self) -> bool {
        lock(&self.learnt).at.is_none_or(|at| since_boot().saturating_sub(at) >= GOOD_FOR)
    }

    /// It is: not again for a while, if that is in vain.
    pub(super) fn is_asked(&self) {
        lock(&self.learnt).at = Some(since_boot());
    }

    fn checked<'a>(&self, arn: Option<&'a str>) -> Result<KeyArn<'a>> {
        let bad = |said| Error::new(ErrorKind::BadReply, said);
        let arn = arn.and_then(KeyArn::parse);
        let arn = arn.ok_or_else(|| bad("aws-kms: a reply without the ARN of its key"))?;
        if !self.name.may_be(&arn, &self.region) {
            return Err(bad("aws-kms: the reply names another key than was asked for"));
        }
        Ok(arn)
    }
}

impl Learnt {
    fn is_now(&mut self, arn: &KeyArn<'_>) {
        if self.keys.back().is_none_or(|last| last != arn.text) {
            // What was told is of the key before it, if there was one.
            self.at = self.at.filter(|_| self.keys.is_empty());
            self.material = None;
            self.keys.retain(|key| key != arn.text);
            self.keys.push_back(arn.text.into());
            if self.keys.len() > MOST_LEARNT {
                self.keys.pop_front();
            }
        }
    }

    fn id(&self, arn: &KeyArn<'_>) -> Result<KeyId> {
        KeyId::new(match &self.material {
            Some(material) => format!("{}#{material}", arn.text),
            None => arn.text.into(),
        })
    }
}

/// Misuse for whatever is no region.
pub(super) fn checked_region(region: &str) -> Result<String> {
    let said = "aws-kms: a region has a-z 0-9 and - alone, as in eu-central-1";
    if is_region(region) { Ok(region.into()) } else { Err(Error::misuse(said)) }
}

/// The ARN of a stored id, without its material.
pub(super) fn arn(id: &KeyId) -> Option<&str> {
    split(id.as_str()).map(|arn| arn.text)
}

/// The key of a stored id: its ARN, with its material behind it if that was told.
fn split(id: &str) -> Option<KeyArn<'_>> {
    match id.split_once('#') {
        Some((arn, material)) if is_material(material) => KeyArn::parse(arn),
        Some(_) => None,
        None => KeyArn::parse(id),
    }
}

fn is_material(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const MULTI: &str = "arn:aws:kms:eu-central-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";

    fn list(name: &str) -> Allowed {
        Allowed::new(Name::parse(name).unwrap(), Some("eu-central-1")).unwrap()
    }

    fn takes(list: &Allowed, id: &str) -> bool {
        list.allowed(&KeyId::new(id).unwrap()).is_some()
    }

    fn in_region(arn: &str, region: &str) -> String {
        arn.replace("eu-central-1", region)
    }

    #[test]
    fn f11_only_what_was_named_is_allowed() {
        let list = list(ARN);
        let material = "ab".repeat(32);
        assert!(takes(&list, ARN) && takes(&list, &format!("{ARN}#{material}")));
        for bad in [
            format!("{ARN}#"),
            format!("{ARN}#{}", &material[1..]),
            format!("{ARN}#{material}0"),
            format!("{ARN}#{material}#{material}"),
            format!("{ARN}#{}", "A".repeat(64)),
            in_region(ARN, "us-east-1"),
            ARN.replace("111122223333", "111122223334"),
            ARN.replace("key/1234", "key/1235"),
            ARN.replace("arn:aws:", "arn:aws-cn:"),
            ARN.replace("key/1234abcd-12ab-34cd-56ef-1234567890ab", "alias/orders"),
        ] {
            assert!(!takes(&list, &bad), "{bad}");
        }
    }

    #[test]
    fn an_alias_opens_what_it_stood_for() {
        let list = list("alias/orders");
        assert!(!takes(&list, ARN) && !takes(&list, "alias/orders"));
        let two = ARN.replace("key/1234", "key/5678");
        assert_eq!(list.told(Some(ARN), None).unwrap().as_str(), ARN);
        assert_eq!(list.clone().told(Some(&two), None).unwrap().as_str(), two);
        assert!(takes(&list, ARN) && takes(&list, &two));
        assert!(list.told(Some(&in_region(ARN, "us-east-1")), None).is_err());
        (0..200).for_each(|i| drop(list.told(Some(&format!("{ARN}{i}")), None).unwrap()));
        assert!(!takes(&list, ARN), "what is learnt is bounded");
    }

    #[test]
    fn an_account_opens_in_its_regions_alone() {
        let mut list = list("alias/orders");
        list.accept_account("111122223333").unwrap();
        list.in_region("us-east-1").unwrap();
        assert!(takes(&list, ARN) && takes(&list, &in_region(ARN, "us-east-1")));
        assert!(!takes(&list, &in_region(ARN, "us-east-2")));
        assert!(!takes(&list, &ARN.replace("111122223333", "444455556666")));
        assert!(!takes(&list, &ARN.replace("arn:aws:", "arn:aws-cn:")));
        for bad in ["", "11112222333", "*", "1111-2222-3333"] {
            assert!(list.accept_account(bad).is_err(), "{bad}");
        }
        assert!(list.in_region("evil.example/").is_err());
        assert!(list.accept("alias/orders").is_err() && list.accept(&format!("{ARN}#x")).is_err());
    }

    #[test]
    fn the_place_of_a_key_is_its_region_among_those_configured() {
        let mut list = list("alias/orders");
        list.in_region("us-east-1").unwrap();
        list.in_region("us-east-2").unwrap();
        list.accept(&in_region(ARN, "us-east-1")).unwrap();
        list.accept(&in_region(ARN, "sa-east-1")).unwrap();
        let regions = ["eu-central-1", "us-east-1", "us-east-2", "sa-east-1", "ca-west-1"];
        let place = |region| list.place(&KeyId::new(in_region(MULTI, region)).unwrap());
        assert_eq!(regions.map(|region| place(region).min(3)), [0, 1, 2, 3, 0]);
        assert!(place("sa-east-1") < 5, "no more than was configured");
        assert_eq!(list.place(&KeyId::new("what it is not").unwrap()), 0);
    }

    #[test]
    fn replicas_open_in_the_regions_listed() {
        let mut list = list(MULTI);
        assert!(!takes(&list, &in_region(MULTI, "us-east-1")));
        list.in_region("us-east-1").unwrap();
        assert!(takes(&list, MULTI) && takes(&list, &in_region(MULTI, "us-east-1")));
        assert!(!takes(&list, &in_region(MULTI, "us-east-2")));
        assert!(!takes(&list, &in_region(MULTI, "us-east-1").replace("mrk-1", "mrk-2")));
        list.accept(ARN).unwrap();
        assert!(takes(&list, ARN));
        assert!(!takes(&list, &in_region(ARN, "us-east-1")), "one that is no multi-Region key");
    }

    #[test]
    fn the_material_is_asked_for_when_it_is_not_known_and_not_again_at_once() {
        let (list, two) = (list("alias/orders"), ARN.replace("key/1234", "key/5678"));
        assert!(list.is_to_ask());
        list.told(Some(ARN), Some(&"a".repeat(64))).unwrap();
        assert!(!list.is_to_ask());
        assert_eq!(list.wrapped(Some(&two)).unwrap().as_str(), two, "another key's material is not its");
        assert!(list.is_to_ask());
        list.is_asked();
        assert!(!list.is_to_ask());
    }

    #[test]
    fn material_is_stored_where_it_is_told_and_kept_where_it_is_not() {
        let list = list(ARN);
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(list.told(Some(ARN), None).unwrap().as_str(), ARN);
        assert_eq!(list.told(Some(ARN), Some(&a)).unwrap().as_str(), format!("{ARN}#{a}"));
        assert_eq!(list.told(Some(ARN), None).unwrap().as_str(), format!("{ARN}#{a}"));
        assert_eq!(list.told(Some(ARN), Some(&b)).unwrap().as_str(), format!("{ARN}#{b}"));
        assert_eq!(list.wrapped(Some(ARN)).unwrap().as_str(), format!("{ARN}#{b}"));
        assert!(!list.is_to_ask());
        for bad in ["", "x", &a[1..], &"A".repeat(64)] {
            assert_eq!(list.told(Some(ARN), Some(bad)).unwrap_err().kind(), ErrorKind::BadReply);
        }
        for bad in [None, Some(""), Some("alias/orders"), Some(MULTI)] {
            assert_eq!(list.told(bad, None).unwrap_err().kind(), ErrorKind::BadReply);
        }
    }
}
