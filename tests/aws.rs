//! Keys in AWS KMS: the contract, aliases, the allow-list, and what goes out. What moto
//! cannot prove (it looks at no signature, and takes some contexts for one another) is seen
//! on the recorded requests.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/program.rs"]
mod program;
#[path = "common/proxy.rs"]
mod proxy;

use common::{Folder, context};
use libkms::{
    Aad, Dek, ErrorKind, Freshness, Header, KeyId, Kms, OutagePolicy, Scope, Wait, WrappedDek,
    fleet::{Survey, sealed_below},
    kek::{AwsKms, KmsBackend, contract},
};
use moto::*;
use program::{environment, kms, run, said};
use proxy::{Answer, Proxy};
use serde_json::{Value, json};
use std::{net::SocketAddr, process::Command, thread, time::Duration};

fn kek(at: SocketAddr, key: &str) -> AwsKms {
    AwsKms::from_client(client(at), key).unwrap()
}

fn scope(kek: AwsKms) -> Scope {
    common::scope(kek, &[("purpose", "orders")])
}

fn key_of(sealed: &[u8]) -> String {
    Header::parse(sealed).unwrap().recipients()[0].wrapped.key_id.to_string()
}

/// A header that names another key than the one it was wrapped under, and has no mac for it.
fn forged(key: &str) -> WrappedDek {
    WrappedDek::new(KeyId::new(key).unwrap(), vec![7; 184])
}

#[test]
fn aws_keeps_the_contract() {
    let (proxy, key) = (proxy(), new_key());
    contract::check(|| async { Ok(kek(proxy.at, &key)) }).wait();
}

#[test]
fn an_alias_keeps_the_contract() {
    let (proxy, alias) = (proxy(), new_alias("contract", &new_key()));
    contract::check(|| async { Ok(kek(proxy.at, &alias)) }).wait();
}

#[test]
fn the_contract_is_kept_through_the_proxy_with_slow_answers_and_material() {
    let (proxy, key) = (proxy(), new_key());
    proxy.material(Some(&"5a".repeat(32)));
    contract::check(|| async { Ok(kek(proxy.at, &key)) }).wait();
    proxy.always("*", Answer::Late(Duration::from_millis(20)));
    contract::check(|| async { Ok(kek(proxy.at, &key)) }).wait();
}

/// Row 35, and what moto does not look at: the requests as they went out.
#[test]
fn f35_requests_hold_the_context_as_it_is_and_nothing_that_is_secret() {
    let (proxy, key) = (proxy(), new_key());
    let pairs = [("purpose", "naïve = & \" \\ 東京"), ("tenant", "7"), ("empty", "")];
    let scope = common::scope(kek(proxy.at, &key), &pairs);
    let payload = b"PAYLOADMARKER that nobody but us may see";
    let sealed = scope.seal(Aad::from("AADMARKER"), payload).wait().unwrap();
    // Another process opens.
    let reader = common::scope(kek(proxy.at, &key), &pairs);
    assert_eq!(reader.open(Aad::from("AADMARKER"), &sealed).wait().unwrap().plaintext, payload);
    let requests = proxy.requests();
    let context: Value = json!({ "purpose": "naïve = & \" \\ 東京", "tenant": "7", "empty": "" });
    let (asks, requests): (Vec<_>, Vec<_>) = requests.into_iter().partition(|r| r.operation == "DescribeKey");
    assert!(asks.iter().all(|r| r.body() == json!({ "KeyId": key })));
    let operations: Vec<_> = requests.iter().map(|r| &*r.operation).collect();
    assert_eq!(operations, ["GenerateDataKey", "Decrypt"]);
    for request in &requests {
        let body = request.body();
        assert_eq!(body["EncryptionContext"], context, "{}", request.operation);
        assert_eq!(body["KeyId"], json!(key), "{}", request.operation);
        assert_eq!(request.region, REGION);
        assert!(
            request.header("authorization").unwrap().starts_with("AWS4-HMAC-SHA256 Credential=AKIDMARKER/")
        );
        let all = format!("{:?} {}", request.headers, request.text);
        for secret in ["PAYLOADMARKER", "AADMARKER", "SECRETMARKER"] {
            assert!(!all.contains(secret), "{secret} in {}", request.operation);
        }
    }
    assert_eq!(requests[0].body()["KeySpec"], "AES_256");

    // No plaintext DEK but in Encrypt.
    proxy.forget();
    let (kek, dek) = (kek(proxy.at, &key), Dek::generate().unwrap());
    let wrapped = kek.wrap_dek(&dek, &common::context(&pairs)).wait().unwrap();
    kek.unwrap_dek(&wrapped, &common::context(&pairs)).wait().unwrap();
    let plain = common::base64(dek.expose().unwrap());
    let with: Vec<_> = proxy.requests().into_iter().filter(|r| r.text.contains(&plain)).collect();
    assert!(with.len() == 1 && with[0].operation == "Encrypt");
    assert_eq!(with[0].body()["EncryptionContext"], context);
}

