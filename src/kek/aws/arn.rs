//! Names of keys.
use crate::{Error, Result};

/// A key's ARN, taken apart: `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`. Never an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyArn<'a> {
    pub(super) text: &'a str,
    pub(super) place: Place<'a>,
    pub(super) id: &'a str,
}

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) partition: &'a str,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
}

impl<'a> KeyArn<'a> {
    /// None for whatever else: these texts come out of headers.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (place, resource) = split(text)?;
        let id = resource.strip_prefix("key/").filter(|id| is_word(id, 128, is_of_an_id))?;
        Some(Self { text, place, id })
    }

    /// Whether both are one multi-Region key, in whichever regions.
    pub(super) fn is_replica_of(&self, other: &str) -> bool {
        let anywhere = |arn: &KeyArn<'_>| (arn.place.partition, arn.place.account, arn.id) == self.whose();
        self.id.starts_with("mrk-") && KeyArn::parse(other).is_some_and(|other| anywhere(&other))
    }

    fn whose(&self) -> (&str, &str, &str) {
        (self.place.partition, self.place.account, self.id)
    }
}

/// The place, and the last field.
fn split(text: &str) -> Option<(Place<'_>, &str)> {
    let mut fields = text.splitn(6, ':');
    let mut field = || fields.next();
    let (arn, partition, kms, region, account, resource) =
        (field()?, field()?, field()?, field()?, field()?, field()?);
    let is_right = arn == "arn"
        && kms == "kms"
        && partition.starts_with("aws")
        && is_word(partition, 32, is_of_a_region)
        && is_region(region)
        && is_account(account);
    is_right.then_some((Place { partition, region, account }, resource))
}

/// A region becomes part of a host name.
pub(super) fn is_region(text: &str) -> bool {
    is_word(text, 32, is_of_a_region) && !text.starts_with('-') && !text.ends_with('-')
}

pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The partition that AWS has this region in.
pub(super) fn partition_of(region: &str) -> &'static str {
    const PREFIXES: &[(&str, &str)] = &[
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    PREFIXES.iter().find(|p| region.starts_with(p.0)).map_or("aws", |p| p.1)
}

/// The key that wraps, as it was configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Its ARN.
    Key(String),
    /// Its name, or the ARN of that.
    Alias(String),
    Id(String),
}

impl Name {
    /// # Errors
    /// Misuse.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let name = match split(text) {
            Some((_, resource)) if is_alias(resource) => Some(Self::Alias(text.into())),
            Some(_) => KeyArn::parse(text).map(|_| Self::Key(text.into())),
            None if is_alias(text) => Some(Self::Alias(text.into())),
            None if is_word(text, 128, is_of_an_id) => Some(Self::Id(text.into())),
            None => None,
        };
        name.ok_or_else(|| {
            Error::misuse("aws-kms: a key is named by its ARN, its id, or alias/NAME or the alias's ARN")
        })
    }

    /// As it is asked for.
    pub(super) fn as_str(&self) -> &str {
        let (Self::Key(text) | Self::Alias(text) | Self::Id(text)) = self;
        text
    }

    /// Where it is, if its name says so.
    pub(super) fn place(&self) -> Option<Place<'_>> {
        split(self.as_str()).map(|(place, _)| place)
    }

    pub(super) fn region(&self) -> Option<&str> {
        self.place().map(|place| place.region)
    }

    /// Whether a reply may name `arn` where this was asked for, of a KMS in `region`.
    pub(super) fn may_be(&self, arn: &KeyArn<'_>, region: &str) -> bool {
        match self {
            Self::Key(own) => own == arn.text,
            Self::Alias(own) => {
                split(own).map_or(arn.place.region == region, |(place, _)| place == arn.place)
            }
            Self::Id(id) => arn.id == id && arn.place.region == region,
        }
    }
}

fn is_alias(text: &str) -> bool {
    text.strip_prefix("alias/").is_some_and(|name| is_word(name, 250, is_of_an_alias))
}

fn is_word(text: &str, most: usize, allowed: fn(u8) -> bool) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_of_a_region(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
}

