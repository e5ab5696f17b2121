//! Least power in AWS: what `kms policy aws` prints allows the calls that are made, each of its
//! actions and resources is needed for one of them, and nothing else is allowed. A simulator of
//! IAM judges, on requests as they went out.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/proxy.rs"]
mod proxy;

use common::context;
use libkms::{
    Aad, Dek, DekPolicy, Header, KeyId, Kms, Scope, Wait, WrapPolicy, WrappedDek,
    kek::{
        AwsKms, AwsPolicy,
        AwsUse::{self, Open, Rewrap, Seal},
        KeyUri, KmsBackend,
    },
};
use moto::{
    iam::{ACCOUNT, Call, Printed, hold},
    *,
};
use proxy::{Proxy, Request};
use serde_json::json;
use std::panic::catch_unwind;

const PAIRS: [(&str, &str); 1] = [("purpose", "orders")];

/// The KEKs of a purpose, as key URIs.
#[derive(Clone, Copy)]
struct Keks<'a> {
    wrap: &'a [&'a str],
    open: &'a [&'a str],
}

impl Keks<'_> {
    fn policy(&self, uses: &[AwsUse]) -> AwsPolicy {
        let uri = |uri: &&str| uri.parse::<KeyUri>().unwrap();
        let policy = AwsPolicy::new(&context(&PAIRS)).uses(uses).account(ACCOUNT).region(REGION);
        let policy = self.wrap.iter().map(uri).fold(policy, |policy, uri| policy.kek(&uri));
        self.open.iter().map(uri).fold(policy, |policy, uri| policy.opens_with(&uri))
    }

    /// A program that starts anew.
    fn scope(&self, proxy: &Proxy) -> Scope {
        let builder = Kms::builder().dek_policy(DekPolicy::per_message());
        let builder = match self.wrap.len() {
            0 => builder,
            _ => builder.wrap_policy(WrapPolicy::at_least(1)),
        };
        let builder = self.wrap.iter().fold(builder, |builder, uri| builder.kek(kek(proxy, uri)));
        let builder = self.open.iter().fold(builder, |builder, uri| builder.opens_with(kek(proxy, uri)));
        builder.build().unwrap().scope(context(&PAIRS))
    }
}

/// As the URI says it, of a client of ours.
fn kek(proxy: &Proxy, uri: &str) -> AwsKms {
    let uri: KeyUri = uri.parse().unwrap();
    let list = |name| uri.param(name).into_iter().flat_map(|all| all.split(','));
    let kek = AwsKms::from_client(client(proxy.at), uri.rest()).unwrap();
    let kek = list("accept").fold(kek, |kek, arn| kek.accept(arn).unwrap());
    let kek = list("accept-account").fold(kek, |kek, account| kek.accept_account(account).unwrap());
    list("regions").fold(kek, |kek, region| kek.in_region(region).unwrap())
}

fn uri(key: &str) -> String {
    format!("aws-kms:{key}")
}

fn seal(scope: &Scope) -> Vec<u8> {
    scope.seal(Aad::empty(), b"two pounds of tea").wait().unwrap()
}

fn open(scope: &Scope, sealed: &[u8]) {
    scope.open(Aad::empty(), sealed).wait().unwrap();
}

/// Has every KEK that wraps say which key that is.
fn look(scope: &Scope, sealed: &[u8]) {
    scope.kms().freshness(&Header::parse(sealed).unwrap()).wait();
}

/// What was asked since the last time.
fn calls(proxy: &Proxy, aliases: &[(&str, &str)]) -> Vec<Call> {
    let calls = proxy.requests().iter().map(|request| Call::of(request, aliases)).collect();
    proxy.forget();
    calls
}