#[test]
fn no_context_is_no_context() {
    let (proxy, key) = (proxy(), new_key());
    let kek = kek(proxy.at, &key);
    let (_, wrapped) = kek.generate_dek(&context(&[])).wait().unwrap();
    kek.unwrap_dek(&wrapped, &context(&[])).wait().unwrap();
    assert!(proxy.requests().iter().all(|r| r.body().get("EncryptionContext").is_none()));
}

#[test]
fn grant_tokens_go_with_every_call() {
    let (proxy, key) = (proxy(), new_key());
    let kek = kek(proxy.at, &key).grant_token("one").unwrap().grant_token("two").unwrap();
    let (dek, wrapped) = kek.generate_dek(&context(&[])).wait().unwrap();
    kek.wrap_dek(&dek, &context(&[])).wait().unwrap();
    kek.unwrap_dek(&wrapped, &context(&[])).wait().unwrap();
    kek.current_key().wait().unwrap();
    assert_eq!(proxy.requests().len(), 4);
    assert!(proxy.requests().iter().all(|r| r.body()["GrantTokens"] == json!(["one", "two"])));
    let full = (2..10).try_fold(kek, |kek, _| kek.grant_token("more")).unwrap();
    assert_eq!(full.grant_token("more").unwrap_err().kind(), ErrorKind::Misuse);
}

#[test]
fn the_arn_of_the_reply_is_stored_whatever_the_key_was_called() {
    let (proxy, key) = (proxy(), new_key());
    let alias = new_alias("names", &key);
    let id = key.rsplit('/').next().unwrap();
    let alias_arn = key.replace(&format!("key/{id}"), &alias);
    for name in [&*key, id, &*alias, &*alias_arn] {
        let sealed = scope(kek(proxy.at, name)).seal(Aad::empty(), b"x").wait().unwrap();
        assert_eq!(key_of(&sealed), key, "{name}");
    }
}

/// An alias that moved: new records under the new key without a word, old ones open where
/// the alias was seen before it moved, or where they were named.
#[test]
fn an_alias_that_moved_strands_nothing() {
    let (proxy, one, two) = (proxy(), new_key(), new_key());
    let alias = new_alias("moves", &one);
    let kek = kek(proxy.at, &alias);
    let aad = Aad::empty();
    let old = scope(kek.clone()).seal(aad, b"old").wait().unwrap();
    move_alias(&alias, &two);
    let new = scope(kek.clone()).seal(aad, b"new").wait().unwrap();
    assert_eq!((key_of(&old), key_of(&new)), (one.clone(), two.clone()));
    assert_eq!(scope(kek.clone()).open(aad, &old).wait().unwrap().plaintext, b"old");

    // A new process, told nothing, opens what the alias leads to now. For the other key it
    // makes no call, and says that it lacks it.
    let anew = || AwsKms::from_client(client(proxy.at), &alias).unwrap();
    assert_eq!(scope(anew()).open(aad, &new).wait().unwrap().plaintext, b"new");
    let fresh = anew();
    assert_eq!(fresh.current_key().wait().unwrap().unwrap().as_str(), two);
    proxy.forget();
    let refused = scope(fresh).open(aad, &old).wait().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NoMatchingKek);
    assert!(refused.to_string().contains(&format!("accept={one} ")), "{refused}");
    assert_eq!(proxy.count("Decrypt"), 0);

    let account = one.split(':').nth(4).unwrap();
    for told in [anew().accept(&one).unwrap(), anew().accept_account(account).unwrap()] {
        assert_eq!(scope(told.clone()).open(aad, &old).wait().unwrap().plaintext, b"old");
        // Asked for under its own key, not under the alias.
        let asked = proxy.requests().into_iter().rfind(|r| r.operation == "Decrypt").unwrap();
        assert_eq!(asked.body()["KeyId"], json!(one));
        assert_eq!(freshness(&scope(told), &old), Freshness::Stale);
    }
    assert_eq!(freshness(&scope(kek), &new), Freshness::Current);
}

