//! What goes over the wire to AWS, looked at by others: botocore signs every request once
//! more, since moto takes any signature or none.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/program.rs"]
mod program;
#[path = "common/proxy.rs"]
mod proxy;

use common::{Folder, context};
use libkms::{
    KeyId, Wait, WrappedDek,
    kek::{AwsKms, KmsBackend},
};
use moto::*;
use program::{environment, kms, said};
use proxy::Request;
use serde_json::{Value, json};
use std::{
    io::Write,
    process::Stdio,
    time::{SystemTime, UNIX_EPOCH},
};

/// Access keys and what they sign with.
const SECRETS: [&str; 2] = ["AKIDMARKER=SECRETMARKER", "AKIDPROFILE=s+e/c=ret"];
/// What every request to KMS must sign: its place, its time and what it asks for.
const SIGNED: [&str; 4] = ["content-type", "host", "x-amz-date", "x-amz-target"];

/// What botocore says of each.
fn signatures(requests: &[Request]) -> Vec<Value> {
    let as_json =
        |r: &Request| json!({ "method": r.method, "path": r.path, "headers": r.headers, "text": r.text });
    let all = Value::from_iter(requests.iter().map(as_json)).to_string();
    let mut botocore = python("signatures.py", &SECRETS);
    let mut botocore = botocore.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    botocore.stdin.take().unwrap().write_all(all.as_bytes()).unwrap();
    let output = botocore.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All are right, by this access key, for KMS in these regions, in turn.
fn are_right(requests: &[Request], access: &str, regions: &[&str], signs_a_token: bool) {
    let all = signatures(requests);
    assert_eq!(all.iter().map(|s| s["region"].as_str().unwrap()).collect::<Vec<_>>(), regions);
    for (said, request) in all.iter().zip(requests) {
        assert_eq!(
            (&said["right"], &said["access"], &said["service"]),
            (&json!(true), &json!(access), &json!("kms"))
        );
        let signed: Vec<_> = said["signed"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
        assert!(SIGNED.iter().all(|name| signed.contains(name)), "{signed:?}");
        assert_eq!(signed.contains(&"x-amz-security-token"), signs_a_token, "{}", request.operation);
        assert_eq!(request.header("x-amz-security-token").is_some(), signs_a_token);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(seconds(said["at"].as_str().unwrap())) < 240, "{said}");
    }
}

/// Since 1970, of a date as in 20261103T235959Z.
fn seconds(date: &str) -> u64 {
    let date = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..8],
        &date[9..11],
        &date[11..13],
        &date[13..15]
    );
    let date =
        aws_sdk_kms::primitives::DateTime::from_str(&date, aws_sdk_kms::primitives::DateTimeFormat::DateTime);
    date.unwrap().secs().try_into().unwrap()
}

/// A context that JSON must escape, or must not.
fn hard() -> libkms::EncryptionContext {
    context(&[("purpose", "naïve = & \" \\ \u{7f} 東京 \u{1f511}"), ("Purpose", "7"), ("empty", "")])
}

/// Every call that the library makes, with a session token, in two regions.
fn recorded() -> Vec<Request> {
    let (proxy, key, far) = (proxy(), new_key(), new_key_in(OTHER_REGION, json!({})));
    let kek = AwsKms::from_client(client(proxy.at), &key).unwrap().accept(&far).unwrap();
    let (dek, wrapped) = kek.generate_dek(&hard()).wait().unwrap();
    kek.wrap_dek(&dek, &hard()).wait().unwrap();
    kek.unwrap_dek(&wrapped, &hard()).wait().unwrap();
    kek.current_key().wait().unwrap();
    let foreign = WrappedDek::new(KeyId::new(far).unwrap(), vec![7; 184]);
    kek.unwrap_dek(&foreign, &hard()).wait().unwrap_err();
    proxy.requests()
}

