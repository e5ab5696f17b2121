//! Plugins that serve: ours, and one that does as it is told.
#![allow(dead_code, reason = "each test file uses its own part")]
#[allow(unused, clippy::all, reason = "generated")]
#[rustfmt::skip]
#[path = "../../src/kek/k8s_kms/generated/v2.rs"]
pub mod v2;

use libkms::{
    EncryptionContext, Kms, Result,
    plugin::{Plugin, Socket},
};
use std::{
    fs::Permissions,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::{
    net::UnixListener,
    runtime::{Builder, Runtime},
    sync::oneshot,
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, transport::Server};
use v2::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusRequest, StatusResponse,
    key_management_service_server::{KeyManagementService, KeyManagementServiceServer},
};

pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A plugin over these KEKs.
pub fn plugin(kms: &Kms) -> Plugin {
    Plugin::new(kms, EncryptionContext::empty())
}

/// A directory that nobody else may write to.
pub fn private(folder: &Path) {
    std::fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
}

pub fn endpoint(folder: &Path, name: &str) -> String {
    private(folder);
    format!("unix://{}", folder.join(name).display())
}

/// Serves on a thread of its own, until it is told to end.
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
    pub http: SocketAddr,
}

impl Running {
    pub fn start(plugin: &Plugin, endpoint: &str) -> Self {
        Self::try_start(plugin, endpoint).unwrap()
    }

    pub fn try_start(plugin: &Plugin, endpoint: &str) -> Result<Self> {
        let (plugin, socket) = (plugin.clone(), Socket::parse(endpoint)?);
        let (stop, stopped) = oneshot::channel();
        let (told, started) = mpsc::channel();
        let thread = thread::spawn(move || {
            runtime().block_on(async move {
                let serving = match plugin.listen(&socket).await {
                    Ok(serving) => serving.http(([127, 0, 0, 1], 0).into()).await?,
                    Err(e) => {
                        told.send(Err(e)).unwrap();
                        return Ok(());
                    }
                };
                told.send(Ok(serving.http_address().unwrap())).unwrap();
                serving.until(async { drop(stopped.await) }).await
            })
        });
        let http = started.recv().unwrap()?;
        Ok(Self { stop: Some(stop), thread: Some(thread), http })
    }

    pub fn end(mut self) -> Result<()> {
        self.stop.take();
        self.thread.take().unwrap().join().unwrap()
    }

    /// Status code and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        get(self.http, path)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn get(at: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.into())
}

/// Until it is so; a minute at most.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A plugin that breaks one rule, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaks {
    Nothing,
    Version,
    Healthz,
    NoKeyId,
    LongKeyId,
    OtherKeyId,
    NoCiphertext,
    LongCiphertext,
    OpenCiphertext,
    AnnotationName,
    LongAnnotations,
    Authenticity,
    Plaintext,
    Load,
    Lengths,
    Time,
}

/// One at `endpoint`, until the program ends.
pub fn fake(breaks: Breaks, endpoint: &str) {
    let (path, (told, started)) = (endpoint.strip_prefix("unix://").unwrap().to_owned(), mpsc::channel());
    thread::spawn(move || {
        runtime().block_on(async move {
            let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
            told.send(()).unwrap();
            let service = KeyManagementServiceServer::new(Fake(breaks, Default::default()));
            Server::builder().serve_with_incoming_shutdown(service, incoming, std::future::pending()).await
        })
    });
    started.recv().unwrap();
    // As a plugin should leave its socket.
    let path = endpoint.strip_prefix("unix://").unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

struct Fake(Breaks, std::sync::atomic::AtomicU32);

const MASK: u8 = 0x5a;

#[tonic::async_trait]
impl KeyManagementService for Fake {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        if self.0 == Breaks::Time {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        let version = if self.0 == Breaks::Version { "v3" } else { "v2" };
        let healthz = if self.0 == Breaks::Healthz { "OK" } else { "ok" };
        Ok(Response::new(StatusResponse {
            version: version.into(),
            healthz: healthz.into(),
            key_id: self.key_id(),
        }))
    }

    async fn encrypt(&self, request: Request<EncryptRequest>) -> Result<Response<EncryptResponse>, Status> {
        let plaintext = request.into_inner().plaintext;
        if self.0 == Breaks::Time {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        let mut ciphertext: Vec<u8> = plaintext.iter().map(|b| b ^ MASK).collect();
        ciphertext.push(sum(&plaintext));
        match self.0 {
            Breaks::NoCiphertext => ciphertext.clear(),
            Breaks::LongCiphertext => ciphertext = vec![7; 1025],
            Breaks::OpenCiphertext => ciphertext = [&plaintext[..], &[sum(&plaintext)]].concat(),
            _ => {}
        }
        let name = if self.0 == Breaks::AnnotationName { "Not.A.Domain" } else { "a.example.com" };
        let value = vec![1; if self.0 == Breaks::LongAnnotations { 32 * 1024 } else { 1 }];
        let key_id = if self.0 == Breaks::OtherKeyId { "another".into() } else { self.key_id() };
        let annotations = [(name.into(), value)].into();
        Ok(Response::new(EncryptResponse { ciphertext, key_id, annotations }))
    }

    async fn decrypt(&self, request: Request<DecryptRequest>) -> Result<Response<DecryptResponse>, Status> {
        let DecryptRequest { ciphertext, .. } = request.into_inner();
        let Some((sum_of, masked)) = ciphertext.split_last() else { return Err(Status::unknown("none")) };
        let mask = if self.0 == Breaks::OpenCiphertext { 0 } else { MASK };
        let mut plaintext: Vec<u8> = masked.iter().map(|b| b ^ mask).collect();
        if *sum_of != sum(&plaintext) && self.0 != Breaks::Authenticity {
            return Err(Status::unknown("altered"));
        }
        let running = self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.1.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        match self.0 {
            Breaks::Load if running > 4 => return Err(Status::resource_exhausted("too many")),
            Breaks::Plaintext => plaintext.reverse(),
            Breaks::Lengths if plaintext.len() != 32 => plaintext.truncate(16 - 1),
            _ => {}
        }
        Ok(Response::new(DecryptResponse { plaintext }))
    }
}

impl Fake {
    fn key_id(&self) -> String {
        match self.0 {
            Breaks::NoKeyId => String::new(),
            Breaks::LongKeyId => "k".repeat(1025),
            _ => "fake/1".into(),
        }
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(7, |sum: u8, b| sum.rotate_left(1) ^ b)
}