/// Once the KMS said which key is current: who opens does not wait for that.
fn freshness(scope: &Scope, sealed: &[u8]) -> Freshness {
    for _ in 0..1000 {
        match scope.open(Aad::empty(), sealed).wait().unwrap().freshness {
            Freshness::Unknown => thread::sleep(Duration::from_millis(10)),
            known => return known,
        }
    }
    Freshness::Unknown
}

#[test]
fn key_material_that_changes_is_another_version_of_the_key() {
    let (proxy, key) = (proxy(), new_key());
    let (one, two) = ("1a".repeat(32), "2b".repeat(32));
    proxy.material(Some(&one));
    let kek = kek(proxy.at, &key);
    let id = |material: &str| format!("{key}#{material}");
    let (dek, generated) = kek.generate_dek(&context(&[])).wait().unwrap();
    // Encrypt does not tell it: what was told last is stored.
    let wrapped = kek.wrap_dek(&dek, &context(&[])).wait().unwrap();
    let current = || kek.current_key().wait().unwrap().unwrap().to_string();
    assert_eq!([generated.key_id.as_str(), wrapped.key_id.as_str(), &current()], [&*id(&one); 3]);
    proxy.material(Some(&two));
    assert_eq!(current(), id(&two));
    let after = kek.wrap_dek(&dek, &context(&[])).wait().unwrap();
    assert_eq!(after.key_id.as_str(), id(&two));
    assert!(kek.accepts(&generated.key_id) && kek.accepts(&after.key_id));
    kek.unwrap_dek(&generated, &context(&[])).wait().unwrap();
    assert_eq!(proxy.requests().last().unwrap().body()["KeyId"], json!(key));
    // Who wraps first asks first, once.
    proxy.forget();
    let fresh = AwsKms::from_client(client(proxy.at), &key).unwrap();
    for _ in 0..5 {
        let wrapped = fresh.wrap_dek(&dek, &context(&[])).wait().unwrap();
        assert_eq!(wrapped.key_id.as_str(), id(&two));
    }
    assert_eq!((proxy.count("DescribeKey"), proxy.count("Encrypt")), (1, 5));
}

/// Before a key is disabled, or its deletion scheduled, somebody asks what depends on it.
#[test]
fn what_depends_on_a_key_is_found_whatever_its_material() {
    let (folder, proxy, key) = (Folder::new("aws-material"), proxy(), new_key());
    for (file, material) in [("a.kms", Some("1a")), ("b.kms", Some("2b")), ("c.kms", None)] {
        proxy.material(material.map(|m| m.repeat(32)).as_deref());
        let sealed = scope(kek(proxy.at, &key)).seal(Aad::empty(), b"x").wait().unwrap();
        std::fs::write(folder.join(file), sealed).unwrap();
    }
    let found = |key: &str| {
        let survey = Survey::naming([format!("aws-kms:{key}")]);
        survey.run(sealed_below(&folder.0), |_| {}).unwrap().found
    };
    assert_eq!(found(&key), 3);
    assert_eq!(found(&format!("{key}#{}", "1a".repeat(32))), 1);
    assert_eq!(found(&format!("{key}#{}", "3c".repeat(32))), 0);
    assert_eq!((found(&key[..key.len() - 1]), found(&new_key())), (0, 0));
    let program = |key: &str| kms(&folder, &[], &["stale", ".", "--key", &format!("aws-kms:{key}")]);
    assert_eq!(program(&key).stdout.iter().filter(|b| **b == b'\n').count(), 3);
    // No header names these: that nothing is found would be no answer.
    for bad in ["alias/orders", &key[..20], key.rsplit('/').next().unwrap(), &format!("{key}#1a")] {
        let refused = program(bad);
        assert_eq!(refused.status.code(), Some(2), "{bad}: {}", said(&refused));
        assert!(said(&refused).contains("aws-kms:ARN"), "{bad}: {}", said(&refused));
    }
}

