//! Whatever AWS, the network and the credentials can do: a kind, a message that says what to
//! do, and nothing that is nobody's business.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/proxy.rs"]
mod proxy;

use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError, future};
use common::{Folder, context};
use libkms::{
    Aad, Dek, EncryptionContext, Error,
    ErrorKind::{self, *},
    Kms, OutagePolicy, Wait, WrappedDek,
    kek::{AwsKms, KmsBackend},
};
use moto::*;
use proxy::Answer;
use serde_json::{Value, json};
use std::{
    error::Error as _,
    net::{SocketAddr, TcpListener},
    process::Command,
    time::{Duration, Instant, SystemTime},
};

type Edit = fn(&mut Value);
type Provides = fn() -> CredentialsError;

const OPERATIONS: [&str; 4] = ["GenerateDataKey", "Encrypt", "Decrypt", "DescribeKey"];
/// Of credentials, the context, and what AWS says of accounts.
const MARKERS: [&str; 6] =
    ["AKIDMARKER", "SECRETMARKER", "TOKENMARKER", "CONTEXTMARKER", "ACCOUNTMARKER", "999900001111"];

/// A KEK, and what it wrapped while all was well.
struct Asks {
    kek: AwsKms,
    dek: Dek,
    wrapped: WrappedDek,
    context: EncryptionContext,
}

impl Asks {
    fn new(at: SocketAddr, key: &str) -> Self {
        let kek = AwsKms::from_client(client(at), key).unwrap();
        let context = context(&[("purpose", "CONTEXTMARKER")]);
        let (dek, wrapped) = kek.generate_dek(&context).wait().unwrap();
        Self { kek, dek, wrapped, context }
    }

    fn ask(&self, operation: &str) -> Result<(), Error> {
        let Self { kek, dek, wrapped, context } = self;
        match operation {
            "GenerateDataKey" => kek.generate_dek(context).wait().map(drop),
            "Encrypt" => kek.wrap_dek(dek, context).wait().map(drop),
            "Decrypt" => kek.unwrap_dek(wrapped, context).wait().map(drop),
            _ => kek.current_key().wait().map(drop),
        }
    }
}

/// Row 35.
fn tells_nothing(error: &Error) {
    let mut all = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(e) = source {
        all += &format!("{e} {e:?}");
        source = e.source();
    }
    for marker in MARKERS {
        assert!(!all.contains(marker), "{marker} in {all}");
    }
}

#[test]
fn f35_every_refusal_has_a_kind_and_says_what_to_do() {
    let (proxy, key) = (proxy(), new_key());
    let asks = Asks::new(proxy.at, &key);
    let table: &[(u16, &str, ErrorKind, &str)] = &[
        (400, "AccessDeniedException", Denied, "IAM policy"),
        (400, "NotFoundException", Denied, "region"),
        (400, "DisabledException", Denied, "disabled"),
        (400, "KMSInvalidStateException", Denied, "deletion"),
        (400, "ExpiredTokenException", Denied, "renew"),
        (403, "ExpiredToken", Denied, "renew"),
        (400, "UnrecognizedClientException", Denied, "access key"),
        (403, "InvalidClientTokenId", Denied, "access key"),
        (400, "IncompleteSignatureException", Denied, "credentials"),
        (403, "MissingAuthenticationTokenException", Denied, "credentials"),
        (400, "InvalidSignatureException", Denied, "secret access key"),
        (403, "SignatureDoesNotMatch", Denied, "secret access key"),
        (400, "InvalidGrantTokenException", Denied, "grant"),
        (400, "InvalidKeyUsageException", Misuse, "symmetric"),
        (400, "InvalidArnException", Misuse, "ARN"),
        (400, "UnsupportedOperationException", Misuse, "does not support"),
        (400, "ValidationException", Limit, "too large"),
        (400, "ThrottlingException", Unavailable, "throttled"),
        (400, "LimitExceededException", Unavailable, "quota"),
        (429, "TooManyRequestsException", Unavailable, "quota"),
        (500, "KeyUnavailableException", Unavailable, "not available"),
        (503, "DependencyTimeoutException", Unavailable, "failed"),
        (500, "KMSInternalException", Unavailable, "failed"),
        (500, "InternalFailure", Unavailable, "failed"),
        (503, "ServiceUnavailableException", Unavailable, "unavailable"),
        (400, "SomethingNewException", Denied, "SomethingNewException"),
        (500, "SomethingNewException", Unavailable, "SomethingNewException"),
        (400, "com.amazonaws.kms#DisabledException", Denied, "disabled"),
        (400, "ACCOUNT MARKER <br>", BadReply, "HTTP 400"),
    ];
    for (status, code, kind, says) in table {
        for operation in OPERATIONS {
            asks.ask("DescribeKey").unwrap();
            proxy.forget();
            proxy.then(operation, Answer::refusal(*status, code));
            let refused = asks.ask(operation).unwrap_err();
            assert_eq!(refused.kind(), *kind, "{code} to {operation}: {refused}");
            let text = refused.to_string();
            let place = format!("kms:{operation} in {REGION}");
            for part in [*says, &place, "request 11112222-3333-4444-5555-666677778888"] {
                assert!(text.contains(part), "{code}: no {part:?} in {text}");
            }
            assert!(!text.contains("MARKER <"), "{text}");
            tells_nothing(&refused);
            assert_eq!(refused.is_retryable(), *kind == Unavailable);
            assert_eq!(proxy.count(operation), 1, "{code}: the SDK's retries are off");
        }
    }
}

