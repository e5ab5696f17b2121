//! Values under kms v2 in a real etcd, where the KMS moves to another key.
mod common;
#[path = "common/etcd.rs"]
mod etcd;

use common::*;
use etcd::Server;
use libkms::{
    Result, Wait,
    fleet::etcd::{Etcd, Rotate, Stored},
    kubernetes::{DekSource, KmsProvider, KmsService, KmsStatus, KmsVersion, Provider, Transformer, Wrapped},
    rt::{BoxFuture, Runtime},
};
use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// So many seconds later than it is. Each task has a thread of its own.
#[derive(Clone, Default)]
struct Later(Arc<AtomicU64>);

impl Runtime for Later {
    fn now(&self) -> Duration {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed() + Duration::from_secs(self.0.load(SeqCst))
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move { thread::sleep(time) })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        thread::spawn(|| task.wait());
    }
}

/// Its Status names another key as soon as it has moved; its Encrypt, never.
struct Lagging(Arc<AtomicBool>);

#[libkms::async_trait]
impl KmsService for Lagging {
    async fn encrypt(&self, plaintext: &[u8], _: &str) -> Result<Wrapped> {
        let ciphertext = plaintext.iter().map(|byte| byte ^ 0x55).collect();
        Ok(Wrapped { ciphertext, key_id: "1".into(), ..Wrapped::default() })
    }

    async fn decrypt(&self, wrapped: &Wrapped, _: &str) -> Result<DekSource> {
        DekSource::take(wrapped.ciphertext.iter().map(|byte| byte ^ 0x55).collect::<Vec<_>>())
    }

    async fn status(&self) -> Result<KmsStatus> {
        let key_id = if self.0.load(SeqCst) { "2" } else { "1" }.into();
        Ok(KmsStatus { version: "v2".into(), healthz: "ok".into(), key_id })
    }
}

/// It would have to be done again, and nobody would know.
#[test]
fn a_value_that_stays_under_the_old_key_is_not_told_to_be_rotated() {
    let folder = Folder::new("k8s-etcd-kms");
    let (server, later, has_moved) = (Server::start(&folder), Later::default(), Arc::default());
    let provider = Provider::Kms(KmsProvider {
        version: KmsVersion::V2,
        name: "kms".into(),
        endpoint: "unix:///nowhere".into(),
        timeout: Duration::from_secs(3),
        cache_size: 0,
    });
    let by =
        Transformer::on(later.clone(), vec![provider], |_| Ok(Arc::new(Lagging(Arc::clone(&has_moved)))));
    let by = by.unwrap();
    let path = |n: usize| format!("/registry/secrets/default/{n}");
    let value = |n: usize| (path(n), by.write(path(n), b"k8s\0secret").wait().unwrap());
    let values: Vec<_> = (0..10).map(value).collect();
    server.put_all(&values);
    let is_stale = || by.read(&values[0].0, &values[0].1).wait().unwrap().stale;
    assert!(!is_stale());
    has_moved.store(true, SeqCst);
    later.0.store(61, SeqCst);
    let begun = Instant::now();
    while !is_stale() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is not asked which key wraps");
        thread::sleep(Duration::from_millis(20));
    }
    let etcd = Etcd::connect(&[server.url()], None).unwrap();
    let done = Rotate::new().run(&Stored::new(&etcd, "/registry/secrets/", &by).unwrap(), |_| {}).unwrap();
    assert_eq!((done.rotated, done.failed), (0, 10), "{done:?}");
    assert!(done.failures[0].1.to_string().contains("another key"), "{done:?}");
}
