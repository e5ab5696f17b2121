use super::*;
use crate::ErrorKind;
use serde_json::{Value, json};

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const MULTI: &str = "arn:aws:kms:eu-central-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
const ROLE: &str = "arn:aws:iam::111122223333:role/shop";

fn policy(keks: &[&str], pairs: &[(&str, &str)]) -> AwsPolicy {
    let policy = AwsPolicy::new(&EncryptionContext::new(pairs.iter().copied()).unwrap());
    keks.iter().fold(policy.region("eu-central-1"), |policy, kek| policy.kek(&kek.parse().unwrap()))
}

fn orders(kek: &str) -> AwsPolicy {
    policy(&[kek], &[("purpose", "orders")])
}

fn printed(policy: &AwsPolicy) -> Value {
    serde_json::from_str(&policy.to_json().unwrap()).unwrap()
}

/// The actions and the resources of each statement for a principal.
fn said(policy: &AwsPolicy) -> Vec<(String, Vec<String>)> {
    let texts = |v: &Value| -> Vec<String> { serde_json::from_value(v.clone()).unwrap() };
    let printed = printed(policy);
    let statements = printed["iam_policy"]["Statement"].as_array().unwrap();
    let actions = |v: &Value| texts(v).join(" ").replace("kms:", "");
    statements.iter().map(|s| (actions(&s["Action"]), texts(&s["Resource"]))).collect()
}

fn calls(policy: &AwsPolicy) -> Vec<String> {
    said(policy).into_iter().map(|(calls, _)| calls).collect()
}

#[test]
fn one_key_by_its_arn() {
    let bound = json!({
        "StringEquals": { "kms:EncryptionContext:purpose": "orders" },
        "ForAllValues:StringEquals": { "kms:EncryptionContextKeys": ["purpose"] },
    });
    let actions = ["kms:GenerateDataKey", "kms:Encrypt", "kms:Decrypt"];
    let role = json!({ "AWS": ROLE });
    let wanted = json!({
        "iam_policy": { "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": actions, "Resource": [KEY], "Condition": bound },
            { "Effect": "Allow", "Action": ["kms:DescribeKey"], "Resource": [KEY] },
        ]},
        "key_policy_statements": [{ "key": KEY, "statements": [
            { "Effect": "Allow", "Principal": role, "Action": actions, "Resource": ["*"], "Condition": bound },
            { "Effect": "Allow", "Principal": role, "Action": ["kms:DescribeKey"], "Resource": ["*"] },
        ]}],
    });
    let policy = orders(&format!("aws-kms:{KEY}")).principal(ROLE);
    assert_eq!(printed(&policy), wanted);
    assert_eq!(policy.remarks().unwrap(), Vec::<String>::new());
}

#[test]
fn each_use_has_its_calls() {
    let (one, other) = (format!("aws-kms:{KEY}"), format!("aws-kms:{}", KEY.replace("key/1", "key/2")));
    let calls = |keks: &[&str], uses: &[AwsUse]| calls(&policy(keks, &[]).uses(uses));
    use AwsUse::{Open, Rewrap, Seal};
    assert_eq!(calls(&[&one], &[Seal]), ["GenerateDataKey", "DescribeKey"]);
    assert_eq!(calls(&[&one], &[Open]), ["Decrypt", "DescribeKey"]);
    assert_eq!(calls(&[&one], &[Rewrap]), ["Encrypt Decrypt", "DescribeKey"]);
    assert_eq!(calls(&[&one], &[Seal, Open]), ["GenerateDataKey Decrypt", "DescribeKey"]);
    for two in [[&*one, &other], [&one, "local:keys.json#orders"]] {
        assert_eq!(calls(&two, &[Seal]), ["GenerateDataKey Encrypt", "DescribeKey"]);
        assert_eq!(calls(&two, &[Open]), ["Decrypt", "DescribeKey"]);
    }
    let both = policy(&[&one], &[]).opens_with(&other.parse().unwrap());
    let [first, second] = [&one, &other].map(|uri| vec![uri["aws-kms:".len()..].to_owned()]);
    let all = [first.clone(), second].concat();
    assert_eq!(
        said(&both.clone().uses(&[Seal])),
        [("GenerateDataKey".into(), first.clone()), ("DescribeKey".into(), first)]
    );
    assert_eq!(said(&both.uses(&[Open])), [("Decrypt".into(), all.clone()), ("DescribeKey".into(), all)]);
}