/// Rule 3 for readers: one text for wrong keys, contexts and altered bytes.
#[test]
fn what_does_not_open_is_one_error() {
    let (proxy, key) = (proxy(), new_key());
    let asks = Asks::new(proxy.at, &key);
    for code in ["InvalidCiphertextException", "IncorrectKeyException"] {
        proxy.then("Decrypt", Answer::refusal(400, code));
        let refused = asks.ask("Decrypt").unwrap_err();
        assert_eq!(
            (refused.kind(), &*refused.to_string()),
            (Authentication, "not authentic under this key, context and aad")
        );
    }
    // moto itself: another context, and a flipped bit.
    let refused = asks.kek.unwrap_dek(&asks.wrapped, &context(&[("purpose", "other")])).wait().unwrap_err();
    assert_eq!(refused.kind(), Authentication);
    // What KMS would not take is not sent.
    proxy.forget();
    for n in [0, 6145, 32768] {
        let long = WrappedDek::new(asks.wrapped.key_id.clone(), vec![7; n]);
        assert_eq!(asks.kek.unwrap_dek(&long, &asks.context).wait().unwrap_err().kind(), Authentication);
    }
    assert_eq!(proxy.count("*"), 0);
}

#[test]
fn a_throttled_call_says_when_to_come_back() {
    let (proxy, key) = (proxy(), new_key());
    let asks = Asks::new(proxy.at, &key);
    for (value, time) in [("7", Some(7)), ("soon", None), ("-1", None)] {
        let throttled = Answer::refusal(400, "ThrottlingException").with("retry-after", value);
        proxy.then("Decrypt", throttled);
        let refused = asks.ask("Decrypt").unwrap_err();
        assert_eq!(refused.retry_after(), time.map(Duration::from_secs), "{value}");
    }
    proxy.then("Decrypt", Answer::refusal(400, "AccessDeniedException").with("retry-after", "7"));
    assert_eq!(asks.ask("Decrypt").unwrap_err().retry_after(), None);
}

#[test]
fn a_wrong_clock_is_told() {
    let (proxy, key) = (proxy(), new_key());
    let asks = Asks::new(proxy.at, &key);
    let date = |off: i64| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        let date = aws_sdk_kms::primitives::DateTime::from_secs(now + off);
        date.fmt(aws_sdk_kms::primitives::DateTimeFormat::HttpDate).unwrap()
    };
    for (off, says) in [(-900, "ahead of"), (900, "behind"), (0, "secret access key")] {
        proxy.then("Decrypt", Answer::refusal(400, "InvalidSignatureException").with("date", &date(off)));
        let refused = asks.ask("Decrypt").unwrap_err();
        assert!(refused.to_string().contains(says), "{off}: {refused}");
        assert_eq!(refused.to_string().contains("clock"), off != 0, "{off}: {refused}");
    }
}

