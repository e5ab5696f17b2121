//! `kms policy aws`: what the program prints lets it do its work, and what is missing is said.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/proxy.rs"]
mod proxy;

use common::Folder;
use moto::{
    iam::{self, ACCOUNT, Call, Printed},
    *,
};
use serde_json::json;
use std::{
    fs,
    process::{Command, Output},
};

/// The program, without credentials, a region or anything that it could reach.
fn kms(folder: &Folder, args: &[&str], env: &[(&str, String)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kms"));
    command.args(args).current_dir(&folder.0).env_clear();
    command.envs(env.iter().map(|(name, value)| (*name, value))).env("HOME", &folder.0).output().unwrap()
}

fn done(output: &Output) -> Printed {
    assert!(output.status.success(), "{}", said(output));
    Printed::new(&output.stdout)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_purpose_of_a_configuration_works_under_what_the_program_prints() {
    let (folder, proxy, old) = (Folder::new("aws-policy"), proxy(), new_key());
    let alias = new_alias("purpose", &new_key());
    let text = format!(
        "[purpose.orders]\nkeks = ['aws-kms:{alias}']\nopens_with = ['aws-kms:{old}']\n\
         context = {{ purpose = 'orders' }}\n"
    );
    fs::write(folder.join("kms.toml"), text).unwrap();
    fs::write(folder.join("a"), "two pounds of tea").unwrap();
    let purpose = ["--config", "kms.toml", "--purpose", "orders"];
    let policy = |more: &[&str]| {
        kms(
            &folder,
            &[&["policy", "aws"], &purpose[..], &["--region", REGION, "--principal", iam::ROLE], more]
                .concat(),
            &[],
        )
    };
    let all = policy(&["--account", ACCOUNT]);
    assert!(said(&all).contains("alias/purpose opens under the key that it points to"), "{}", said(&all));
    assert!(said(&policy(&[])).contains("does not say its account"));
    let (all, reader) = (done(&all), done(&policy(&["--for", "open"])));
    assert_eq!(proxy.requests().len(), 0);

    let env = vec![
        ("AWS_ENDPOINT_URL_KMS", format!("http://{}", proxy.at)),
        ("AWS_REGION", REGION.into()),
        ("AWS_ACCESS_KEY_ID", "AKIDMARKER".into()),
        ("AWS_SECRET_ACCESS_KEY", "SECRETMARKER".into()),
    ];
    let run = |args: &[&str]| {
        let ran = kms(&folder, args, &env);
        assert!(ran.status.success(), "{args:?}: {}", said(&ran));
    };
    run(&["seal", "a", "--kek", &format!("aws-kms:{old}"), "--context", "purpose=orders"]);
    proxy.forget();
    run(&[&["open", "a.kms", "--force"], &purpose[..]].concat());
    let key = admin(MOTO.at, "DescribeKey", json!({ "KeyId": alias }));
    let aliases = [(alias.as_str(), key["KeyMetadata"]["Arn"].as_str().unwrap())];
    let calls = || {
        let calls: Vec<_> = proxy.requests().iter().map(|request| Call::of(request, &aliases)).collect();
        proxy.forget();
        calls
    };
    let opened = calls();
    assert!(!reader.allows(&opened).contains(&false), "{opened:?}");
    run(&[&["rewrap", "a.kms"], &purpose[..]].concat());
    run(&[&["seal", "a", "--force"], &purpose[..]].concat());
    run(&[&["open", "a.kms", "--force"], &purpose[..]].concat());
    let asked = calls();
    for operation in ["GenerateDataKey", "Encrypt", "Decrypt", "DescribeKey"] {
        assert!(asked.iter().any(|call| call.operation == operation), "{operation}");
    }
    assert!(!all.allows(&asked).contains(&false), "{asked:?}");
    assert!(reader.allows(&asked).contains(&false));
}

#[test]
fn the_program_says_what_is_missing() {
    let folder = Folder::new("aws-policy-told");
    let run = |args: &str, env: &[(&str, String)]| kms(&folder, &args.split(' ').collect::<Vec<_>>(), env);
    for (args, says) in [
        ("policy aws", "name the KEKs"),
        ("policy aws --kek local:keys.json", "in AWS KMS"),
        ("policy aws --kek aws-kms:alias/x", "AWS_REGION"),
        ("policy aws --kek aws-kms:alias/x --region eu-central-1 --for", "--for"),
        ("policy aws --kek aws-kms:alias/x --region eu-central-1 --for sealing", "seal, open, rewrap"),
        ("policy aws --kek aws-kms:alias/x --region eu-central-1 --principal *", "principal"),
        ("policy aws --kek aws-kms:alias/x --region eu-central-1 --account 12", "12 digits"),
        (
            "policy aws --opens-with aws-kms:alias/x --region eu-central-1 --for seal",
            "nothing need be allowed",
        ),
        ("policy aws --config kms.toml --purpose orders", "kms.toml"),
    ] {
        let refused = run(args, &[]);
        assert!(refused.stdout.is_empty() && said(&refused).contains(says), "{args}: {}", said(&refused));
        assert_eq!(refused.status.code(), Some(if args.contains("toml") { 1 } else { 2 }), "{args}");
    }
    // A keyring that is not there is nothing to be missed; the region is that of the AWS tools.
    let args = "policy aws --kek aws-kms:alias/x --kek local:nowhere.json --any-value tenant";
    let printed = run(args, &[("AWS_REGION", "eu-west-1".into())]);
    let text = String::from_utf8_lossy(&printed.stdout);
    assert!(text.contains("arn:aws:kms:eu-west-1:*:key/*") && text.contains("REPLACE-WITH"), "{text}");
    assert!(said(&printed).contains("local:nowhere.json is not in AWS KMS"), "{}", said(&printed));
    assert!(said(&printed).contains("no principal is named"), "{}", said(&printed));
}
