//! The KMS plugin, asked by the client over its socket.
mod common;
#[path = "common/plugin.rs"]
mod plugin;

use common::Folder;
use libkms::{
    Aad, DekPolicy, EncryptionContext, ErrorKind, Kms, OutagePolicy, Wait,
    kek::{self, Fault, Mock, PluginClient, Wrapped, contract},
    plugin::{Plugin, PluginHealth, check},
};
use plugin::{
    Breaks, Running, endpoint, fake, get, plugin, runtime, until,
    v2::{DecryptRequest, StatusRequest, key_management_service_client::KeyManagementServiceClient},
};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixListener,
    },
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const SEED: [u8; 32] = *b"SEEDMARKER that nobody may see..";

fn mock() -> (Mock, Kms) {
    let mock = Mock::new("k");
    (mock.clone(), kms(&mock))
}

fn kms(mock: &Mock) -> Kms {
    let outage = OutagePolicy::default().deadline(Duration::from_millis(2500));
    Kms::builder().kek(mock.clone()).outage_policy(outage).build().unwrap()
}

fn client(endpoint: &str) -> PluginClient {
    PluginClient::new(endpoint).unwrap()
}

fn unwrapped(client: &PluginClient, wrapped: &Wrapped) -> Vec<u8> {
    client.decrypt(wrapped).wait().unwrap().expose().unwrap().to_vec()
}

#[test]
fn a_plugin_of_ours_keeps_the_contract_of_a_backend() {
    let folder = Folder::new("plugin-contract");
    let at = endpoint(&folder.0, "kms.sock");
    let uri = format!("local:{}#k?create=true", folder.join("keys.json").display());
    let kms = Kms::from_uri(&uri).wait().unwrap();
    let _running = Running::start(&plugin(&kms), &at);
    let uri = format!("k8s-kms:{at}");
    contract::check(|| async { kek::from_uri(&uri).await }).wait();
    // And of an API server.
    let rules = check(&at, Duration::from_secs(3)).wait().unwrap();
    assert!(rules.len() >= 16 && rules.iter().all(|rule| rule.passed), "{rules:?}");
}

#[test]
fn what_it_wraps_is_an_envelope_and_any_length_comes_back() {
    let (folder, (_, kms)) = (Folder::new("plugin-envelope"), mock());
    let at = endpoint(&folder.0, "kms.sock");
    let context = EncryptionContext::new([("cluster", "prod")]).unwrap();
    let _running = Running::start(&Plugin::new(&kms, context.clone()), &at);
    let client = client(&at);
    for len in [1, 16, 24, 32, 33, 500] {
        let wrapped = client.encrypt(&vec![7; len]).wait().unwrap();
        assert_eq!(unwrapped(&client, &wrapped), vec![7; len]);
        let scope = kms.scope(context.clone());
        let opened = scope.open(Aad::from("kubernetes kms v2"), &wrapped.ciphertext);
        assert_eq!(opened.wait().unwrap().plaintext, vec![7; len]);
        assert_eq!(wrapped.key_id, "mock:k/1");
        assert!(wrapped.annotations.is_empty() && wrapped.ciphertext.len() < 200 + len);
    }
    // Another context, and what is no ciphertext.
    let other = kms.scope(EncryptionContext::empty()).seal(Aad::from("kubernetes kms v2"), &SEED).wait();
    let of_other = Wrapped { ciphertext: other.unwrap(), key_id: "mock:k/1".into(), ..Default::default() };
    assert_eq!(client.decrypt(&of_other).wait().unwrap_err().kind(), ErrorKind::Authentication);
    for noise in [&b""[..], b"K", b"KMSE", b"1", b"2x", &[0xa5; 1024]] {
        let noise = Wrapped { ciphertext: noise.into(), key_id: "k".into(), ..Default::default() };
        let e = client.decrypt(&noise).wait().unwrap_err();
        assert!([ErrorKind::Authentication, ErrorKind::Denied].contains(&e.kind()), "{e}");
    }
}