/// Row 39: replies that no KMS should give.
#[test]
fn f39_replies_that_are_none_are_not_believed() {
    let (proxy, key) = (proxy(), new_key());
    let asks = Asks::new(proxy.at, &key);
    let remove = |name: &'static str| -> Edit {
        match name {
            "KeyId" => |v| drop(v.as_object_mut().unwrap().remove("KeyId")),
            "Plaintext" => |v| drop(v.as_object_mut().unwrap().remove("Plaintext")),
            "CiphertextBlob" => |v| drop(v.as_object_mut().unwrap().remove("CiphertextBlob")),
            _ => |v| drop(v["KeyMetadata"].as_object_mut().unwrap().remove("Arn")),
        }
    };
    const OTHER: &str = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555";
    let edits: &[(&str, Edit)] = &[
        ("GenerateDataKey", remove("KeyId")),
        ("GenerateDataKey", remove("Plaintext")),
        ("GenerateDataKey", remove("CiphertextBlob")),
        ("GenerateDataKey", |v| v["KeyId"] = json!(OTHER)),
        ("GenerateDataKey", |v| v["KeyId"] = json!("alias/orders")),
        ("GenerateDataKey", |v| v["KeyId"] = json!("")),
        ("GenerateDataKey", |v| v["Plaintext"] = json!("AAAA")),
        ("GenerateDataKey", |v| v["Plaintext"] = json!("")),
        ("GenerateDataKey", |v| v["Plaintext"] = json!("A".repeat(64))),
        ("GenerateDataKey", |v| v["KeyMaterialId"] = json!("../../x")),
        ("GenerateDataKey", |v| v["Plaintext"] = json!("!")),
        ("GenerateDataKey", |v| v["Plaintext"] = json!({ "a": [1] })),
        ("GenerateDataKey", |v| *v = json!([])),
        ("GenerateDataKey", |v| *v = json!("text")),
        ("GenerateDataKey", |v| *v = json!({})),
        ("GenerateDataKey", |v| *v = Value::Null),
        ("Encrypt", remove("KeyId")),
        ("Encrypt", remove("CiphertextBlob")),
        ("Encrypt", |v| v["KeyId"] = json!(OTHER)),
        ("Encrypt", |v| *v = json!(7)),
        ("Decrypt", remove("KeyId")),
        ("Decrypt", remove("Plaintext")),
        ("Decrypt", |v| v["KeyId"] = json!(OTHER)),
        ("Decrypt", |v| v["Plaintext"] = json!("AAAA")),
        ("Decrypt", |v| v["Plaintext"] = json!("A".repeat(4000))),
        ("Decrypt", |v| *v = json!({})),
        ("DescribeKey", remove("KeyMetadata.Arn")),
        ("DescribeKey", |v| v["KeyMetadata"]["Arn"] = json!(OTHER)),
        ("DescribeKey", |v| v["KeyMetadata"]["CurrentKeyMaterialId"] = json!("x")),
        ("DescribeKey", |v| *v = json!({ "KeyMetadata": null })),
        ("DescribeKey", |v| *v = json!({ "KeyMetadata": { "KeyId": 7 } })),
    ];
    for (i, (operation, edit)) in edits.iter().enumerate() {
        asks.ask("DescribeKey").unwrap();
        proxy.then(operation, Answer::Edit(*edit));
        let refused = asks.ask(operation).expect_err(&format!("edit {i} of {operation}"));
        assert_eq!(refused.kind(), BadReply, "edit {i} of {operation}: {refused}");
        tells_nothing(&refused);
        asks.ask(operation).unwrap();
    }
    // What has a wrong length for the format never gets into a header.
    for edit in [
        |v: &mut Value| v["CiphertextBlob"] = json!(""),
        |v: &mut Value| v["CiphertextBlob"] = json!("A".repeat(60_000)),
    ] {
        let scope = common::scope(AwsKms::from_client(client(proxy.at), &key).unwrap(), &[]);
        proxy.then("GenerateDataKey", Answer::Edit(edit));
        assert_eq!(scope.seal(Aad::empty(), b"x").wait().unwrap_err().kind(), BadReply);
    }
}

