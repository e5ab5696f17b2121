//! Which calls are made with which keys.
use super::AwsUse;
use crate::kek::{
    Role,
    aws::{
        allowed::Allowed,
        arn::{KeyArn, Name, Place, partition_of},
    },
};

const GENERATE: &str = "kms:GenerateDataKey";
const ENCRYPT: &str = "kms:Encrypt";
const DECRYPT: &str = "kms:Decrypt";
const DESCRIBE: &str = "kms:DescribeKey";

/// Calls that are made with some keys.
pub(super) struct Permit {
    pub(super) keys: Keys,
    pub(super) calls: Vec<&'static str>,
    /// Whether they say the encryption context.
    pub(super) is_bound: bool,
}

/// Keys as a policy can name them. `*` stands for any account, and any id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    partition: String,
    region: String,
    account: String,
    id: String,
    pub(super) alias: Option<Alias>,
}

/// Which of them: no resource of a policy is a key's alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Alias {
    /// Those that are asked for by this alias.
    Asked(String),
    /// Those that have it, however they are asked for.
    Had(String),
}

/// `several`: KEKs wrap. One of them makes a DEK, not always the first, and the others wrap
/// it.
pub(super) fn permits(
    keks: &[(Allowed, Role)],
    uses: &[AwsUse],
    several: bool,
    account: Option<&str>,
) -> Vec<Permit> {
    let (mut all, has) = (Vec::new(), |wanted| uses.contains(&wanted));
    for (kek, role) in keks {
        let (wraps, own) = (*role == Role::Wraps, Keys::own(kek, account));
        let (seals, rewraps) = (wraps && has(AwsUse::Seal), wraps && has(AwsUse::Rewrap));
        let opens = has(AwsUse::Open) || has(AwsUse::Rewrap);
        if seals {
            add(&mut all, &own, GENERATE);
        }
        if rewraps || (seals && several) {
            add(&mut all, &own, ENCRYPT);
        }
        if opens {
            opening(kek, &own).iter().for_each(|keys| add(&mut all, keys, DECRYPT));
        }
        if seals || opens {
            add(&mut all, &own, DESCRIBE);
        }
    }
    all
}

fn add(all: &mut Vec<Permit>, keys: &Keys, call: &'static str) {
    let is_bound = call != DESCRIBE;
    match all.iter_mut().find(|p| p.is_bound == is_bound && p.keys == *keys) {
        Some(permit) if permit.calls.contains(&call) => {}
        Some(permit) => permit.calls.push(call),
        None => all.push(Permit { keys: keys.clone(), calls: vec![call], is_bound }),
    }
}

/// The allow-list: what [`Allowed::allowed`] takes, as far as that is known beforehand.
fn opening(kek: &Allowed, own: &Keys) -> Vec<Keys> {
    let named = kek.keys().filter_map(KeyArn::parse);
    let mut all: Vec<_> =
        [own.had()].into_iter().chain(named.map(|arn| Keys::of(arn.place, arn.id))).collect();
    let replicas: Vec<_> = kek.regions().flat_map(|r| all.iter().filter_map(|k| k.replicas(r))).collect();
    all.extend(replicas);
    let regions = || [kek.region.as_str()].into_iter().chain(kek.regions());
    let whole = |account| {
        regions().map(move |r| Keys::of(Place { partition: partition_of(r), region: r, account }, "*"))
    };
    let whole: Vec<_> = kek.accounts().flat_map(whole).collect();
    all.retain(|keys| !whole.iter().any(|whole| keys.is_in(whole)));
    all.into_iter().chain(whole).collect()
}

impl Keys {
    fn of(place: Place<'_>, id: &str) -> Self {
        let Place { partition, region, account } = place;
        let [partition, region, account, id] = [partition, region, account, id].map(Into::into);
        Self { partition, region, account, id, alias: None }
    }

    /// As a KEK asks for the key that wraps.
    fn own(kek: &Allowed, account: Option<&str>) -> Self {
        let region = kek.region.as_str();
        let said = || Place { partition: partition_of(region), region, account: account.unwrap_or("*") };
        let of = |id| Self::of(kek.name.place().unwrap_or_else(said), id);
        match &kek.name {
            Name::Key(arn) => of(arn.rsplit('/').next().unwrap_or_default()),
            Name::Id(id) => of(id),
            Name::Alias(text) => {
                let alias = text.rsplit(':').next().unwrap_or_default();
                Self { alias: Some(Alias::Asked(alias.into())), ..of("*") }
            }
        }
    }

    /// The same, asked for by their ARNs.
    fn had(&self) -> Self {
        let alias = self.alias.as_ref().map(|alias| Alias::Had(alias.name().into()));
        Self { alias, ..self.clone() }
    }

    /// Those that are multi-Region keys, in another region.
    fn replicas(&self, region: &str) -> Option<Self> {
        let is_there = partition_of(region) == self.partition && region != self.region;
        let id = if self.alias.is_some() { "mrk-*" } else { &self.id };
        let keys = Self { region: region.into(), id: id.into(), ..self.clone() };
        (is_there && id.starts_with("mrk-")).then_some(keys)
    }

    fn is_in(&self, whole: &Self) -> bool {
        let place = |k: &Self| [k.partition.clone(), k.region.clone(), k.account.clone()];
        place(self) == place(whole)
    }

    pub(super) fn arn(&self) -> String {
        self.in_place(&format!("key/{}", self.id))
    }

    /// What their key policies are told apart by: an alias by its own ARN.
    pub(super) fn title(&self) -> String {
        match &self.alias {
            Some(alias) => self.in_place(alias.name()),
            None => self.arn(),
        }
    }

    fn in_place(&self, resource: &str) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:kms:{region}:{account}:{resource}")
    }
}

impl Alias {
    pub(super) fn name(&self) -> &str {
        let (Self::Asked(name) | Self::Had(name)) = self;
        name
    }
}