#[test]
fn what_would_not_fit_is_refused_and_too_many_keks_are_told() {
    let (folder, (_, kms)) = (Folder::new("plugin-long"), mock());
    let at = endpoint(&folder.0, "kms.sock");
    let _running = Running::start(&plugin(&kms), &at);
    let e = client(&at).encrypt(&[7; 1000]).wait().unwrap_err();
    assert!(e.to_string().contains("ResourceExhausted") && e.to_string().contains("1024"), "{e}");
    assert_eq!(client(&at).status().wait().unwrap().healthz, "ok", "that is no fault of the KMS");
    let many = (0..14).fold(Kms::builder(), |b, n| b.kek(Mock::new(&format!("{n}{}", "x".repeat(20)))));
    let e = runtime().block_on(plugin(&many.build().unwrap()).probe()).unwrap_err();
    assert!(e.kind() == ErrorKind::Limit && e.to_string().contains("14 KEKs"), "{e}");
}

/// A restarting API server: four seeds, asked for thirty times at once.
#[test]
fn thirty_decrypts_of_four_seeds_are_four_calls() {
    let (folder, mock) = (Folder::new("plugin-flights"), Mock::new("k"));
    let at = endpoint(&folder.0, "kms.sock");
    let each = Kms::builder().kek(mock.clone()).dek_policy(DekPolicy::per_message()).build().unwrap();
    let writes = each.scope(EncryptionContext::empty());
    let seal = |n: u8| writes.seal(Aad::from("kubernetes kms v2"), &[n; 32]).wait().unwrap();
    let seeds: Vec<_> = (0..4).map(seal).collect();
    let _running = Running::start(&plugin(&kms(&mock)), &at);
    until("it is healthy", || client(&at).status().wait().is_ok_and(|s| s.healthz == "ok"));
    let before = mock.calls();
    mock.always(Some(Fault::Slow(Duration::from_millis(500))));
    let client = client(&at);
    thread::scope(|s| {
        for n in 0..30 {
            let (client, ciphertext) = (&client, seeds[n % 4].clone());
            s.spawn(move || {
                let wrapped = Wrapped { ciphertext, key_id: "mock:k/1".into(), ..Default::default() };
                assert_eq!(unwrapped(client, &wrapped), [(n % 4) as u8; 32]);
            });
        }
    });
    assert_eq!(mock.calls() - before, 4);
}

#[test]
fn status_asks_no_kms() {
    let (folder, (mock, kms)) = (Folder::new("plugin-status"), mock());
    let at = endpoint(&folder.0, "kms.sock");
    let running = Running::start(&plugin(&kms), &at);
    let client = client(&at);
    until("it is healthy", || client.status().wait().unwrap().healthz == "ok");
    let before = mock.calls();
    for _ in 0..500 {
        assert_eq!(client.status().wait().unwrap().check().unwrap(), "mock:k/1");
    }
    running.get("/readyz");
    running.get("/metrics");
    assert_eq!(mock.calls(), before);
}

/// Whatever is asked, and whenever: an Encrypt's key is neither older than the Status before it, nor
/// newer than the one after.
#[test]
fn f46_status_and_encrypt_give_one_key_id_while_the_key_moves() {
    let (folder, (mock, kms)) = (Folder::new("plugin-moves"), mock());
    let at = endpoint(&folder.0, "kms.sock");
    let plugin = plugin(&kms).health_interval(Duration::from_secs(1)).unwrap();
    let _running = Running::start(&plugin, &at);
    until("it is healthy", || client(&at).status().wait().is_ok_and(|s| s.healthz == "ok"));
    let (over, seen) = (AtomicBool::new(false), std::sync::Mutex::new(BTreeSet::new()));
    let version = |id: &str| id.strip_prefix("mock:k/").unwrap().parse::<u32>().unwrap();
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let client = client(&at);
                let status = || version(&client.status().wait().unwrap().key_id);
                while !over.load(Ordering::SeqCst) {
                    let before = status();
                    let wrapped = client.encrypt(&SEED).wait().unwrap();
                    let (of, after) = (version(&wrapped.key_id), status());
                    assert!(before <= of && of <= after, "{before} {of} {after}");
                    seen.lock().unwrap().insert(of);
                }
            });
        }
        for n in 2..5 {
            mock.rotate();
            until("the new key is told", || seen.lock().unwrap().contains(&n));
        }
        over.store(true, Ordering::SeqCst);
    });
    // Nothing of before is lost.
    assert_eq!(*seen.lock().unwrap(), (1..5).collect());
}