#[test]
fn who_may_not_describe_wraps_all_the_same() {
    let (proxy, key) = (proxy(), new_key());
    proxy.always("DescribeKey", Answer::refusal(400, "AccessDeniedException"));
    let kek = kek(proxy.at, &key);
    for _ in 0..5 {
        let wrapped = kek.wrap_dek(&Dek::generate().unwrap(), &context(&[])).wait().unwrap();
        assert_eq!(wrapped.key_id.as_str(), key);
    }
    assert_eq!(proxy.count("DescribeKey"), 1);
}

/// Encrypt does not tell the material, and to ask for it is one question, whoever wraps meanwhile.
#[test]
fn wraps_ask_once_for_the_material() {
    let (proxy, key) = (proxy(), new_key());
    proxy.always("DescribeKey", Answer::Late(Duration::from_millis(200)));
    let kek = kek(proxy.at, &key);
    let wrap = || kek.wrap_dek(&Dek::generate().unwrap(), &context(&[])).wait().unwrap();
    thread::scope(|threads| (0..8).for_each(|_| drop(threads.spawn(wrap))));
    assert_eq!((proxy.count("DescribeKey"), proxy.count("Encrypt")), (1, 8));
}

#[test]
fn a_question_that_is_never_answered_stops_no_wrap() {
    let (proxy, key) = (proxy(), new_key());
    proxy.always("DescribeKey", Answer::Hang);
    let kek = || kek(proxy.at, &key);
    let kms = Kms::builder().kek(kek()).kek(kek()).build().unwrap();
    kms.scope(context(&[])).seal(Aad::empty(), b"tea").wait().unwrap();
    assert_eq!(proxy.count("Encrypt"), 1);
    assert!(kms.health().backends.iter().all(|kek| kek.degraded_for.is_none()), "{:?}", kms.health());
    // One that waits less than this takes has it at the second attempt.
    let policy = OutagePolicy::default().call_timeout(Duration::from_millis(500));
    let kms = Kms::builder().kek(kek()).kek(kek()).outage_policy(policy).build().unwrap();
    kms.scope(context(&[])).seal(Aad::empty(), b"tea").wait().unwrap();
}

/// Rows 11 and 65: an ARN out of a header costs nothing and reaches nobody.
#[test]
fn f65_no_request_leaves_for_an_arn_that_is_not_allowed() {
    let (proxy, key) = (proxy(), new_key());
    let kek = kek(proxy.at, &key).accept_account("444455556666").unwrap();
    let alter = |from: &str, to: &str| key.replace(from, to);
    let account = key.split(':').nth(4).unwrap().to_owned();
    let mine = alter(&account, "444455556666");
    let other = |region: &str| mine.replace(REGION, region);
    let hostile = [
        alter("key/", "alias/"),
        alter(&account, "999900001111"),
        alter(REGION, OTHER_REGION),
        other(OTHER_REGION),
        other("evil.example"),
        other("evil.example/"),
        other("evil.example#"),
        other("evil.example?x="),
        other("@evil.example"),
        other("eu-central-1.evil"),
        other("127.0.0.1:1"),
        other("%65u"),
        other(""),
        mine.replace(":aws:", ":aws-cn:"),
        mine.replace(":aws:", ":evil:"),
        mine.replace("key/", "key/../"),
        mine.replace("arn:", "ARN:"),
        format!("{key}/"),
        format!("{key}#"),
        format!("{key}#x"),
        format!(" {key}"),
        key[..key.len() - 1].to_owned(),
        "alias/orders".to_owned(),
        key.rsplit('/').next().unwrap().to_owned(),
    ];
    for id in hostile {
        assert!(!kek.accepts(&KeyId::new(&id).unwrap()), "{id}");
        let asked = kek.unwrap_dek(&forged(&id), &context(&[])).wait();
        assert_eq!(asked.unwrap_err().kind(), ErrorKind::Denied, "{id}");
    }
    assert_eq!(proxy.count("*"), 0);
    // And one that is allowed is asked for, where it is.
    assert!(kek.accepts(&KeyId::new(&mine).unwrap()));
    kek.unwrap_dek(&forged(&mine), &context(&[])).wait().unwrap_err();
    assert_eq!((proxy.count("Decrypt"), &*proxy.requests()[0].region), (1, REGION));
}