#[test]
fn an_alias_is_a_condition_and_no_resource() {
    let asked = json!({ "StringEquals": { "kms:RequestAlias": "alias/orders" } });
    for (name, account) in
        [("alias/orders", "*"), ("arn:aws:kms:eu-central-1:111122223333:alias/orders", "111122223333")]
    {
        let policy = policy(&[&format!("aws-kms:{name}")], &[]);
        let any = vec![format!("arn:aws:kms:eu-central-1:{account}:key/*")];
        let calls = ["GenerateDataKey Encrypt", "Decrypt", "DescribeKey"];
        assert_eq!(said(&policy), calls.map(|calls| (calls.to_owned(), any.clone())));
        let printed = printed(&policy);
        let conditions = |statements: &Value| -> Vec<Value> {
            statements.as_array().unwrap().iter().map(|s| s["Condition"].clone()).collect()
        };
        let empty = json!({ "kms:EncryptionContextKeys": "true" });
        let wraps = json!({ "Null": empty, "StringEquals": asked["StringEquals"] });
        let had =
            json!({ "Null": empty, "ForAnyValue:StringEquals": { "kms:ResourceAliases": ["alias/orders"] } });
        assert_eq!(conditions(&printed["iam_policy"]["Statement"]), [wraps.clone(), had, asked.clone()]);
        // A key policy is of the key, and AWS takes no such condition in it.
        let of_key = &printed["key_policy_statements"];
        assert_eq!(of_key.as_array().unwrap().len(), 1);
        assert_eq!(of_key[0]["key"], format!("arn:aws:kms:eu-central-1:{account}:alias/orders"));
        assert_eq!(conditions(&of_key[0]["statements"]), [wraps, json!({ "Null": empty }), asked.clone()]);
    }
    let named = orders("aws-kms:alias/orders?region=cn-north-1").account("111122223333");
    assert_eq!(said(&named)[0].1, ["arn:aws-cn:kms:cn-north-1:111122223333:key/*"]);
    assert!(!named.remarks().unwrap().iter().any(|said| said.contains("account")));
    let id = orders("aws-kms:1234abcd?region=us-gov-west-1");
    assert_eq!(said(&id)[0].1, ["arn:aws-us-gov:kms:us-gov-west-1:*:key/1234abcd"]);
    assert!(id.remarks().unwrap()[0].contains("1234abcd does not say its account"));
}

#[test]
fn what_opens_is_what_the_allow_list_takes() {
    let (other, more) = (KEY.replace("key/1", "key/2"), MULTI.replace("mrk-1", "mrk-2"));
    let in_region = |arn: &str, region: &str| arn.replace("eu-central-1", region);
    let regions = ["eu-central-1", "eu-west-1", "us-west-2"];
    let keys = [KEY, MULTI, &other, &more];
    let keys = keys.iter().flat_map(|key| regions.iter().map(|region| in_region(key, region)));
    let keys: Vec<_> = keys.flat_map(|key| [key.replace("111122223333", "444455556666"), key]).collect();
    for uri in [
        format!("aws-kms:{KEY}"),
        format!("aws-kms:{MULTI}"),
        format!("aws-kms:{MULTI}?regions=us-west-2"),
        format!("aws-kms:{KEY}?regions=us-west-2,eu-west-1&accept={more},{other}"),
        format!("aws-kms:{KEY}?accept-account=444455556666"),
        format!("aws-kms:{MULTI}?accept-account=444455556666,111122223333&regions=eu-west-1"),
    ] {
        let printed = said(&orders(&uri).uses(&[AwsUse::Open]));
        let allowed = Allowed::from_uri(&uri.parse().unwrap(), None).unwrap();
        let matches = |key: &String, resource: &String| match resource.strip_suffix('*') {
            Some(before) => key.starts_with(before),
            None => key == resource,
        };
        for key in &keys {
            let is_printed = printed[0].1.iter().any(|resource| matches(key, resource));
            let id = crate::KeyId::new(key).unwrap();
            assert_eq!(is_printed, allowed.allowed(&id).is_some(), "{key} under {uri}");
        }
        let mut once = printed[0].1.clone();
        once.dedup();
        assert_eq!(once, printed[0].1, "{uri}");
    }
    // Whole accounts stand for their keys, and an alias has its replicas where it is, too.
    let whole = said(&orders(&format!("aws-kms:{KEY}?accept-account=111122223333")).uses(&[AwsUse::Open]));
    assert_eq!(whole[0].1, ["arn:aws:kms:eu-central-1:111122223333:key/*"]);
    let alias = said(&orders("aws-kms:alias/orders?regions=us-west-2").uses(&[AwsUse::Open]));
    assert_eq!(alias[0].1, ["arn:aws:kms:eu-central-1:*:key/*", "arn:aws:kms:us-west-2:*:key/mrk-*"]);
}

