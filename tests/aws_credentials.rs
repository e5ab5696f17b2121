//! Credentials as the AWS tools take them, each from where it really comes: files, programs,
//! moto's STS, metadata services on loopback. And that they are renewed while a process runs.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/program.rs"]
mod program;
#[path = "common/proxy.rs"]
mod proxy;
#[path = "common/tunnel.rs"]
mod tunnel;
#[path = "common/asker.rs"]
mod asker;

use asker::{World, access};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, future},
};
use aws_sdk_kms::{
    Client,
    primitives::{DateTime, DateTimeFormat},
};
use libkms::{
    EncryptionContext, KeyId, Wait, WrappedDek,
    kek::{AwsKms, KmsBackend},
};
use moto::*;
use proxy::Answer;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::SystemTime,
};
use tunnel::Tunnel;

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", "x")];

#[test]
#[ignore = "run by other tests, in a process of its own"]
fn asks() {
    asker::asks();
}

fn profile(name: &str, access: &str) -> String {
    format!("[{name}]\naws_access_key_id = {access}\naws_secret_access_key = SECRETMARKER\n")
}

/// As a date of RFC 3339.
fn in_seconds(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    DateTime::from_secs((now + seconds) as i64).fmt(DateTimeFormat::DateTime).unwrap()
}

/// So short that whoever has them fetches others for the next call: the SDK does so 5 to 10 s
/// before the end.
const BRIEF: u64 = 4;

/// As programs, containers and machines tell them.
fn credentials(access: &str, seconds: u64) -> String {
    let until = in_seconds(seconds);
    json!({
        "Version": 1, "Code": "Success", "AccessKeyId": access, "SecretAccessKey": "SECRETMARKER",
        "SessionToken": "TOKENMARKER", "Token": "TOKENMARKER", "Expiration": until,
    })
    .to_string()
}

fn reply(text: String) -> Answer {
    Answer::Reply(200, vec![("content-type", "application/json".into())], text)
}

#[test]
fn profiles_come_from_where_the_environment_says() {
    let world =
        World::new("profiles", &(profile("default", "AKIDDEFAULT") + &profile("profile shop", "AKIDSHOP")));
    assert_eq!(world.access(&[], "KEY"), "AKIDDEFAULT");
    assert_eq!(world.access(&[("AWS_PROFILE", "shop")], "KEY"), "AKIDSHOP");
    assert_eq!(world.access(&[], "KEY?profile=shop"), "AKIDSHOP");
    world.write(".aws/credentials", &profile("shop", "AKIDFILE"));
    assert_eq!(world.access(&[("AWS_PROFILE", "shop")], "KEY"), "AKIDFILE", "that file comes first");
    let config = world.write("config", "[profile far]\nregion = us-west-2\n");
    let secrets = world.write("secrets", &profile("far", "AKIDFAR"));
    let far =
        [("AWS_CONFIG_FILE", &*config), ("AWS_SHARED_CREDENTIALS_FILE", &*secrets), ("AWS_PROFILE", "far")];
    assert_eq!(world.access(&far, "KEY"), "AKIDFAR");
    world.proxy.forget();
    world.asker(&far, "aws-kms:alias/orders").ask();
    assert_eq!(world.first("DescribeKey").region, OTHER_REGION);
    assert_eq!(world.access(&[KEYS[0], KEYS[1], ("AWS_PROFILE", "far")], "KEY"), "AKIDENV");
}

#[test]
fn a_role_is_assumed_by_way_of_a_profile() {
    let role =
        "role_arn = arn:aws:iam::123456789012:role/opener\nexternal_id = EXTERNAL\nrole_session_name = me\n";
    let config = profile("profile base", "AKIDBASE")
        + &format!("[profile shop]\nsource_profile = base\n{role}")
        + &format!("[profile pod]\ncredential_source = EcsContainer\n{role}");
    let world = World::new("role", &config);
    let url = world.url("/v1/credentials");
    world.proxy.always("/v1/credentials", reply(credentials("ASIAPOD", 3600)));
    for (name, by) in [("shop", "AKIDBASE"), ("pod", "ASIAPOD")] {
        let env = [("AWS_PROFILE", name), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url)];
        let (assumed, token) = world.asked(&mut world.asker(&env, "KEY"));
        assert!(assumed.starts_with("ASIA") && assumed != by && token.len() > 20, "{assumed} {token}");
        let asked = world.first("AssumeRole");
        assert_eq!((&*access(&asked), &*asked.region), (by, REGION));
        for part in ["role%2Fopener", "RoleSessionName=me", "ExternalId=EXTERNAL"] {
            assert!(asked.text.contains(part), "{part} in {}", asked.text);
        }
    }
}