#[test]
fn a_key_before_opens_where_it_is_named_or_any_is() {
    let (folder, (mock, kms)) = (Folder::new("plugin-before"), mock());
    let at = endpoint(&folder.0, "kms.sock");
    let plugin = plugin(&kms);
    let _running = Running::start(&plugin, &at);
    until("it is healthy", || client(&at).status().wait().is_ok_and(|s| s.healthz == "ok"));
    let scope = |uri: &str| Kms::from_uri(uri).wait().unwrap().scope(EncryptionContext::empty());
    let uri = format!("k8s-kms:{at}");
    let first = scope(&uri);
    let sealed = first.seal(Aad::empty(), b"tea").wait().unwrap();
    mock.rotate();
    runtime().block_on(plugin.probe()).unwrap();
    let open = |uri: &str| scope(uri).open(Aad::empty(), &sealed).wait().map(|opened| opened.plaintext);
    // Of this process, and of one that starts anew.
    assert_eq!(first.open(Aad::empty(), &sealed).wait().unwrap().plaintext, b"tea");
    assert_eq!(open(&uri).unwrap_err().kind(), ErrorKind::NoMatchingKek);
    assert_eq!(open(&format!("{uri}?accept=other,mock:k/1")).unwrap(), b"tea");
    assert_eq!(open(&format!("{uri}?accept-any=true")).unwrap(), b"tea");
    for bad in ["?accept=", "?accept-any=yes", "?region=x"] {
        assert_eq!(
            Kms::from_uri(&format!("{uri}{bad}")).wait().unwrap_err().kind(),
            ErrorKind::Misuse,
            "{bad}"
        );
    }
}