#[test]
fn pairs_of_any_value_must_be_there() {
    let policy = policy(&[&format!("aws-kms:{KEY}")], &[("purpose", "orders")]);
    let condition = |policy: &AwsPolicy| printed(policy)["iam_policy"]["Statement"][0]["Condition"].clone();
    assert_eq!(
        condition(&policy.clone().any_value("tenant")),
        json!({
            "StringEquals": { "kms:EncryptionContext:purpose": "orders" },
            "Null": { "kms:EncryptionContext:tenant": "false" },
            "ForAllValues:StringEquals": { "kms:EncryptionContextKeys": ["purpose", "tenant"] },
        })
    );
    // Of one that the context has, too.
    assert_eq!(
        condition(&policy.any_value("purpose")),
        json!({
            "Null": { "kms:EncryptionContext:purpose": "false" },
            "ForAllValues:StringEquals": { "kms:EncryptionContextKeys": ["purpose"] },
        })
    );
}

#[test]
fn a_value_is_no_variable() {
    for (value, said) in
        [("${aws:username}", "${$}{aws:username}"), ("$${a}${$}", "$${$}{a}${$}{$}"), ("$ {a}*?", "$ {a}*?")]
    {
        let printed = printed(&policy(&[&format!("aws-kms:{KEY}")], &[("user", value)]));
        let condition = &printed["iam_policy"]["Statement"][0]["Condition"]["StringEquals"];
        assert_eq!(condition["kms:EncryptionContext:user"], said);
    }
}

#[test]
fn f35_what_no_policy_can_say_is_refused_and_no_value_is_repeated() {
    let arn = format!("aws-kms:{KEY}");
    let refused = |policy: AwsPolicy, says: &str| {
        let refused = policy.to_json().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Misuse, "{refused}");
        let said = refused.to_string();
        assert!(said.contains(says) && !said.contains("MARKER"), "{said}");
    };
    for value in ["MARKER 東", "MARKER\u{7f}", "MARKER\u{a0}", "MARKER\0"] {
        refused(policy(&[&arn], &[("purpose", value)]), "the value of purpose");
        policy(&[&arn], &[("purpose", value)]).any_value("purpose").to_json().unwrap();
    }
    for key in ["東", "a${b}"] {
        refused(policy(&[&arn], &[(key, "MARKER")]), "no policy can name");
        refused(policy(&[&arn], &[]).any_value(key), "no policy can name");
    }
    refused(policy(&[&arn], &[("a", "MARKER"), ("A", "x")]), "case");
    refused(policy(&[&arn], &[("tenant", "MARKER")]).any_value("Tenant"), "case");
    refused(policy(&[&arn], &[]).any_value(""), "1 to 256");
    refused(policy(&["local:keys.json"], &[]), "in AWS KMS");
    refused(AwsPolicy::new(&EncryptionContext::empty()), "in AWS KMS");
    refused(AwsPolicy::new(&EncryptionContext::empty()).kek(&"aws-kms:alias/x".parse().unwrap()), "region");
    let opens = AwsPolicy::new(&EncryptionContext::empty()).opens_with(&arn.parse().unwrap());
    refused(opens.uses(&[AwsUse::Seal]), "nothing need be allowed");
    refused(orders(&arn).account("1111-2222-3333"), "12 digits");
    refused(orders(&arn).region("Evil/"), "region");
    refused(orders("aws-kms:alias/x?acept=arn"), "acept");
    for principal in ["*", "", "arn:aws:iam::111122223333:role/*", "arn:aws:iam::1:role/x", "111122223333"] {
        refused(orders(&arn).principal(principal), "principal");
    }
    for principal in
        [ROLE, "arn:aws-cn:iam::111122223333:root", "arn:aws:sts::111122223333:assumed-role/a/b@c.example"]
    {
        orders(&arn).principal(principal).to_json().unwrap();
    }
    assert!(printed(&orders(&arn))["key_policy_statements"].to_string().contains(NOBODY));
}

#[test]
fn a_policy_that_aws_would_not_take_is_told() {
    let arn = format!("aws-kms:{KEY}");
    let with = |n: usize| {
        policy(&[&arn], &[("a", &*"v".repeat(1024)), ("b", &"v".repeat(1024)), ("c", &"v".repeat(n))])
    };
    with(1024).to_json().unwrap();
    let accept = (0..80).map(|i| format!("{KEY}{i:02}")).collect::<Vec<_>>().join(",");
    let refused = orders(&format!("{arn}?accept={accept}")).to_json().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Limit);
    assert!(refused.to_string().contains("6144"), "{refused}");
}