#[test]
fn each_use_of_a_key_needs_what_is_printed_for_it() {
    let (proxy, key, new) = (proxy(), uri(&new_key()), uri(&new_key()));
    let own = Keks { wrap: &[&key], open: &[] };
    let sealed = seal(&own.scope(&proxy));
    look(&own.scope(&proxy), &sealed);
    let seals = calls(&proxy, &[]);
    Printed::of(&own.policy(&[Seal])).is_just_enough_for(&seals);

    open(&own.scope(&proxy), &sealed);
    look(&own.scope(&proxy), &sealed);
    let opens = calls(&proxy, &[]);
    Printed::of(&own.policy(&[Open])).is_just_enough_for(&opens);

    let both = Keks { wrap: &[&new], open: &[&key] };
    let rewrap = |sealed: &[u8]| both.scope(&proxy).rewrap(sealed).wait();
    let rewrapped = rewrap(&sealed).unwrap().unwrap();
    assert!(rewrap(&rewrapped).unwrap().is_none());
    // Of a key that neither has: both are asked where they lead.
    rewrap(&stranger()).unwrap_err();
    let rewraps = calls(&proxy, &[]);
    Printed::of(&both.policy(&[Rewrap])).is_just_enough_for(&rewraps);

    // Nobody has another's power.
    let denied = |policy: AwsPolicy, calls: &[Call]| Printed::of(&policy).allows(calls).contains(&false);
    assert!(denied(own.policy(&[Seal]), &opens) && denied(own.policy(&[Open]), &seals));
    assert!(denied(both.policy(&[Seal, Open]), &rewraps) && denied(own.policy(&[Rewrap]), &seals));
}

/// Sealed under another key in the same context.
fn stranger() -> Vec<u8> {
    let key = uri(&new_key());
    seal(&Keks { wrap: &[&key], open: &[] }.scope(&proxy()))
}

/// Which of them makes a DEK depends on which answered lately.
#[test]
fn of_several_keks_each_makes_deks_and_wraps_those_of_the_others() {
    let proxy = proxy();
    let (near, far) = (uri(&new_key()), uri(&new_key_in(OTHER_REGION, json!({}))));
    let keks = Keks { wrap: &[&near, &far], open: &[] };
    let scope = keks.scope(&proxy);
    seal(&scope);
    proxy.region_is_dead(REGION);
    seal(&scope);
    // The second one makes them as long as the first one is doubted.
    proxy.pass();
    let sealed = seal(&scope);
    assert_eq!(Header::parse(&sealed).unwrap().recipients().len(), 2);
    look(&keks.scope(&proxy), &sealed);
    Printed::of(&keks.policy(&[Seal])).is_just_enough_for(&calls(&proxy, &[]));
}

#[test]
fn a_kek_that_only_opens_is_never_asked_to_wrap() {
    let (proxy, key, old) = (proxy(), uri(&new_key()), uri(&new_key()));
    let sealed = seal(&Keks { wrap: &[&old], open: &[] }.scope(&moto::proxy()));
    let keks = Keks { wrap: &[], open: &[&old] };
    open(&keks.scope(&proxy), &sealed);
    keks.scope(&proxy).open(Aad::empty(), &stranger()).wait().unwrap_err();
    let opens = calls(&proxy, &[]);
    Printed::of(&keks.policy(&[Open])).is_just_enough_for(&opens);
    let with = Keks { wrap: &[&key], open: &[&old] };
    let writer = Printed::of(&with.policy(&[Seal]));
    assert!(!writer.allows(&opens).contains(&true), "who only seals needs nothing of it");
}

/// An alias that moved: records of before open by the policy of whoever printed it with the key
/// of before, and so that is done before it moves.
#[test]
fn an_alias_is_allowed_by_name_and_opens_the_key_that_has_it() {
    let (proxy, one, two) = (proxy(), new_key(), new_key());
    let alias = new_alias("policy", &one);
    let (name, told) = (uri(&alias), format!("aws-kms:{alias}?accept={one}"));
    let keks = Keks { wrap: &[&name], open: &[] };
    let scope = keks.scope(&proxy);
    let old = seal(&scope);
    open(&keks.scope(&proxy), &old);
    look(&keks.scope(&proxy), &old);
    kek(&proxy, &name).wrap_dek(&Dek::generate().unwrap(), &context(&PAIRS)).wait().unwrap();
    let before = calls(&proxy, &[(&alias, &one)]);
    Printed::of(&keks.policy(&[Seal, Open, Rewrap])).is_just_enough_for(&before);

    move_alias(&alias, &two);
    open(&scope.kms().scope(context(&PAIRS)), &old);
    let after = Keks { wrap: &[&told], open: &[] };
    let new = seal(&after.scope(&proxy));
    for sealed in [&old, &new] {
        open(&after.scope(&proxy), sealed);
        look(&after.scope(&proxy), sealed);
    }
    let asked = calls(&proxy, &[(&alias, &two)]);
    Printed::of(&after.policy(&[Seal, Open])).is_just_enough_for(&asked);
    let of_old: Vec<_> =
        asked.into_iter().filter(|call| call.operation == "Decrypt" && call.key == one).collect();
    assert_eq!(Printed::of(&keks.policy(&[Open])).allows(&of_old), vec![false; of_old.len()]);
    assert!(!of_old.is_empty());
}