/// Row 45.
#[test]
fn f45_it_comes_up_while_the_kms_is_down_and_recovers_by_itself() {
    let (folder, (mock, kms)) = (Folder::new("plugin-down"), mock());
    let at = endpoint(&folder.0, "kms.sock");
    mock.always(Some(Fault::Denied));
    let plugin = plugin(&kms);
    let running = Running::start(&plugin, &at);
    let client = client(&at);
    until("it fails", || matches!(plugin.health(), PluginHealth::Failing(_)));
    let status = client.status().wait().unwrap();
    assert_eq!((&*status.version, &*status.key_id, &*status.healthz), ("v2", "", "scripted: denied"));
    assert_eq!(status.check().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(client.encrypt(&SEED).wait().unwrap_err().kind(), ErrorKind::Denied);
    mock.always(Some(Fault::Unavailable));
    assert_eq!(client.encrypt(&SEED).wait().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(running.get("/readyz").0, 503);
    assert_eq!(running.get("/livez"), (200, "ok\n".into()));
    mock.always(None);
    until("it is healthy", || running.get("/readyz") == (200, "ok\n".into()));
    assert_eq!(client.status().wait().unwrap().check().unwrap(), "mock:k/1");
    let wrapped = client.encrypt(&SEED).wait().unwrap();
    assert_eq!(unwrapped(&client, &wrapped), SEED);
    // What goes on: it seals with the DEK that it has, and its Status tells that no other comes.
    mock.always(Some(Fault::Denied));
    runtime().block_on(plugin.probe()).unwrap_err();
    assert_eq!(client.status().wait().unwrap().key_id, "mock:k/1");
    assert_eq!(unwrapped(&client, &wrapped), SEED);
}

/// Row 45, from the other side.
#[test]
fn f45_a_client_says_what_a_plugin_does_wrong() {
    let folder = Folder::new("plugin-wrong");
    let absent = client(&endpoint(&folder.0, "absent.sock"));
    assert_eq!(absent.status().wait().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(absent.encrypt(&SEED).wait().unwrap_err().kind(), ErrorKind::Unavailable);
    let of = |breaks: Breaks| {
        let at = endpoint(&folder.0, &format!("{breaks:?}.sock"));
        fake(breaks, &at);
        client(&at).timeout(Duration::from_millis(if breaks == Breaks::Time { 200 } else { 10_000 }))
    };
    let status =
        |breaks| of(breaks).status().wait().unwrap().check().map(str::to_owned).map_err(|e| e.kind());
    assert_eq!(status(Breaks::Nothing).unwrap(), "fake/1");
    assert_eq!(status(Breaks::Healthz), Err(ErrorKind::Unavailable));
    for breaks in [Breaks::Version, Breaks::NoKeyId, Breaks::LongKeyId] {
        assert_eq!(status(breaks), Err(ErrorKind::BadReply), "{breaks:?}");
    }
    let slow = of(Breaks::Time);
    assert_eq!(slow.status().wait().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(slow.encrypt(&SEED).wait().unwrap_err().kind(), ErrorKind::Unavailable);
    let bad = [Breaks::NoCiphertext, Breaks::LongCiphertext, Breaks::AnnotationName, Breaks::LongAnnotations];
    for breaks in bad {
        assert_eq!(of(breaks).encrypt(&SEED).wait().unwrap_err().kind(), ErrorKind::BadReply, "{breaks:?}");
    }
    for breaks in [Breaks::NoKeyId, Breaks::LongKeyId] {
        let uri = format!("k8s-kms:{}", endpoint(&folder.0, &format!("{breaks:?}.sock")));
        let kms = Kms::from_uri(&uri).wait().unwrap().scope(EncryptionContext::empty());
        assert_eq!(
            kms.seal(Aad::empty(), b"x").wait().unwrap_err().kind(),
            ErrorKind::BadReply,
            "{breaks:?}"
        );
    }
}

#[test]
fn check_finds_the_one_rule_that_a_plugin_breaks() {
    use Breaks::*;
    let folder = Folder::new("plugin-check");
    let failed = |breaks: Breaks| {
        let at = endpoint(&folder.0, &format!("{breaks:?}.sock"));
        fake(breaks, &at);
        let time = Duration::from_secs(if breaks == Time { 1 } else { 30 });
        let rules = check(&at, time).wait().unwrap();
        rules.into_iter().filter(|rule| !rule.passed).map(|rule| rule.name).collect::<Vec<_>>()
    };
    let cases: &[(Breaks, &[&str])] = &[
        (Nothing, &[]),
        (Version, &["status-version"]),
        (Healthz, &["status-healthz"]),
        (NoKeyId, &["status-key-id"]),
        (LongKeyId, &["status-key-id"]),
        (OtherKeyId, &["encrypt-key-id"]),
        (OpenCiphertext, &["ciphertext-hides"]),
        (AnnotationName, &["annotations"]),
        (LongAnnotations, &["annotations"]),
        (Authenticity, &["decrypt-authenticates"]),
        (Plaintext, &["decrypt", "decrypt-at-once", "plaintext-lengths"]),
        (Load, &["decrypt-at-once"]),
        (Lengths, &["plaintext-lengths"]),
        (Time, &["status-answers", "encrypt-answers", "latency"]),
    ];
    for (breaks, rules) in cases {
        assert_eq!(failed(*breaks), *rules, "{breaks:?}");
    }
    assert!(failed(NoCiphertext).contains(&"ciphertext-length"));
    assert!(failed(LongCiphertext).contains(&"ciphertext-length"));
    // Rights.
    let path = folder.join("Nothing.sock");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let rules = check(&endpoint(&folder.0, "Nothing.sock"), Duration::from_secs(30)).wait().unwrap();
    assert!(rules[0].name == "socket-rights" && !rules[0].passed && rules[0].told.contains("666"));
}

#[test]
fn the_socket_is_its_owners_and_nobody_elses_is_taken() {
    let (folder, (_, kms)) = (Folder::new("plugin-socket"), mock());
    let (at, path) = (endpoint(&folder.0, "kms.sock"), folder.join("kms.sock"));
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    // Left by one that was killed: std's listener removes nothing either.
    drop(UnixListener::bind(&path).unwrap());
    let running = Running::start(&plugin(&kms), &at);
    assert!(fs::metadata(&path).unwrap().file_type().is_socket() && mode() == 0o600);
    // In use.
    let e = Running::try_start(&plugin(&kms), &at).err().unwrap();
    assert!(e.kind() == ErrorKind::Misuse && e.to_string().contains("already"), "{e}");
    assert_eq!(client(&at).status().wait().unwrap().version, "v2", "the first one serves on");
    running.end().unwrap();
    assert!(!path.exists());
    // What another one has put there meanwhile is not its own.
    let running = Running::start(&plugin(&kms), &at);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    running.end().unwrap();
    assert!(path.exists());
    fs::remove_file(&path).unwrap();
    // No socket.
    fs::write(&path, "mine").unwrap();
    let e = Running::try_start(&plugin(&kms), &at).err().unwrap();
    assert!(e.to_string().contains("no socket") && fs::read_to_string(&path).unwrap() == "mine", "{e}");
    // A directory of others.
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o777)).unwrap();
    let at = format!("unix://{}", folder.join("new.sock").display());
    let e = Running::try_start(&plugin(&kms), &at).err().unwrap();
    assert!(e.to_string().contains("chmod go-w") && !folder.join("new.sock").exists(), "{e}");
    // Too long for the system.
    let long = format!("unix:///{}", "x".repeat(107));
    assert!(Running::try_start(&plugin(&kms), &long).err().unwrap().to_string().contains("107"));
}

#[test]
fn a_socket_without_a_file_serves_as_well() {
    let (_, kms) = mock();
    let at = format!("unix:///@libkms-plugin-{}", std::process::id());
    let running = Running::start(&plugin(&kms), &at);
    let wrapped = client(&at).encrypt(&SEED).wait().unwrap();
    assert_eq!(unwrapped(&client(&at), &wrapped), SEED);
    assert!(Running::try_start(&plugin(&kms), &at).is_err());
    running.end().unwrap();
}

/// What is under way is answered, and nothing new is begun.
#[test]
fn stopping_loses_no_reply() {
    let (folder, (mock, kms)) = (Folder::new("plugin-stop"), mock());
    let at = endpoint(&folder.0, "kms.sock");
    let each = Kms::builder().kek(mock.clone()).dek_policy(DekPolicy::per_message()).build().unwrap();
    let writes = each.scope(EncryptionContext::empty());
    let all: Vec<_> =
        (0..64).map(|_| writes.seal(Aad::from("kubernetes kms v2"), &SEED).wait().unwrap()).collect();
    let running = Running::start(&plugin(&kms), &at);
    until("it is healthy", || client(&at).status().wait().is_ok_and(|s| s.healthz == "ok"));
    let before = mock.calls();
    mock.always(Some(Fault::Slow(Duration::from_secs(1))));
    let client = client(&at);
    thread::scope(|s| {
        for ciphertext in all {
            let client = &client;
            s.spawn(move || {
                let wrapped = Wrapped { ciphertext, key_id: "mock:k/1".into(), ..Default::default() };
                assert_eq!(unwrapped(client, &wrapped), SEED);
            });
        }
        until("all are under way", || mock.calls() == before + 64);
        running.end().unwrap();
    });
    assert!(client.status().wait().is_err() && !folder.join("kms.sock").exists());
}

#[test]
fn ten_thousand_at_once_are_all_answered_in_bounded_memory() {
    const MANY: usize = 10_000;
    let (folder, mock) = (Folder::new("plugin-many"), Mock::new("k"));
    let at = endpoint(&folder.0, "kms.sock");
    let each = Kms::builder().kek(mock.clone()).dek_policy(DekPolicy::per_message()).build().unwrap();
    let writes = each.scope(EncryptionContext::empty());
    let all: Vec<_> =
        (0..MANY).map(|_| writes.seal(Aad::from("kubernetes kms v2"), &SEED).wait().unwrap()).collect();
    let outage =
        OutagePolicy::default().deadline(Duration::from_secs(60)).call_timeout(Duration::from_secs(60));
    let kms = Kms::builder().kek(mock.clone()).outage_policy(outage).build().unwrap();
    let _running = Running::start(&plugin(&kms), &at);
    until("it is healthy", || client(&at).status().wait().is_ok_and(|s| s.healthz == "ok"));
    let asked = mock.calls();
    mock.always(Some(Fault::Slow(Duration::from_millis(100))));
    let (before, began) = (bytes("VmRSS:"), Instant::now());
    let answered = runtime().block_on(async {
        let path = folder.join("kms.sock");
        let channel = tonic::transport::Endpoint::from_static("http://localhost")
            .connect_with_connector_lazy(tower::service_fn(move |_| {
                let connected = tokio::net::UnixStream::connect(path.clone());
                async { connected.await.map(hyper_util::rt::TokioIo::new) }
            }));
        let calls = all.into_iter().map(|ciphertext| {
            let mut client = KeyManagementServiceClient::new(channel.clone());
            tokio::spawn(async move {
                let request = DecryptRequest { ciphertext, ..Default::default() };
                client.decrypt(request).await.unwrap().into_inner().plaintext == SEED
            })
        });
        let calls: Vec<_> = calls.collect();
        // Status does not wait behind them.
        let mut other = KeyManagementServiceClient::new(channel);
        drop(other.status(StatusRequest {}).await.unwrap());
        let mut answered = 0;
        for call in calls {
            answered += usize::from(call.await.unwrap());
        }
        answered
    });
    assert_eq!((answered, mock.calls() - asked), (MANY, MANY as u64));
    // Client and server are this process: 25 KiB for each call of both, at the most that there was.
    let grown = bytes("VmHWM:").saturating_sub(before);
    assert!(grown < 256 << 20, "{} MiB more", grown >> 20);
    eprintln!("{MANY} in {:?}, {} MiB more", began.elapsed(), grown >> 20);
}

/// Of this process' memory.
fn bytes(which: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn numbers_tell_calls_by_code_and_the_key_id_hashed() {
    let (folder, (_, kms)) = (Folder::new("plugin-numbers"), mock());
    let at = endpoint(&folder.0, "kms.sock");
    let running = Running::start(&plugin(&kms), &at);
    let client = client(&at);
    until("it is healthy", || running.get("/readyz").0 == 200);
    let wrapped = client.encrypt(&SEED).wait().unwrap();
    (0..3).for_each(|_| drop(unwrapped(&client, &wrapped)));
    let noise = Wrapped { ciphertext: vec![7; 99], ..wrapped };
    assert!(client.decrypt(&noise).wait().is_err());
    let (status, text) = running.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        "libkms_plugin_calls_total{method=\"Encrypt\",code=\"OK\"} 1",
        "libkms_plugin_calls_total{method=\"Decrypt\",code=\"OK\"} 3",
        "libkms_plugin_calls_total{method=\"Decrypt\",code=\"InvalidArgument\"} 1",
        "libkms_plugin_call_seconds_count{method=\"Decrypt\"} 4",
        "libkms_plugin_call_seconds_bucket{method=\"Decrypt\",le=\"+Inf\"} 4",
        "libkms_plugin_healthy 1",
        "libkms_calls_total{operation=\"generate\",kek=\"mock\",outcome=\"ok\"} 1",
        "libkms_calls_total{operation=\"unwrap\",kek=\"mock\",outcome=\"ok\"} 1",
        "libkms_unlocked_total{from=\"kms\"} 1",
        "libkms_unlocked_total{from=\"memory\"} 2",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    // Of mock:k/1.
    let hash = "4a6bde73ec754d9f1258a60ab610f8e6b98582b610dfec1b1c5737f02ba2b01d";
    assert!(
        text.contains(&format!("libkms_plugin_key_id_info{{key_id_hash=\"sha256:{hash}\"}} 1")),
        "{text}"
    );
    assert!(!text.contains("SEEDMARKER"));
    assert_eq!((running.get("/").0, get(running.http, "/debug").0), (404, 404));
}