#[test]
fn f11_a_forged_key_id_brings_no_decrypt() {
    let (proxy, elsewhere, key, foreign) = (proxy(), proxy(), new_key(), new_key());
    let sealed = scope(kek(elsewhere.at, &foreign)).seal(Aad::empty(), b"x").wait().unwrap();
    let alias = new_alias("forged", &key);
    let reader = scope(kek(proxy.at, &alias));
    for _ in 0..1000 {
        let refused = reader.open(Aad::empty(), &sealed).wait().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NoMatchingKek);
    }
    assert_eq!(proxy.count("Decrypt"), 0);
    assert!(proxy.count("DescribeKey") <= 2, "{}", proxy.count("DescribeKey"));
}

/// moto's multi-Region blobs open nowhere: that the right region is asked for the right key
/// is seen on the request.
#[test]
fn a_replica_is_asked_for_in_its_own_region() {
    let proxy = proxy();
    let key = new_key_in(REGION, json!({ "MultiRegion": true }));
    assert!(key.contains("key/mrk-"));
    let kek = kek(proxy.at, &key).in_region(OTHER_REGION).unwrap();
    let far = key.replace(REGION, OTHER_REGION);
    assert!(kek.accepts(&KeyId::new(&far).unwrap()));
    assert!(!kek.accepts(&KeyId::new(key.replace(REGION, "us-east-1")).unwrap()));
    kek.unwrap_dek(&forged(&far), &context(&[])).wait().unwrap_err();
    let request = &proxy.requests()[0];
    assert_eq!((&*request.region, &request.body()["KeyId"]), (OTHER_REGION, &json!(far)));
}

#[test]
fn two_regions_one_of_them_dead_open() {
    let proxy = proxy();
    let near = new_key();
    let far = new_key_in(OTHER_REGION, json!({}));
    let keks = || [AwsKms::from_client(client(proxy.at), &near), AwsKms::from_client(client(proxy.at), &far)];
    let build = || {
        let builder = keks().into_iter().fold(Kms::builder(), |b, kek| b.kek(kek.unwrap()));
        builder.build().unwrap().scope(context(&[]))
    };
    let sealed = build().seal(Aad::empty(), b"x").wait().unwrap();
    for region in [REGION, OTHER_REGION] {
        proxy.pass().region_is_dead(region);
        assert_eq!(build().open(Aad::empty(), &sealed).wait().unwrap().plaintext, b"x", "without {region}");
    }
    let regions: Vec<_> = proxy.requests().iter().map(|r| r.region.clone()).collect();
    assert!(regions.iter().any(|r| r == REGION) && regions.iter().any(|r| r == OTHER_REGION));
}