#[test]
fn credentials_of_a_program_are_renewed_while_the_process_runs() {
    let world = World::new("process", "[default]\ncredential_process = ./give\n");
    world.program("give", "echo run >>runs; cat credentials");
    let runs = || std::fs::read_to_string(world.folder.join("runs")).unwrap().lines().count();
    world.write("credentials", &credentials("ASIAONE", BRIEF));
    let mut asker = world.asker(&[], "KEY");
    assert_eq!(world.asked(&mut asker), ("ASIAONE".into(), "TOKENMARKER".into()));
    world.write("credentials", &credentials("ASIATWO", 3600));
    for _ in 0..3 {
        assert_eq!(world.asked(&mut asker).0, "ASIATWO");
    }
    assert_eq!(runs(), 2);
}

/// EKS, roles for service accounts.
#[test]
fn a_web_identity_is_exchanged_and_its_token_read_again() {
    let world = World::new("web", "");
    let token = world.write("token", "WEBONE");
    let role = "arn:aws:iam::123456789012:role/pod";
    let env = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &*token),
        ("AWS_ROLE_ARN", role),
        ("AWS_ROLE_SESSION_NAME", "pod-7"),
    ];
    let until = in_seconds(BRIEF);
    let brief = format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
         <AccessKeyId>ASIABRIEF</AccessKeyId><SecretAccessKey>SECRETMARKER</SecretAccessKey>\
         <SessionToken>TOKENMARKER</SessionToken><Expiration>{until}</Expiration>\
         </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    let operation = "AssumeRoleWithWebIdentity";
    world.proxy.then(operation, Answer::Reply(200, vec![("content-type", "text/xml".into())], brief));
    let mut asker = world.asker(&env, "KEY");
    assert_eq!(world.asked(&mut asker), ("ASIABRIEF".into(), "TOKENMARKER".into()));
    let asked = world.first(operation);
    assert!(asked.header("authorization").is_none(), "nobody signs this: the token counts");
    for part in ["role%2Fpod", "RoleSessionName=pod-7", "WebIdentityToken=WEBONE"] {
        assert!(asked.text.contains(part), "{part} in {}", asked.text);
    }
    // From here on moto's STS.
    world.write("token", "WEBTWO");
    assert!(world.asked(&mut asker).0.starts_with("ASIA"));
    assert!(world.first(operation).text.contains("WebIdentityToken=WEBTWO"));
    world.asked(&mut asker);
    assert_eq!(world.proxy.count(operation), 0, "good for an hour");
}

/// ECS, and EKS with pod identities: also where a proxy is named for everything else.
#[test]
fn credentials_of_a_container_never_pass_a_proxy() {
    let (world, tunnel) = (World::new("container", ""), Tunnel::start());
    let (token, url, by) =
        (world.write("token", "PODONE"), world.url("/v1/credentials"), format!("http://{}", tunnel.at));
    let env = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &*token),
        ("HTTP_PROXY", &*by),
        ("HTTPS_PROXY", &*by),
    ];
    world.proxy.always("/v1/credentials", reply(credentials("ASIAPOD", BRIEF)));
    let mut asker = world.asker(&env, "KEY");
    for token in ["PODONE", "PODTWO"] {
        world.write("token", token);
        assert_eq!(world.asked(&mut asker), ("ASIAPOD".into(), "TOKENMARKER".into()));
        assert_eq!(world.first("/v1/credentials").header("authorization"), Some(token));
    }
    assert!(tunnel.seen().is_empty());
    // Only loopback and the addresses that AWS has for this may be asked in plain text.
    let mut asker = world.asker(
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "PODMARKER"),
        ],
        "KEY",
    );
    let refused = asker.ask();
    assert!(refused.starts_with("Misuse") && !refused.contains("PODMARKER"), "{refused}");
}