#[test]
fn every_request_of_the_library_is_signed_as_botocore_signs() {
    let requests = recorded();
    let operations: Vec<_> = requests.iter().map(|r| &*r.operation).collect();
    assert_eq!(operations, ["GenerateDataKey", "Encrypt", "Decrypt", "DescribeKey", "Decrypt"]);
    are_right(&requests, "AKIDMARKER", &[REGION, REGION, REGION, REGION, OTHER_REGION], true);
    let token = |r: &Request| r.header("x-amz-security-token").map(String::from);
    assert!(requests.iter().all(|r| token(r).as_deref() == Some("TOKENMARKER")));
}

/// That the check above can fail: whatever is changed on the way is noticed.
#[test]
fn a_request_that_was_altered_is_signed_wrongly() {
    let requests = recorded();
    let original = requests.iter().find(|r| r.operation == "Encrypt").unwrap();
    let alter = |header: &str, from: &str, to: &str| {
        let mut altered = original.clone();
        let found = altered.headers.iter_mut().find(|h| h.0.eq_ignore_ascii_case(header)).unwrap();
        assert!(found.1.contains(from), "{found:?}");
        found.1 = found.1.replace(from, to);
        altered
    };
    let mut altered = vec![
        alter("x-amz-security-token", "TOKENMARKER", "TOKENMARKEr"),
        alter("x-amz-target", "Encrypt", "Decrypt"),
        alter("authorization", REGION, OTHER_REGION),
        alter("authorization", "/kms/", "/sts/"),
        alter("authorization", "AKIDMARKER", "AKIDPROFILE"),
        alter("authorization", ";x-amz-security-token", ""),
        alter("host", "127.0.0.1", "127.0.0.2"),
        alter("x-amz-date", "Z", "0Z"),
    ];
    for at in [1, original.text.len() / 2, original.text.len() - 2] {
        let mut bytes = original.text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
        altered.push(Request { text: String::from_utf8_lossy(&bytes).into(), ..original.clone() });
    }
    altered.push(Request { path: "/x".into(), ..original.clone() });
    altered.push(Request { method: "PUT".into(), ..original.clone() });
    for (i, said) in signatures(&altered).iter().enumerate() {
        assert_eq!(said["right"], json!(false), "alteration {i}: {said}");
    }
}

#[test]
fn every_request_of_the_program_is_signed_as_botocore_signs() {
    let (folder, proxy, key) = (Folder::new("aws-signed"), proxy(), new_key());
    std::fs::write(folder.join("a"), "two pounds of tea").unwrap();
    std::fs::create_dir(folder.join(".aws")).unwrap();
    let profile = "[profile shop]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = s+e/c=ret\n";
    std::fs::write(folder.join(".aws/config"), profile).unwrap();
    let seals_and_opens = |env: &[(&str, String)], kek: &str| {
        proxy.forget();
        for args in [vec!["seal", "a", "--force"], vec!["open", "a.kms", "-o", "-"]] {
            let ran = kms(
                &folder,
                env,
                &[&args[..], &["--kek", kek, "--context", "purpose=naïve \"東京\""]].concat(),
            );
            assert!(ran.status.success(), "{}", said(&ran));
        }
        proxy.requests()
    };
    let kek = format!("aws-kms:{key}");
    let mut env = environment(proxy.at);
    let regions = |requests: &[Request]| vec![REGION; requests.len()];
    let requests = seals_and_opens(&env, &kek);
    assert!(requests.len() >= 2);
    are_right(&requests, "AKIDMARKER", &regions(&requests), false);
    env.push(("AWS_SESSION_TOKEN", "TOKENMARKER".into()));
    let requests = seals_and_opens(&env, &kek);
    are_right(&requests, "AKIDMARKER", &regions(&requests), true);
    let env = [("AWS_PROFILE", "shop".into()), ("AWS_ENDPOINT_URL", format!("http://{}", proxy.at))];
    let requests = seals_and_opens(&env, &kek);
    are_right(&requests, "AKIDPROFILE", &regions(&requests), false);
}