#[test]
fn a_network_that_fails_is_unavailable() {
    let (proxy, key) = (proxy(), new_key());
    let asks = Asks::new(proxy.at, &key);
    let faults: &[(Answer, ErrorKind, &str)] = &[
        (Answer::ResetBefore, Unavailable, "reached"),
        (Answer::ResetAfter, Unavailable, "reached"),
        (Answer::Truncate, Unavailable, "reply"),
        (Answer::Garble, BadReply, "cannot be read"),
        (Answer::html(500), Unavailable, "HTTP 500"),
        (Answer::html(502), Unavailable, "HTTP 502"),
        (Answer::html(403), BadReply, "HTTP 403"),
        (Answer::html(200), BadReply, "HTTP 200"),
        (Answer::html(301), BadReply, "HTTP 301"),
    ];
    for (i, (fault, kind, says)) in faults.iter().enumerate() {
        for operation in OPERATIONS {
            asks.ask("DescribeKey").unwrap();
            proxy.forget();
            proxy.then(operation, fault.clone());
            let refused = asks.ask(operation).expect_err(&format!("fault {i} of {operation}"));
            assert_eq!(refused.kind(), *kind, "fault {i} of {operation}: {refused}");
            assert!(refused.to_string().contains(says), "fault {i} of {operation}: {refused}");
            tells_nothing(&refused);
            assert_eq!(proxy.count(operation), 1);
            asks.ask(operation).unwrap();
        }
    }
    // Nobody listens there, and nobody has that name.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (endpoint, says) in
        [(format!("http://{nobody}"), "refused"), ("http://kms.invalid".into(), "host name")]
    {
        let config = client(proxy.at).config().to_builder().endpoint_url(endpoint).build();
        let kek = AwsKms::from_client(aws_sdk_kms::Client::from_conf(config), &key).unwrap();
        let refused = kek.current_key().wait().unwrap_err();
        assert!(refused.kind() == Unavailable && refused.to_string().contains(says), "{refused}");
        tells_nothing(&refused);
    }
}

/// libkms's time-out counts, and what it gave up goes away.
#[test]
fn answers_that_drip_or_never_come_are_given_up() {
    let (proxy, key) = (proxy(), new_key());
    let asks = Asks::new(proxy.at, &key);
    let policy = OutagePolicy::default().call_timeout(Duration::from_millis(200));
    for fault in [Answer::Hang, Answer::Drip(Duration::from_millis(20)), Answer::Late(Duration::from_secs(2))]
    {
        let kms = Kms::builder().kek(asks.kek.clone()).outage_policy(policy.clone()).build().unwrap();
        proxy.always("*", fault);
        let began = Instant::now();
        let refused = kms.scope(asks.context.clone()).seal(Aad::empty(), b"x").wait().unwrap_err();
        assert_eq!(refused.kind(), Unavailable, "{refused}");
        let says = format!("aws-kms:{key} in {REGION}: no answer within 200ms");
        assert!(refused.to_string().contains(&says), "{refused}");
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        proxy.pass();
        asks.ask("GenerateDataKey").unwrap();
    }
    proxy.always("*", Answer::Drip(Duration::from_micros(50)));
    OPERATIONS.iter().for_each(|operation| asks.ask(operation).unwrap());
}

/// The answer of another call: another DEK, which the header does not commit to.
#[test]
fn a_stale_reply_opens_nothing() {
    let (proxy, key) = (proxy(), new_key());
    let scope = || common::scope(AwsKms::from_client(client(proxy.at), &key).unwrap(), &[]);
    let sealed =
        [scope().seal(Aad::empty(), b"1").wait().unwrap(), scope().seal(Aad::empty(), b"2").wait().unwrap()];
    scope().open(Aad::empty(), &sealed[0]).wait().unwrap();
    proxy.then("Decrypt", Answer::Stale);
    assert_eq!(scope().open(Aad::empty(), &sealed[1]).wait().unwrap_err().kind(), Authentication);
    scope().open(Aad::empty(), &sealed[1]).wait().unwrap();
}