/// EC2. The older way, without a session's token, is never tried.
#[test]
fn credentials_and_region_of_a_machine_are_asked_for_with_a_token() {
    let (world, at) = (World::new("machine", ""), "/latest/meta-data/iam/security-credentials/");
    let token = vec![("x-aws-ec2-metadata-token-ttl-seconds", "21600".into())];
    world.proxy.always("/latest/api/token", Answer::Reply(200, token, "IMDSTOKEN".into()));
    world.proxy.always(at, reply("role".into()));
    world.proxy.always(&format!("{at}role"), reply(credentials("ASIAIMDS", BRIEF)));
    world.proxy.always("/latest/meta-data/placement/region", reply(OTHER_REGION.into()));
    let service = world.url("");
    let env = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*service),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
    ];
    let mut asker = world.asker(&env, "KEY");
    assert_eq!(world.asked(&mut asker), ("ASIAIMDS".into(), "TOKENMARKER".into()));
    world.proxy.always(&format!("{at}role"), reply(credentials("ASIANEXT", 3600)));
    assert_eq!(world.asked(&mut asker).0, "ASIANEXT");

    world.proxy.forget();
    world.asker(&env, "aws-kms:alias/orders").ask();
    let requests = world.proxy.requests();
    assert_eq!(requests.last().map(|r| &*r.region), Some(OTHER_REGION), "where the machine is");
    for request in requests.iter().filter(|r| r.path.starts_with("/latest/")) {
        let is_put = request.operation == "/latest/api/token";
        let expected = if is_put { ("PUT", None) } else { ("GET", Some("IMDSTOKEN")) };
        assert_eq!((&*request.method, request.header("x-aws-ec2-metadata-token")), expected);
    }

    world.proxy.forget();
    world.proxy.always("/latest/api/token", Answer::Reply(404, vec![], String::new()));
    let refused = world.asker(&env, "KEY").ask();
    assert!(refused.contains("credentials"), "{refused}");
    assert!(world.proxy.requests().iter().all(|r| r.method == "PUT"));
    world.proxy.forget();
    let refused = world.asker(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*service)], "KEY").ask();
    assert!(refused.starts_with("Misuse") && refused.contains("AWS_ACCESS_KEY_ID"), "{refused}");
    assert_eq!(world.proxy.count("*"), 0, "it is disabled");
}

/// What `aws sso login` left there; the token's file is named by the session's SHA-1.
#[test]
fn a_login_by_sso_is_taken() {
    let config = "[default]\nsso_session = shop\nsso_account_id = 123456789012\nsso_role_name = opener\n\
                  [sso-session shop]\nsso_region = eu-west-1\nsso_start_url = https://shop.example/start\n";
    let world = World::new("sso", config);
    std::fs::create_dir_all(world.folder.join(".aws/sso/cache")).unwrap();
    let given = json!({ "roleCredentials": {
        "accessKeyId": "ASIASSO", "secretAccessKey": "SECRETMARKER", "sessionToken": "TOKENMARKER",
        "expiration": 32_503_680_000_000_u64,
    } });
    let path = "/federation/credentials?role_name=opener&account_id=123456789012";
    world.proxy.always(path, reply(given.to_string()));
    let env = [("AWS_ENDPOINT_URL_SSO", &*world.url(""))];
    let mut asker = world.asker(&env, "KEY");
    let refused = asker.ask();
    assert!(refused.starts_with("Unavailable") && refused.contains("renew the login"), "{refused}");
    let token = json!({
        "accessToken": "SSOTOKEN", "expiresAt": in_seconds(3600), "region": "eu-west-1",
        "startUrl": "https://shop.example/start",
    });
    world.write(".aws/sso/cache/5042d146667518a1a5017644946b8650aafca44c.json", &token.to_string());
    assert_eq!(world.asked(&mut asker), ("ASIASSO".into(), "TOKENMARKER".into()));
    assert_eq!(world.first(path).header("x-amz-sso_bearer_token"), Some("SSOTOKEN"));
}

#[test]
fn a_profile_that_the_uri_names_comes_before_the_environment() {
    let role = "role_arn = arn:aws:iam::123456789012:role/opener\n";
    let config = profile("profile shop", "AKIDSHOP")
        + &format!("[profile env]\ncredential_source = Environment\n{role}")
        + "[profile bare]\nregion = us-west-2\n";
    let world = World::new("named-profile", &config);
    assert_eq!(world.access(&KEYS, "KEY?profile=shop"), "AKIDSHOP");
    assert!(world.access(&KEYS, "KEY?profile=env").starts_with("ASIA"));
    assert_eq!(access(&world.first("AssumeRole")), "AKIDENV");
    for name in ["bare", "shpo"] {
        let refused = world.asker(&KEYS, &format!("KEY?profile={name}")).ask();
        assert!(refused.starts_with("Misuse"), "{name}: {refused}");
    }
    // For FIPS the SDK cannot be told to ask the role's STS accordingly.
    let refused = world.asker(&KEYS, "KEY?profile=env&fips=true").ask();
    assert!(refused.starts_with("Misuse") && refused.contains("AWS_ACCESS_KEY_ID"), "{refused}");
}

