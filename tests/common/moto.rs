//! AWS KMS on loopback, as far as moto has it.
#![allow(dead_code, reason = "each test file uses its own part")]
#[path = "iam.rs"]
pub mod iam;

use super::proxy::Proxy;
use aws_sdk_kms::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::LazyLock,
};

pub const REGION: &str = "eu-central-1";
pub const OTHER_REGION: &str = "us-west-2";

/// One for each test program.
pub static MOTO: LazyLock<Server> = LazyLock::new(|| Server::start("server.py", &[]));

/// A server of tests/aws. It ends when this program does, however that ends: then its
/// standard input is closed.
pub struct Server {
    pub at: SocketAddr,
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Server {
    pub fn start(script: &str, args: &[&str]) -> Self {
        let mut child =
            python(script, args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
        let (mut says, mut port) = (BufReader::new(child.stdout.take().unwrap()), String::new());
        says.read_line(&mut port).unwrap();
        let port: u16 = port.trim().parse().expect("a server says its port");
        Self { at: ([127, 0, 0, 1], port).into(), child, says }
    }

    /// Ends it; what it said after its port.
    pub fn end(&mut self) -> String {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.says.read_to_string(&mut said).unwrap();
        self.child.wait().unwrap();
        said
    }
}

/// A script of tests/aws, to be run where moto and botocore are.
pub fn python(script: &str, args: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("LIBKMS_MOTO").map(Into::into);
    let python = python.unwrap_or_else(|| root.join("target/tools/moto/bin/python"));
    assert!(python.exists(), "no AWS KMS to test with: tests/run installs moto and runs the tests");
    let mut command = Command::new(python);
    command.arg("-B").arg(root.join("tests/aws").join(script)).args(args);
    command
}

/// A key's ARN.
pub fn new_key() -> String {
    new_key_in(REGION, json!({}))
}

pub fn new_key_in(region: &str, more: Value) -> String {
    let (status, reply) = call(MOTO.at, region, "CreateKey", more);
    assert_eq!(status, 200, "{reply}");
    reply["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
}

/// An alias that no other test has.
pub fn new_alias(name: &str, key: &str) -> String {
    let alias = format!("alias/{name}");
    admin(MOTO.at, "CreateAlias", json!({ "AliasName": alias, "TargetKeyId": key }));
    alias
}

pub fn move_alias(alias: &str, key: &str) {
    admin(MOTO.at, "UpdateAlias", json!({ "AliasName": alias, "TargetKeyId": key }));
}

/// A call that must succeed.
pub fn admin(at: SocketAddr, operation: &str, body: Value) -> Value {
    let (status, reply) = call(at, REGION, operation, body);
    assert_eq!(status, 200, "{operation}: {reply}");
    reply
}

/// What no backend calls; moto looks at no signature.
pub fn call(at: SocketAddr, region: &str, operation: &str, body: Value) -> (u16, Value) {
    let body = body.to_string();
    let scope = format!("test/20260101/{region}/kms/aws4_request");
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {at}\r\nX-Amz-Target: TrentService.{operation}\r\n\
         Content-Type: application/x-amz-json-1.1\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    let reply = String::from_utf8_lossy(&reply);
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// A client of somebody who is no one, of a KMS that listens there: of a proxy, for its calls to be
/// judged.
pub fn client(at: SocketAddr) -> Client {
    client_with(at, Credentials::new("AKIDMARKER", "SECRETMARKER", Some("TOKENMARKER".into()), None, "test"))
}

pub fn client_with(at: SocketAddr, credentials: Credentials) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .endpoint_url(format!("http://{at}"))
        .credentials_provider(credentials)
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    Client::from_conf(config.build())
}

/// A fault proxy before moto. What is asked there is held against the policies that the program
/// prints.
pub fn proxy() -> Proxy {
    Proxy::before(MOTO.at).judged_by(iam::hold)
}