/// moto's multi-Region blobs open nowhere, and it has one account: what was asked counts.
#[test]
fn accounts_and_regions_are_those_of_the_allow_list() {
    let (proxy, key) = (proxy(), new_key_in(REGION, json!({ "MultiRegion": true })));
    let listed = format!("aws-kms:{key}?regions={OTHER_REGION}&accept-account=444455556666");
    let keks = Keks { wrap: &[], open: &[&listed] };
    let theirs = key.replace(ACCOUNT, "444455556666").replace("mrk-", "");
    let keys = [&key, &key.replace(REGION, OTHER_REGION), &theirs, &theirs.replace(REGION, OTHER_REGION)];
    let reader = kek(&proxy, &listed);
    for key in keys {
        let forged = WrappedDek::new(KeyId::new(key).unwrap(), vec![7; 184]);
        reader.unwrap_dek(&forged, &context(&PAIRS)).wait().unwrap_err();
    }
    reader.current_key().wait().unwrap();
    assert_eq!((proxy.count("Decrypt"), proxy.count("DescribeKey")), (4, 1));
    let printed = Printed::of(&keks.policy(&[Open]));
    printed.is_just_enough_for(&calls(&proxy, &[]));
    let elsewhere = [
        key.replace(REGION, "us-east-1"),
        theirs.replace("4444", "5555"),
        theirs.replace(REGION, "us-east-1"),
    ];
    let elsewhere: Vec<_> = elsewhere.iter().map(|key| decrypt(key)).collect();
    assert_eq!(printed.allows(&elsewhere), [false; 3]);
}

#[test]
fn tenants_have_a_pair_of_any_value_and_must_have_it() {
    let (proxy, key) = (proxy(), new_key());
    let keks = Keks { wrap: &[&uri(&key)], open: &[] };
    let purpose = keks.scope(&proxy);
    for tenant in ["7", "", "a*", "acme"] {
        let tenants = purpose.with("tenant", tenant).unwrap();
        let sealed = seal(&tenants);
        open(&keks.scope(&proxy).with("tenant", tenant).unwrap(), &sealed);
        look(&keks.scope(&proxy), &sealed);
    }
    let asked = calls(&proxy, &[]);
    Printed::of(&keks.policy(&[Seal, Open]).any_value("tenant")).is_just_enough_for(&asked);
    let exact = Printed::of(&keks.policy(&[Seal, Open]));
    let is_described = |call: &Call| call.operation == "DescribeKey";
    assert_eq!(exact.allows(&asked), asked.iter().map(is_described).collect::<Vec<_>>());
    let printed = Printed::of(&keks.policy(&[Seal, Open]).any_value("tenant"));
    assert_eq!(printed.allows(&[decrypt(&key)]), [false], "without a tenant");
}

/// In the purpose's context, by the key's ARN.
fn decrypt(key: &str) -> Call {
    let context = PAIRS.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    Call { operation: "Decrypt".into(), key: key.into(), by: None, aliases: Vec::new(), context }
}

#[test]
fn nothing_else_is_allowed() {
    let key = new_key();
    let right = decrypt(&key);
    let printed = Printed::of(&Keks { wrap: &[&uri(&key)], open: &[] }.policy(&[Seal, Open, Rewrap]));
    let context = |pairs: &[(&str, &str)]| Call {
        context: pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        ..right.clone()
    };
    let mut wrong = vec![
        context(&[]),
        context(&[("purpose", "bills")]),
        context(&[("purpose", "Orders")]),
        context(&[("purpose", "order?")]),
        context(&[("Purpose", "orders")]),
        context(&[("purpose", "orders"), ("tenant", "7")]),
        context(&[("purpose", "orders"), ("Purpose", "orders")]),
        context(&[("tenant", "7")]),
        decrypt(&new_key()),
        decrypt(&key.replace(REGION, OTHER_REGION)),
        decrypt(&key.replace(ACCOUNT, "444455556666")),
    ];
    let operations = [
        "ReEncryptFrom",
        "ReEncryptTo",
        "CreateGrant",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateDataKeyPair",
        "ScheduleKeyDeletion",
        "DisableKey",
        "PutKeyPolicy",
        "GetKeyPolicy",
        "UpdateAlias",
        "ListGrants",
        "TagResource",
    ];
    let operations = operations.map(|operation| Call { operation: operation.into(), ..right.clone() });
    wrong.extend(operations);
    assert_eq!(printed.allows(&[right]), [true]);
    for call in &wrong {
        assert_eq!(printed.allows(std::slice::from_ref(call)), [false], "{call:?}");
    }
}

