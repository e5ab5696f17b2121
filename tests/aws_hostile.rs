//! Whoever wants to break it by way of AWS: replies without end, logs that say too much.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/program.rs"]
mod program;
#[path = "common/proxy.rs"]
mod proxy;

use common::{Folder, context};
use libkms::{
    Dek,
    ErrorKind::{self, BadReply, Unavailable},
    Wait,
    kek::{AwsKms, KmsBackend},
};
use moto::*;
use program::run;
use proxy::{Answer, read_request};
use std::{
    fmt,
    io::{self, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};
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

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd";

/// A KMS that replies like this, whatever it is asked.
fn kms(reply: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> AwsKms {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // What is written to who hung up is an error, and no matter.
            let asked = read_request(&mut BufReader::new(&stream));
            let _ = asked.and_then(|_| reply(&mut stream));
        }
    });
    AwsKms::from_client(client(at), KEY).unwrap()
}

/// What a reply to GenerateDataKey brings.
fn brings(reply: &str) -> Result<Vec<u8>, ErrorKind> {
    let reply = reply.to_owned();
    let kek = kms(move |stream| {
        stream.write_all(reply.as_bytes())?;
        stream.shutdown(Shutdown::Write)
    });
    let made = kek.generate_dek(&context(&[])).wait();
    made.map(|(dek, wrapped)| [&dek.expose().unwrap()[..], &wrapped.ciphertext].concat())
        .map_err(|e| e.kind())
}