#[test]
fn names_that_are_none_are_refused() {
    for bad in ["", "alias/", "key/1234", "orders keys", "arn:aws:kms:eu-central-1:1:key/x", "alias/a%62"] {
        let refused = AwsKms::from_client(client(MOTO.at), bad).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Misuse, "{bad}");
    }
    let config = client(MOTO.at).config().to_builder().region(None).build();
    let nowhere = || aws_sdk_kms::Client::from_conf(config.clone());
    let refused = AwsKms::from_client(nowhere(), "alias/orders").unwrap_err();
    assert!(refused.kind() == ErrorKind::Misuse && refused.to_string().contains("AWS_REGION"), "{refused}");
    // The ARN says where.
    AwsKms::from_client(nowhere(), &new_key()).unwrap();
    for (uri, says) in [
        ("aws-kms:alias/x?region=Evil.example", "region"),
        ("aws-kms:alias/x?regions=a,b/c&region=eu-central-1", "region"),
        ("aws-kms:alias/x?region=eu-central-1&accept=alias/y", "accept"),
        ("aws-kms:alias/x?region=eu-central-1&accept-account=12", "accept-account"),
        ("aws-kms:alias/x?fips=yes", "fips"),
        ("aws-kms:alias/x?dual-stack=1", "dual-stack"),
        ("aws-kms:alias/x?endpoint=ftp://x", "endpoint"),
        ("aws-kms:alias/x?endpoint=https://", "endpoint"),
        ("aws-kms:alias/x?endpoint=https://a b", "endpoint"),
        ("aws-kms:alias/x?endpoint=https://user:MARKER@host", "endpoint"),
        ("aws-kms:alias/x?endpoint=https://host/?x=y", "endpoint"),
        ("aws-kms:alias/x?endpoint=https://host&fips=true", "endpoint"),
        ("aws-kms:alias/x?endpoint=https://host&dual-stack=true", "endpoint"),
        ("aws-kms: alias/x", "named"),
        ("aws-kms:\"alias/x\"", "named"),
        ("aws-kms:alias/../x", "named"),
        ("aws-kms:alias/x#y", "named"),
        ("aws-kms:alias/x?region=", "region"),
        ("aws-kms:alias/x?region= eu-central-1", "region"),
        ("aws-kms:alias/x?region=eu-central-1%0a", "region"),
        ("aws-kms:alias/x?region=a&accept-account=111122223333, 444455556666", "accept-account"),
        ("aws-kms:alias/x?acept=arn", "acept"),
        ("aws-kms:arn:aws:kms:eu-central-1:111122223333:key/x?region=us-east-1", "eu-central-1"),
    ] {
        let refused = libkms::kek::from_uri(uri).wait().err().unwrap_or_else(|| panic!("{uri}"));
        assert!(
            refused.kind() == ErrorKind::Misuse && refused.to_string().contains(says),
            "{uri}: {refused}"
        );
        assert!(!refused.to_string().contains("MARKER"));
    }
}

#[test]
fn the_program_takes_what_the_aws_tools_take() {
    let folder = Folder::new("aws-program");
    let (proxy, key) = (proxy(), new_key());
    let alias = new_alias("program", &key);
    let kek = format!("aws-kms:{alias}");
    std::fs::write(folder.join("a"), "two pounds of tea").unwrap();
    let env = environment(proxy.at);
    let sealed = kms(&folder, &env, &["seal", "a", "--kek", &kek, "--context", "purpose=orders"]);
    assert!(sealed.status.success(), "{}", said(&sealed));
    let whole = format!("aws-kms:{key}");
    let open = |env: &[(&str, String)], kek: &str| {
        kms(&folder, env, &["open", "a.kms", "-o", "-", "--kek", kek, "--context", "purpose=orders"])
    };
    let opened = open(&env, &whole);
    assert_eq!((opened.stdout.as_slice(), &*said(&opened)), (&b"two pounds of tea"[..], ""));
    assert_eq!(open(&env, &kek).stdout, b"two pounds of tea", "by the alias alone");

    // A profile in the files, region and endpoint in the URI.
    std::fs::create_dir(folder.join(".aws")).unwrap();
    let profile =
        "[profile shop]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = x\nregion = us-west-2\n";
    std::fs::write(folder.join(".aws/config"), profile).unwrap();
    let none = [("AWS_EC2_METADATA_DISABLED", "true".to_owned())];
    proxy.forget();
    let uri = format!("{whole}?profile=shop&endpoint=http://{}", proxy.at);
    let opened = open(&none, &uri);
    assert_eq!(opened.stdout, b"two pounds of tea", "{}", said(&opened));
    let request = &proxy.requests()[0];
    assert!(request.header("authorization").unwrap().contains("Credential=AKIDPROFILE/"));
    assert_eq!(request.region, REGION, "that of the key");

    // Without credentials, and without a region.
    let without = |name: &str| env.iter().filter(|e| e.0 != name).cloned().collect::<Vec<_>>();
    let refused = open(&without("AWS_ACCESS_KEY_ID"), &whole);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("AWS_ACCESS_KEY_ID"), "{}", said(&refused));
    let refused = open(&without("AWS_REGION"), &kek);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("AWS_REGION"), "{}", said(&refused));
    // Another key: it says which one to accept.
    let other = format!("aws-kms:{}", new_key());
    let refused = open(&env, &other);
    assert_eq!(refused.status.code(), Some(5));
    assert!(said(&refused).contains(&key), "{}", said(&refused));
    let opened = open(&env, &format!("{other}?accept={key}"));
    assert_eq!(opened.stdout, b"two pounds of tea", "{}", said(&opened));
}