#[test]
fn by_an_alias_no_other_key_is_reached() {
    let key = new_key();
    let keks = Keks { wrap: &["aws-kms:alias/orders"], open: &[] };
    let printed = Printed::of(&keks.policy(&[Seal, Open, Rewrap]));
    let call = |operation: &str, by: Option<&str>, aliases: &[&str]| Call {
        operation: operation.into(),
        by: by.map(Into::into),
        aliases: aliases.iter().map(|a| (*a).into()).collect(),
        ..decrypt(&key)
    };
    let (orders, other) = ("alias/orders", "alias/bills");
    for operation in ["GenerateDataKey", "Encrypt", "DescribeKey"] {
        let calls = [
            call(operation, Some(orders), &[orders, other]),
            call(operation, Some(other), &[orders, other]),
            call(operation, None, &[orders]),
        ];
        assert_eq!(printed.allows(&calls), [true, false, false], "{operation}");
    }
    let calls = [&[orders, other][..], &[other], &[]].map(|aliases| call("Decrypt", None, aliases));
    assert_eq!(printed.allows(&calls), [true, false, false]);
}

/// What texts can be in a context, and in a policy.
#[test]
fn every_text_that_a_policy_can_say_is_said_as_it_is() {
    let key = uri(&new_key());
    let texts = [
        "${aws:username}",
        "$${a}",
        "${$}",
        "${*}",
        "a*b?",
        "\\\"",
        "naïve = & ÿ",
        "line\nline\tx",
        "",
        "$",
        "{}",
    ];
    let contexts: Vec<_> = texts.iter().map(|value| context(&[("of the=key:x/é", value)])).collect();
    let call = |context: &libkms::EncryptionContext| Call {
        context: context.iter().map(|(k, v)| (k.into(), v.into())).collect(),
        ..decrypt(key.trim_start_matches("aws-kms:"))
    };
    let calls: Vec<_> = contexts.iter().map(call).collect();
    for (i, context) in contexts.iter().enumerate() {
        let printed = Printed::of(&AwsPolicy::new(context).kek(&key.parse().unwrap()));
        // AWS has ${$} stand for $ in every string, the simulator only where * is a wildcard.
        let only = (0..texts.len()).map(|j| i == j && !texts[i].contains("${")).collect::<Vec<_>>();
        assert_eq!(printed.allows(&calls), only, "{:?}", texts[i]);
    }
}

/// What judges the whole suite does judge.
#[test]
fn a_call_that_is_not_printed_is_told() {
    let key = new_key();
    let request = |operation: &str, body: serde_json::Value| Request {
        operation: operation.into(),
        method: "POST".into(),
        region: REGION.into(),
        path: "/".into(),
        headers: vec![
            ("authorization".into(), "AWS4-HMAC-SHA256 Credential=AKIDMARKER/x".into()),
            ("x-amz-target".into(), format!("TrentService.{operation}")),
        ],
        text: body.to_string(),
    };
    let of_key = |operation| request(operation, json!({ "KeyId": key, "EncryptionContext": { "a": "b" } }));
    hold(vec![of_key("Decrypt"), request("DescribeKey", json!({ "KeyId": key }))]);
    for operation in ["ReEncryptFrom", "GetKeyPolicy", "GenerateDataKeyWithoutPlaintext"] {
        let requests = vec![of_key("Decrypt"), of_key(operation)];
        assert!(catch_unwind(|| hold(requests)).is_err(), "{operation}");
    }
    let ours = Request {
        headers: vec![("authorization".into(), "Credential=test/x".into())],
        ..of_key("CreateKey")
    };
    hold(vec![ours]);
}