fn with(head: &str, body: &str) -> String {
    format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Row 39, on the wire. Nothing of this may end the process, which a stack that overflows
/// does.
#[test]
fn f39_replies_that_no_http_or_json_should_be_are_survived() {
    let dek = common::base64(&[7; 32]);
    let right = format!(r#"{{"CiphertextBlob":"AQID","KeyId":"{KEY}","Plaintext":"{dek}"}}"#);
    let more = |more: &str| format!("{{{more},{}", &right[1..]);
    let ok = |body: &str| with("HTTP/1.1 200 OK", body);
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{right}\r\n0\r\n\r\n", right.len());
    let deep = |open: &str, close: &str, n| format!(r#""x":{}1{}"#, open.repeat(n), close.repeat(n));
    for reply in [
        ok(&right),
        with("HTTP/1.1 200 OK\r\ncontent-type: text/html", &right),
        with("HTTP/1.1 200 OK\r\ncontent-encoding: gzip", &right),
        with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", &right),
        format!("HTTP/1.0 200 OK\r\n\r\n{right}"),
        format!("HTTP/1.1 200 OK\r\n{chunked}"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n{chunked}"),
        ok(&more(&deep("[", "]", 31))),
        ok(&more(&format!(r#""x":"\"{}\\""#, "[{".repeat(1000)))),
        // The last one counts: there is one reader of it.
        ok(&more(r#""KeyId":"x","Plaintext":"AAAA""#)),
    ] {
        assert_eq!(brings(&reply), Ok([&[7; 32][..], &[1, 2, 3]].concat()), "{reply:.300}");
    }
    for (reply, kind) in [
        (with("HTTP/1.1 302 Found\r\nlocation: http://kms.invalid/", &right), BadReply),
        ("HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nx".into(), BadReply),
        ("HTTP/1.1 204 No Content\r\n\r\n".into(), BadReply),
        (ok(""), BadReply),
        (ok(&(right.clone() + &right)), BadReply),
        (ok(&format!("\u{feff}{right}")), BadReply),
        (ok(&right.replace(&dek, &common::base64(&[7; 31]))), BadReply),
        (ok(&right.replace(&dek, &common::base64(&[7; 33]))), BadReply),
        (ok(&right.replace("AQID", "AQ ID")), BadReply),
        (ok(&right.replace("AQID", "AQI")), BadReply),
        (ok(&right.replace("AQID", "A-_D")), BadReply),
        (ok(&right.replace(r#""AQID""#, "7")), BadReply),
        (ok(&more(&deep("[", "]", 32))), BadReply),
        (ok(&more(&deep("[", "]", 100_000))), BadReply),
        (ok(&more(&deep(r#"{"x":"#, "}", 40_000))), BadReply),
        (ok(&format!(r#"{{"x":{}"#, "[".repeat(200_000))), BadReply),
        (with("HTTP/1.1 400 Bad", &format!(r#"{{"x":{}"#, "[".repeat(200_000))), BadReply),
        (with("HTTP/1.1 500 Bad", &format!(r#"{{"x":{}"#, "[".repeat(200_000))), Unavailable),
        (right.clone(), Unavailable),
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}".into(), Unavailable),
        (format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{right}", u64::MAX), Unavailable),
        (format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(100_000)), Unavailable),
        (format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(10_000_000)), Unavailable),
    ] {
        assert_eq!(brings(&reply), Err(kind), "{reply:.300}");
    }
}

/// A reply that has no end is not read to its end.
#[test]
fn f39_a_reply_without_end_takes_no_memory() {
    const BLOCK: usize = 64 * 1024;
    for (status, kind) in [(200, BadReply), (400, BadReply), (503, Unavailable)] {
        for length in ["content-length: 100000000", "transfer-encoding: chunked"] {
            let written = Arc::new(AtomicUsize::new(0));
            let count = written.clone();
            let kek = kms(move |stream| {
                stream.write_all(format!("HTTP/1.1 {status} So\r\n{length}\r\n\r\n").as_bytes())?;
                let block = format!("{BLOCK:x}\r\n{}\r\n", " ".repeat(BLOCK));
                while count.load(SeqCst) < 100_000_000 {
                    stream.write_all(block.as_bytes())?;
                    count.fetch_add(BLOCK, SeqCst);
                }
                Ok(())
            });
            let refused = kek.generate_dek(&context(&[])).wait().unwrap_err();
            assert_eq!(refused.kind(), kind, "{status}, {length}: {refused}");
            // What the system's buffers took is some MB.
            let most = written.load(SeqCst);
            assert!(most < 50_000_000, "{status}, {length}: {most} bytes");
        }
    }
}

/// A wrapped DEK that KMS would not take back is not written down.
#[test]
fn f39_a_ciphertext_that_would_not_be_taken_back_is_refused() {
    let dek = common::base64(&[7; 32]);
    for (length, is_right) in [(0, false), (1, true), (6144, true), (6145, false), (32_768, false)] {
        let blob = common::base64(&vec![7; length]);
        let body = format!(r#"{{"CiphertextBlob":"{blob}","KeyId":"{KEY}","Plaintext":"{dek}"}}"#);
        let reply = with("HTTP/1.1 200 OK\r\nconnection: close", &body);
        let expected = if is_right { Ok(()) } else { Err(BadReply) };
        assert_eq!(brings(&reply).map(drop), expected, "generated: {length}");
        let kek = kms(move |stream| stream.write_all(reply.as_bytes()));
        let wrapped = kek.wrap_dek(&Dek::generate().unwrap(), &context(&[])).wait();
        assert_eq!(wrapped.map(drop).map_err(|e| e.kind()), expected, "encrypted: {length}");
    }
}

/// However many ask at once: the files that a process may open are for its own work. Whoever
/// is given up hangs up.
#[test]
fn calls_that_hang_hold_some_connections_and_no_more() {
    const MOST: usize = 128;
    let open = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let counts = open.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counts = counts.clone();
            counts.fetch_add(1, SeqCst);
            // To the end, or to where it was reset.
            thread::spawn(move || {
                let _ = io::copy(&mut &stream, &mut io::sink());
                counts.fetch_sub(1, SeqCst);
            });
        }
    });
    let until = |n| {
        let began = Instant::now();
        while open.load(SeqCst) != n {
            assert!(began.elapsed() < Duration::from_secs(20), "{} are open", open.load(SeqCst));
            thread::sleep(Duration::from_millis(5));
        }
    };
    let (kek, context) = (AwsKms::from_client(client(at), KEY).unwrap(), context(&[]));
    for _ in 0..2 {
        let mut calls: Vec<_> = (0..1000).map(|_| Box::pin(kek.generate_dek(&context))).collect();
        let mut task = Context::from_waker(Waker::noop());
        assert!(calls.iter_mut().all(|call| call.as_mut().poll(&mut task).is_pending()));
        until(MOST);
        thread::sleep(Duration::from_millis(200));
        assert_eq!(open.load(SeqCst), MOST);
        drop(calls);
        until(0);
    }
}