#[test]
fn what_is_wrong_with_a_profile_is_told_each_time_and_mended_without_a_restart() {
    let world = World::new("mended", &profile("profile shop", "AKIDSHOP"));
    let mut asker = world.asker(&[("AWS_PROFILE", "shpo")], "KEY");
    for _ in 0..3 {
        let refused = asker.ask();
        assert!(refused.starts_with("Misuse") && refused.contains("AWS_PROFILE"), "{refused}");
    }
    world.write(".aws/config", &profile("profile shpo", "AKIDMENDED"));
    assert_eq!(world.asked(&mut asker).0, "AKIDMENDED");

    world.write(".aws/config", "[default]\nlogin_session = arn:aws:iam::123456789012:user/me\n");
    let refused = world.asker(&[], "KEY").ask();
    assert!(refused.starts_with("Misuse") && refused.contains("`aws login`"), "{refused}");

    world.write(".aws/config", "");
    let mut asker = world.asker(&[], "KEY");
    for _ in 0..2 {
        let refused = asker.ask();
        assert!(refused.starts_with("Misuse") && refused.contains("AWS_ACCESS_KEY_ID"), "{refused}");
    }
    world.write(".aws/config", &profile("default", "AKIDMENDED"));
    assert_eq!(world.asked(&mut asker).0, "AKIDMENDED");

    world.write(".aws/config", "[default]\ncredential_process = ./give\n");
    let mut asker = world.asker(&[], "KEY");
    for script in ["echo SECRETMARKER >&2; exit 1", "echo SECRETMARKER", "kill -9 $$"] {
        world.program("give", script);
        let refused = asker.ask();
        assert!(refused.starts_with("Unavailable") && refused.contains("credentials"), "{refused}");
        assert!(!refused.contains("MARKER"), "{refused}");
    }
    world.write("credentials", &credentials("ASIAMENDED", 3600));
    world.program("give", "cat credentials");
    assert_eq!(world.asked(&mut asker).0, "ASIAMENDED");
}

/// A login may take longer than a call has. It is not begun anew by each.
#[test]
fn what_fetches_credentials_outlives_the_call_that_needed_them() {
    let world = World::new("slow-login", "[default]\ncredential_process = ./give\n");
    world.program("give", "echo run >>runs; until [ -e credentials ]; do sleep 0.02; done; cat credentials");
    let mut asker = world.asker(&[("ASKED_FOR_MS", "300")], "KEY");
    for _ in 0..3 {
        assert!(asker.ask().ends_with("dropped"));
    }
    world.write("new", &credentials("ASIASLOW", 3600));
    std::fs::rename(world.folder.join("new"), world.folder.join("credentials")).unwrap();
    while asker.ask().ends_with("dropped") {}
    assert_eq!(access(&world.first("DescribeKey")), "ASIASLOW");
    assert_eq!(std::fs::read_to_string(world.folder.join("runs")).unwrap(), "run\n");
}

#[test]
fn credentials_that_do_not_come_are_told() {
    let world = World::new("no-login", "[default]\ncredential_process = sleep 20\n");
    let refused = world.asker(&[], "KEY").ask();
    assert!(refused.contains("credentials could not be fetched in time"), "{refused}");
}

/// Counts how often it is asked.
#[derive(Clone, Debug, Default)]
struct Counted(Arc<AtomicUsize>);

impl ProvideCredentials for Counted {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.fetch_add(1, SeqCst);
        future::ProvideCredentials::ready(Ok(Credentials::new("AKIDX", "x", None, None, "test")))
    }
}

#[test]
fn credentials_are_fetched_once_for_all_regions() {
    let (proxy, counted, key) = (proxy(), Counted::default(), new_key());
    let far = new_key_in(OTHER_REGION, json!({}));
    let config = client(proxy.at).config().to_builder().credentials_provider(counted.clone()).build();
    let kek = AwsKms::from_client(Client::from_conf(config), &key).unwrap().accept(&far).unwrap();
    let foreign = WrappedDek::new(KeyId::new(far).unwrap(), vec![7; 184]);
    for _ in 0..3 {
        kek.current_key().wait().unwrap();
        kek.unwrap_dek(&foreign, &EncryptionContext::empty()).wait().unwrap_err();
    }
    let regions: Vec<_> = proxy.requests().iter().map(|r| r.region.clone()).collect();
    assert_eq!(regions, [REGION, OTHER_REGION].repeat(3));
    assert_eq!(counted.0.load(SeqCst), 1);
}