#[test]
fn the_readmes_commands_run() {
    let readme = include_str!("../README.md");
    let script = readme.split("```bash\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(script.contains("aws-kms:alias/orders?"), "{script}");
    let folder = Folder::new("aws-readme");
    std::fs::write(folder.join("dump.sql"), "CREATE TABLE t;").unwrap();
    orders();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_kms")).parent().unwrap();
    let mut command = Command::new("sh");
    command.args(["-euc", &format!("PATH={}:$PATH\n{script}", program.display())]);
    let proxy = proxy();
    let ran = run(command, &folder, &environment(proxy.at));
    assert!(ran.status.success(), "{}", said(&ran));
}

/// `alias/orders`, of every test that wants it.
fn orders() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| drop(new_alias("orders", &new_key())));
}

#[path = "../examples/aws_on_current_thread.rs"]
mod aws_on_current_thread;
#[path = "../examples/aws_without_async.rs"]
mod aws_without_async;

/// The examples, in processes of their own, which have the environment of the AWS tools.
#[test]
fn the_examples_run() {
    let (folder, proxy) = (Folder::new("aws-examples"), proxy());
    orders();
    for example in ["example_without_async", "example_on_current_thread"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", example, "--ignored", "--nocapture"]);
        let ran = run(command, &folder, &environment(proxy.at));
        let out = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && out.contains("1 passed"), "{example}: {out}{}", said(&ran));
    }
}

#[test]
#[ignore = "of the_examples_run"]
fn example_without_async() {
    aws_without_async::main().unwrap();
}

#[test]
#[ignore = "of the_examples_run"]
fn example_on_current_thread() {
    aws_on_current_thread::main().unwrap();
}

/// A proxy keeps what it got: who reads the tests may trust what they say of requests.
#[test]
fn the_proxy_records_and_knows_the_states_of_keys() {
    let (proxy, key): (Proxy, _) = (proxy(), new_key());
    let generate = |at| call(at, REGION, "GenerateDataKey", json!({ "KeyId": key, "KeySpec": "AES_256" }));
    assert_eq!(generate(proxy.at).0, 200);
    for (operation, refusal) in [
        ("DisableKey", Some("DisabledException")),
        ("EnableKey", None),
        ("ScheduleKeyDeletion", Some("KMSInvalidStateException")),
        ("CancelKeyDeletion", Some("DisabledException")),
        ("EnableKey", None),
    ] {
        // moto knows keys by their bare ids here.
        admin(proxy.at, operation, json!({ "KeyId": key.rsplit('/').next().unwrap() }));
        let (status, reply) = generate(proxy.at);
        assert_eq!(reply["__type"].as_str(), refusal, "after {operation}");
        assert_eq!(status, if refusal.is_some() { 400 } else { 200 });
    }
    assert_eq!((proxy.count("GenerateDataKey"), proxy.count("EnableKey")), (6, 2));
}