fn is_of_an_id(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'-'
}

fn is_of_an_alias(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"/_-".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn f65_only_a_whole_key_arn_is_one() {
        assert_eq!(KeyArn::parse(ARN).unwrap().text, ARN);
        let alter = [
            ("eu-central-1", "evil.example/"),
            ("eu-central-1", "evil.example"),
            ("eu-central-1", "EU-CENTRAL-1"),
            ("eu-central-1", "eu-central-1.evil"),
            ("eu-central-1", "eu_central"),
            ("eu-central-1", "-eu"),
            ("eu-central-1", "eu-"),
            ("eu-central-1", ""),
            ("eu-central-1", "eu central"),
            ("eu-central-1", "e\u{301}u"),
            ("eu-central-1", "a@b"),
            ("eu-central-1", "a%2e"),
            ("eu-central-1", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            ("arn:", "ARN:"),
            ("arn:", " arn:"),
            (":kms:", ":s3:"),
            (":aws:", ":evil:"),
            (":aws:", "::"),
            ("111122223333", "11112222333"),
            ("111122223333", "1111222233334"),
            ("111122223333", "11112222333x"),
            ("111122223333", ""),
            ("key/", "alias/"),
            ("key/", "key"),
            ("key/", "key/../key/"),
            ("key/", "key/ "),
            ("ab", "ab\u{2060}"),
            ("90ab", "90ab "),
            ("90ab", "90ab:x"),
            ("90ab", "90ab/x"),
            ("90ab", "90ab?x=1"),
            ("90ab", "90ab#x"),
        ];
        for (from, to) in alter {
            let bad = ARN.replace(from, to);
            assert_ne!(bad, ARN);
            assert_eq!(KeyArn::parse(&bad), None, "{bad}");
        }
        let none = ARN.split("key/").next().unwrap();
        assert_eq!(KeyArn::parse(&format!("{none}key/")), None);
        assert_eq!(KeyArn::parse(&format!("{none}key/{}", "a".repeat(129))), None);
    }

    #[test]
    fn names_are_told_apart() {
        let alias = "arn:aws-cn:kms:cn-north-1:111122223333:alias/a/b_c-1";
        assert!(matches!(Name::parse(ARN).unwrap(), Name::Key(_)));
        assert!(matches!(Name::parse(alias).unwrap(), Name::Alias(_)));
        assert!(matches!(Name::parse("alias/orders").unwrap(), Name::Alias(_)));
        assert!(matches!(Name::parse("mrk-1234abcd12ab34cd56ef1234567890ab").unwrap(), Name::Id(_)));
        for good in [ARN, alias, "alias/orders", "1234abcd"] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
        let long = format!("alias/{}", "a".repeat(250));
        assert!(Name::parse(&long).is_ok() && Name::parse(&format!("{long}a")).is_err());
        for bad in ["", "alias/", "alias", "key/1", "a b", "alias/a b", "arn:aws:kms:x", "a#b", "alias/é"] {
            assert!(Name::parse(bad).is_err() == (bad != "alias"), "{bad}");
        }
    }

    #[test]
    fn a_reply_names_the_key_that_was_asked_for() {
        let name = |n: &str| Name::parse(n).unwrap();
        let (other, far) = (ARN.replace("key/1", "key/2"), ARN.replace("eu-central-1", "us-east-1"));
        let [arn, other, far] = [ARN, &other, &far].map(|text| KeyArn::parse(text).unwrap());
        let alias = ARN.replace("key/1234abcd-12ab-34cd-56ef-1234567890ab", "alias/x");
        for (asked, right, wrong) in [
            (ARN, vec![&arn], vec![&other, &far]),
            (arn.id, vec![&arn], vec![&other, &far]),
            ("alias/x", vec![&arn, &other], vec![&far]),
            (&alias, vec![&arn, &other], vec![&far]),
        ] {
            assert!(right.iter().all(|a| name(asked).may_be(a, "eu-central-1")), "{asked}");
            assert!(!wrong.iter().any(|a| name(asked).may_be(a, "eu-central-1")), "{asked}");
        }
    }
}
