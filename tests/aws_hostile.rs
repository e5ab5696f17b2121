//! Whoever wants to break it by way of AWS: logs that say too much.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/program.rs"]
mod program;
#[path = "common/proxy.rs"]
mod proxy;

use common::{Folder, context};
use libkms::{
    Dek, Wait,
    kek::{AwsKms, KmsBackend},
};
use moto::*;
use program::run;
use proxy::Answer;
use std::{fmt, process::Command};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Logs everything that anybody says, at any level.
struct Everything;

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut Say(span.metadata().target()));
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Say("span"));
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut Say(event.metadata().target()));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Say<'a>(&'a str);

impl Visit for Say<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        println!("log: {} {field}: {value:?}", self.0);
    }
}

/// Row 35, of the SDK's own logs.
#[test]
fn f35_the_sdk_logs_no_dek_however_much_it_logs() {
    let folder = Folder::new("aws-logs");
    let env = [("LIBKMS_TEST_KEY", new_key()), ("LIBKMS_TEST_AT", MOTO.at.to_string())];
    let said = in_a_process("logs_everything", &folder, &env);
    let deks: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("dek: ")).collect();
    assert_eq!(deks.len(), 3);
    let logs: Vec<_> = said.lines().filter(|line| line.starts_with("log: ")).collect();
    assert!(logs.iter().any(|l| l.contains("transmitting request")), "the SDK logs: {}", logs.len());
    for secret in deks.into_iter().chain(["SECRETMARKER"]) {
        let with: Vec<_> = logs.iter().filter(|l| l.contains(secret)).collect();
        assert!(with.is_empty(), "{secret} in {with:#?}");
    }
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn logs_everything() {
    tracing::subscriber::set_global_default(Everything).unwrap();
    let var = |name| std::env::var(name).unwrap();
    let kek =
        AwsKms::from_client(client(var("LIBKMS_TEST_AT").parse().unwrap()), &var("LIBKMS_TEST_KEY")).unwrap();
    let context = context(&[("purpose", "orders")]);
    let (dek, wrapped) = kek.generate_dek(&context).wait().unwrap();
    kek.unwrap_dek(&wrapped, &context).wait().unwrap();
    let other = Dek::generate().unwrap();
    kek.wrap_dek(&other, &context).wait().unwrap();
    let bytes = other.expose().unwrap();
    // As it is sent, and as bytes are shown.
    let as_sent = common::base64(dek.expose().unwrap());
    println!(
        "\ndek: {as_sent}\ndek: {}\ndek: {}",
        common::base64(bytes),
        format!("{bytes:?}").trim_matches(['[', ']'])
    );
}

/// Nor what signs, wherever it comes from.
#[test]
fn f35_the_sdk_logs_no_secret_key_however_much_it_logs() {
    let (folder, proxy, key) = (Folder::new("aws-login-logs"), proxy(), new_key());
    let write = |path: &str, text: &str| {
        std::fs::write(folder.join(path), text).unwrap();
        folder.join(path).to_str().unwrap().to_owned()
    };
    let given = r#"{"Version":1,"AccessKeyId":"ASIAX","SecretAccessKey":"SECRETMARKER","SessionToken":"T",
        "Token":"T","Expiration":"2999-01-01T00:00:00Z"}"#;
    let keys = "aws_access_key_id = AKIDX\naws_secret_access_key = SECRETMARKER\n";
    let role = "arn:aws:iam::123456789012:role/x";
    let profiles = format!(
        "[profile keys]\n{keys}[profile role]\nsource_profile = keys\nrole_arn = {role}\n\
         [profile process]\ncredential_process = cat given\n"
    );
    let (config, token) = (write("config", &profiles), write("token", "WEBMARKER"));
    write("given", given);
    proxy.always("/credentials", Answer::Reply(200, vec![], given.into()));
    let url = |path: &str| format!("http://{}{path}", proxy.at);
    let profile = |name: &str| vec![("AWS_PROFILE", name.to_owned())];
    for source in [
        vec![("AWS_ACCESS_KEY_ID", "AKIDX".into()), ("AWS_SECRET_ACCESS_KEY", "SECRETMARKER".into())],
        profile("keys"),
        profile("role"),
        profile("process"),
        vec![("AWS_ROLE_ARN", role.into()), ("AWS_WEB_IDENTITY_TOKEN_FILE", token)],
        vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", url("/credentials"))],
    ] {
        let mut env = vec![
            ("AWS_ENDPOINT_URL", url("")),
            ("AWS_CONFIG_FILE", config.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("LIBKMS_TEST_KEY", format!("aws-kms:{key}")),
        ];
        env.extend(source.clone());
        let said = in_a_process("logs_a_login", &folder, &env);
        assert!(said.contains("transmitting request"), "{source:?}");
        for secret in ["SECRETMARKER", "WEBMARKER"] {
            let with: Vec<_> = said.lines().filter(|l| l.contains(secret)).collect();
            assert!(with.is_empty(), "{secret} in {with:#?}");
        }
    }
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn logs_a_login() {
    tracing::subscriber::set_global_default(Everything).unwrap();
    let kek = libkms::kek::from_uri(&std::env::var("LIBKMS_TEST_KEY").unwrap()).wait().unwrap();
    kek.current_key().wait().unwrap();
}

fn in_a_process(test: &str, folder: &Folder, env: &[(&str, String)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--ignored", "--nocapture"]);
    let ran = run(child, folder, env);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}");
    said
}
