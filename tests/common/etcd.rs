//! A real etcd on loopback, and its JSON gateway.
#![allow(dead_code, reason = "each test file uses its own part")]
use super::common::Folder;
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// etcd takes no more in one transaction.
const MOST_OPERATIONS: usize = 128;

/// Ends with the value. Its data is in the folder.
pub struct Server {
    pub port: u16,
    child: Child,
    scheme: &'static str,
}

impl Server {
    pub fn start(folder: &Folder) -> Self {
        let server = Self::spawn(folder, "http", &[]);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", server.port)).is_err() || server.health().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "etcd does not start");
            thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// With more arguments; it is not asked whether it is ready.
    pub fn spawn(folder: &Folder, scheme: &'static str, more: &[&str]) -> Self {
        let program = std::env::var_os("LIBKMS_ETCD").map(PathBuf::from);
        let program = program.expect("no etcd to test with: tests/run installs it and runs the tests");
        let [port, peers] = [free_port(), free_port()];
        let (me, peers) = (format!("{scheme}://127.0.0.1:{port}"), format!("http://127.0.0.1:{peers}"));
        let log = File::create(folder.0.join("etcd.log")).unwrap();
        let child = Command::new(program)
            .args(["--name", "t", "--unsafe-no-fsync", "--data-dir"])
            .arg(folder.0.join("etcd"))
            .args(["--listen-client-urls", &me, "--advertise-client-urls", &me])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("t={peers}")])
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { port, child, scheme }
    }

    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    fn health(&self) -> Option<()> {
        http(self.port, "GET", "/health", "").ok().filter(|reply| reply["health"] == "true").map(drop)
    }

    pub fn call(&self, what: &str, body: &Value) -> Value {
        let reply = http(self.port, "POST", &format!("/v3/{what}"), &body.to_string()).unwrap();
        assert!(reply.get("error").is_none(), "{what}: {reply}");
        reply
    }

    pub fn put(&self, key: &str, value: &[u8]) {
        self.call("kv/put", &json!({ "key": base64(key.as_bytes()), "value": base64(value) }));
    }

    pub fn put_all(&self, values: &[(String, Vec<u8>)]) {
        for some in values.chunks(MOST_OPERATIONS) {
            let puts = some.iter().map(|(key, value)| {
                json!({ "request_put": { "key": base64(key.as_bytes()), "value": base64(value) } })
            });
            self.call("kv/txn", &json!({ "success": puts.collect::<Vec<_>>() }));
        }
    }

    /// All below a prefix, by key.
    pub fn all(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        let reply =
            self.call("kv/range", &json!({ "key": base64(prefix.as_bytes()), "range_end": base64(&end) }));
        let pairs = reply["kvs"].as_array().cloned().unwrap_or_default();
        let field = |pair: &Value, name: &str| Base64::decode_vec(pair[name].as_str().unwrap_or("")).unwrap();
        pairs.iter().map(|p| (String::from_utf8(field(p, "key")).unwrap(), field(p, "value"))).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

pub fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn http(port: u16, method: &str, path: &str, body: &str) -> std::io::Result<Value> {
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(request.as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (_, body) = reply.split_once("\r\n\r\n").expect("a reply");
    Ok(serde_json::from_str(body)?)
}