#[test]
fn keys_that_are_disabled_or_to_be_deleted_are_refused_and_come_back() {
    let (proxy, key) = (proxy(), new_key());
    let asks = Asks::new(proxy.at, &key);
    let id = json!({ "KeyId": key.rsplit('/').next().unwrap() });
    let refused = |says: &str| {
        for operation in &OPERATIONS[..3] {
            let refused = asks.ask(operation).unwrap_err();
            assert!(refused.kind() == Denied && refused.to_string().contains(says), "{refused}");
        }
    };
    admin(proxy.at, "DisableKey", id.clone());
    refused("disabled");
    admin(proxy.at, "EnableKey", id.clone());
    OPERATIONS.iter().for_each(|operation| asks.ask(operation).unwrap());
    admin(proxy.at, "ScheduleKeyDeletion", id.clone());
    refused("deletion");
    admin(proxy.at, "CancelKeyDeletion", id.clone());
    refused("disabled");
}

/// Credentials that cannot be had.
#[derive(Debug)]
struct Broken(Provides);

impl ProvideCredentials for Broken {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(self.0()))
    }
}

#[test]
fn credentials_that_cannot_be_had_are_told_from_a_network_that_fails() {
    let (proxy, key) = (proxy(), new_key());
    let table: [(Provides, ErrorKind, &str); 5] = [
        (|| CredentialsError::not_loaded("SECRETMARKER"), Misuse, "AWS_ACCESS_KEY_ID"),
        (|| CredentialsError::invalid_configuration("SECRETMARKER"), Misuse, "profile"),
        (|| CredentialsError::provider_error("SECRETMARKER"), Unavailable, "login"),
        (|| CredentialsError::provider_timed_out(Duration::from_secs(1)), Unavailable, "login"),
        (|| CredentialsError::unhandled("SECRETMARKER"), Unavailable, "login"),
    ];
    for (error, kind, says) in table {
        let config = client(proxy.at).config().to_builder().credentials_provider(Broken(error)).build();
        let kek = AwsKms::from_client(aws_sdk_kms::Client::from_conf(config), &key).unwrap();
        let refused = kek.current_key().wait().unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
        tells_nothing(&refused);
    }
    assert_eq!(proxy.count("*"), 0);
}

/// Row 40. The root certificates are those of a file, which only a process of its own can
/// be given.
#[test]
fn f40_a_certificate_that_is_not_right_is_refused_and_nothing_is_sent() {
    let folder = Folder::new("aws-tls");
    for (kind, says) in [
        ("right", "IAM policy"),
        ("other-host", "another host's"),
        ("expired", "expired"),
        ("stranger", "unknown issuer"),
        ("impostor", "not valid"),
        ("self-signed", "unknown issuer"),
    ] {
        let mut server = Server::start("tls.py", &[folder.0.to_str().unwrap(), kind]);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "asks_over_tls", "--ignored", "--nocapture"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", &folder.0)
            .env("SSL_CERT_FILE", folder.join("ca.pem"))
            .env("AWS_ENDPOINT_URL_KMS", format!("https://localhost:{}", server.at.port()))
            .env("AWS_ACCESS_KEY_ID", "AKIDMARKER")
            .env("AWS_SECRET_ACCESS_KEY", "SECRETMARKER")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(said.contains(says), "{kind}: {said}");
        let is_right = kind == "right";
        assert_eq!(said.contains("nothing was sent"), !is_right, "{kind}: {said}");
        assert_eq!(server.end(), if is_right { "asked\n" } else { "" }, "{kind}");
    }
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn asks_over_tls() {
    let kek = libkms::kek::from_uri("aws-kms:alias/orders?region=eu-central-1").wait();
    println!("{}", kek.ok().unwrap().current_key().wait().unwrap_err());
}
