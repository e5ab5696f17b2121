//! The client: one connection to each plugin, as an API server has one.
use super::v2::{
    DecryptRequest, EncryptRequest, StatusRequest, key_management_service_client::KeyManagementServiceClient,
};
use hyper_util::rt::TokioIo;
use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// Calls at once.
const AT_ONCE: usize = 8;
/// How long a plugin may take to come up.
const HEALTHY: Duration = Duration::from_secs(60);
/// As long as that of an API server, which sends a UUID.
const UID: &str = "7c4f3a52-0f0d-4c86-9f2e-3d1f6a1b9c55";

/// A seed that a plugin wrapped: what it is asked, and what it should answer.
pub struct Seed {
    pub asked: DecryptRequest,
    pub plaintext: [u8; 32],
}

/// What many calls took.
pub struct Took {
    pub seconds: f64,
    /// Each of them, the quickest first.
    pub each: Vec<f64>,
}

#[derive(Clone)]
pub struct Client(KeyManagementServiceClient<Channel>);

impl Client {
    pub fn new(socket: &Path) -> Self {
        let socket = socket.to_owned();
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(
            tower::service_fn(move |_| {
                let connected = UnixStream::connect(socket.clone());
                async { connected.await.map(TokioIo::new) }
            }),
        );
        Self(KeyManagementServiceClient::new(channel))
    }

    /// The key id, once the plugin is healthy.
    pub async fn key_id(&self) -> String {
        let began = Instant::now();
        loop {
            match self.0.clone().status(StatusRequest {}).await {
                Ok(status) if status.get_ref().healthz == "ok" => return status.into_inner().key_id,
                Ok(_) => assert!(began.elapsed() < HEALTHY, "the plugin is not healthy"),
                Err(e) => assert!(began.elapsed() < HEALTHY, "no plugin answers: {e}"),
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub async fn wrapped(&self, plaintext: [u8; 32]) -> Seed {
        let request = EncryptRequest { plaintext: plaintext.to_vec(), uid: UID.into() };
        let wrapped = self.0.clone().encrypt(request).await.expect("a wrapped seed").into_inner();
        Seed::new(plaintext, wrapped.ciphertext, wrapped.key_id, wrapped.annotations)
    }

    /// So many Decrypts, of these seeds in turn. Every answer is looked at.
    pub async fn decrypts(&self, seeds: &Arc<Vec<Seed>>, calls: usize) -> Took {
        let began = Instant::now();
        let workers = (0..AT_ONCE).map(|first| {
            let (client, seeds) = (self.0.clone(), seeds.clone());
            tokio::spawn(every_eighth(client, seeds, first, calls))
        });
        let (workers, mut each): (Vec<_>, Vec<f64>) = (workers.collect(), Vec::new());
        for worker in workers {
            each.extend(worker.await.expect("no panic"));
        }
        let seconds = began.elapsed().as_secs_f64();
        each.sort_by(f64::total_cmp);
        Took { seconds, each }
    }
}

async fn every_eighth(
    mut client: KeyManagementServiceClient<Channel>,
    seeds: Arc<Vec<Seed>>,
    first: usize,
    calls: usize,
) -> Vec<f64> {
    let mut took = Vec::with_capacity(calls / AT_ONCE + 1);
    for seed in (first..calls).step_by(AT_ONCE).map(|n| &seeds[n % seeds.len()]) {
        let request = seed.asked.clone();
        let began = Instant::now();
        let answer = client.decrypt(request).await.expect("an unwrapped seed");
        took.push(began.elapsed().as_secs_f64());
        assert_eq!(answer.get_ref().plaintext, seed.plaintext);
    }
    took
}

impl Seed {
    pub fn new(
        plaintext: [u8; 32],
        ciphertext: Vec<u8>,
        key_id: String,
        annotations: HashMap<String, Vec<u8>>,
    ) -> Self {
        Self { asked: DecryptRequest { ciphertext, uid: UID.into(), key_id, annotations }, plaintext }
    }
}

impl Took {
    /// Of a hundred calls, so many were quicker.
    pub fn percentile(&self, percent: usize) -> f64 {
        self.each[(self.each.len() * percent / 100).min(self.each.len() - 1)]
    }
}
