//! Whether a plugin, anyone's, keeps what an API server asks of it.
use crate::{
    Error, ErrorKind, Result,
    crypto::random,
    kek::{
        KmsStatus, PluginClient, Wrapped,
        k8s_kms::{Endpoint, MOST, check_annotations},
    },
    rt::join_all,
};
use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// A restarting API server asks so often at once, for so many seeds.
const AT_ONCE: usize = 30;
const SEEDS: usize = 4;
/// Beyond what an API server has wrapped, which is 32.
const LARGE: [usize; 5] = [16, 24, 64, 256, 512];

/// One rule, and whether it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// What it is called: it stays so.
    pub name: &'static str,
    /// Whether it is kept. Where a call before it failed it is not.
    pub passed: bool,
    /// What was seen: text from elsewhere may stand in it, and no secret.
    pub told: String,
}

/// Asks the plugin at `endpoint` (`unix:///PATH`, `unix:///@NAME`) for what an API server asks for,
/// which gives it `timeout` for each call: some sixty calls, a few of them with a KMS behind.
///
/// # Errors
/// Misuse if that is no endpoint. Whatever the plugin does wrong is a rule.
pub async fn check(endpoint: &str, timeout: Duration) -> Result<Vec<Rule>> {
    let socket = Endpoint::parse(endpoint)?;
    let mut check = Check {
        client: PluginClient::new(endpoint)?.timeout(timeout),
        timeout,
        slowest: Duration::ZERO,
        rules: Vec::new(),
    };
    check.socket(&socket);
    check.all().await?;
    Ok(check.rules)
}

struct Check {
    client: PluginClient,
    timeout: Duration,
    slowest: Duration,
    rules: Vec<Rule>,
}

impl Check {
    fn rule(&mut self, name: &'static str, passed: bool, told: impl Into<String>) {
        self.rules.push(Rule { name, passed, told: told.into() });
    }

    fn of<T>(&mut self, name: &'static str, answer: Result<T>, told: impl FnOnce(&T) -> String) -> Option<T> {
        match answer {
            Ok(answer) => {
                self.rule(name, true, told(&answer));
                Some(answer)
            }
            Err(e) => {
                self.rule(name, false, e.to_string());
                None
            }
        }
    }

    async fn timed<T>(&mut self, call: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = call.await;
        self.slowest = self.slowest.max(began.elapsed());
        answer
    }

    async fn all(&mut self) -> Result<()> {
        let client = self.client.clone();
        let status = self.timed(client.status()).await;
        let status = self.of("status-answers", status, |_| "it answers".into());
        if let Some(status) = &status {
            self.status(status);
        }
        let seed = seed(32)?;
        let wrapped = self.timed(client.encrypt_unchecked(&seed)).await;
        let wrapped = self.of("encrypt-answers", wrapped, |_| "it wraps a seed of 32 bytes".into());
        if let Some(wrapped) = &wrapped {
            self.wrapped(wrapped, &seed, status.as_ref());
            self.round_trip(wrapped, &seed).await;
            self.altered(wrapped).await;
            self.at_once().await?;
            self.sizes().await?;
        }
        if let Some(before) = status {
            let after = self.timed(client.status()).await;
            let is_same = after.as_ref().is_ok_and(|s| s.version == before.version);
            self.rule("status-version-stays", is_same, "its version is the same after all this");
        }
        let told = format!("the slowest call took {:.0?} of {:?}", self.slowest, self.timeout);
        self.rule("latency", self.slowest < self.timeout, told);
        Ok(())
    }

    fn socket(&mut self, socket: &Endpoint) {
        let name = "socket-rights";
        let Some(path) = socket.file() else {
            return self.rule(name, true, "it has no file: the plugin alone can tell who connects");
        };
        let found = fs::symlink_metadata(path);
        let directory = path.parent().and_then(|directory| fs::metadata(directory).ok());
        match found {
            Err(e) => self.rule(name, false, e.to_string()),
            Ok(found) if !found.file_type().is_socket() => self.rule(name, false, "it is no socket"),
            Ok(found) => {
                let mode = found.mode() & 0o777;
                let is_open = directory.is_some_and(|d| d.mode() & 0o022 != 0 && d.mode() & 0o1000 == 0);
                let told = match (mode & 0o007, is_open) {
                    (0, false) => format!("mode {mode:o}: its owner and its group alone"),
                    (0, true) => "others may put another socket in its directory".into(),
                    _ => format!("mode {mode:o}: anyone on this machine may have it unwrap seeds"),
                };
                self.rule(name, mode & 0o007 == 0 && !is_open, told);
            }
        }
    }

    fn status(&mut self, status: &KmsStatus) {
        let KmsStatus { version, healthz, key_id } = status;
        let is_version = version == "v2" || version == "v2beta1";
        self.rule("status-version", is_version, format!("{version:?}: v2 or v2beta1"));
        self.rule("status-healthz", healthz == "ok", format!("{healthz:?}: exactly \"ok\""));
        let told = format!("{} bytes: 1 to {MOST}", key_id.len());
        self.rule("status-key-id", (1..=MOST).contains(&key_id.len()), told);
    }

    fn wrapped(&mut self, wrapped: &Wrapped, seed: &[u8], status: Option<&KmsStatus>) {
        let len = wrapped.ciphertext.len();
        self.rule("ciphertext-length", (1..=MOST).contains(&len), format!("{len} bytes: 1 to {MOST}"));
        let is_open = wrapped.ciphertext.windows(seed.len()).any(|w| w == seed)
            || wrapped.annotations.values().any(|v| v.windows(seed.len()).any(|w| w == seed));
        self.rule("ciphertext-hides", !is_open, "the seed does not lie open in what is stored");
        let is_same = status.is_some_and(|status| status.key_id == wrapped.key_id);
        let told = if is_same { "the same as Status tells" } else { "another than Status tells" };
        self.rule("encrypt-key-id", is_same, told);
        let count = wrapped.annotations.len();
        self.of("annotations", check_annotations(&wrapped.annotations), |()| {
            format!("{count}: domains of two labels or more, 32 KiB at most")
        });
    }

    async fn round_trip(&mut self, wrapped: &Wrapped, seed: &[u8]) {
        let client = self.client.clone();
        let back = self.timed(client.decrypt(wrapped)).await;
        let back = back.and_then(|back| same(back.expose()?, seed));
        self.of("decrypt", back, |()| "what it wrapped it unwraps".into());
    }

    async fn altered(&mut self, wrapped: &Wrapped) {
        let (client, len) = (self.client.clone(), wrapped.ciphertext.len());
        let mut taken = Vec::new();
        for at in [0, len / 2, len.saturating_sub(1)] {
            let mut altered = wrapped.clone();
            if let Some(byte) = altered.ciphertext.get_mut(at) {
                *byte ^= 1;
            }
            if self.timed(client.decrypt(&altered)).await.is_ok() {
                taken.push(at);
            }
        }
        let told = match &*taken {
            [] => "a flipped bit is refused, wherever it is".into(),
            at => format!("takes a ciphertext with a bit flipped in byte {at:?}"),
        };
        self.rule("decrypt-authenticates", taken.is_empty(), told);
    }

    async fn at_once(&mut self) -> Result<()> {
        let (client, mut seeds) = (self.client.clone(), Vec::new());
        for _ in 0..SEEDS {
            let seed = seed(32)?;
            let wrapped = self.timed(client.encrypt_unchecked(&seed)).await;
            seeds.push((seed, wrapped.unwrap_or_default()));
        }
        let unwrap = |(seed, wrapped): &(Zeroizing<Vec<u8>>, Wrapped)| {
            let (client, seed, wrapped) = (client.clone(), seed.clone(), wrapped.clone());
            async move { client.decrypt(&wrapped).await.and_then(|back| same(back.expose()?, &seed)) }
        };
        let calls = join_all(seeds.iter().cycle().take(AT_ONCE).map(unwrap));
        let failed: Vec<_> = self.timed(calls).await.into_iter().filter_map(Result::err).collect();
        let told = match failed.first() {
            None => format!("{AT_ONCE} Decrypts of {SEEDS} seeds at once, as after a restart"),
            Some(e) => format!("{} of {AT_ONCE} Decrypts at once failed: {e}", failed.len()),
        };
        self.rule("decrypt-at-once", failed.is_empty(), told);
        Ok(())
    }

    async fn sizes(&mut self) -> Result<()> {
        let (client, mut most, mut wrong) = (self.client.clone(), 32, None);
        for len in LARGE {
            let seed = seed(len)?;
            // It need not take them.
            let Ok(wrapped) = client.encrypt_unchecked(&seed).await else { continue };
            let back = client.decrypt(&wrapped).await.and_then(|back| same(back.expose()?, &seed));
            match back {
                Ok(()) if wrapped.ciphertext.len() <= MOST => most = most.max(len),
                Ok(()) => {}
                Err(e) => wrong = Some(format!("{len} bytes: {e}")),
            }
        }
        let told = wrong.clone().unwrap_or_else(|| format!("plaintexts of up to {most} bytes at least"));
        self.rule("plaintext-lengths", wrong.is_none(), told);
        Ok(())
    }
}

fn seed(len: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut seed = Zeroizing::new(vec![0; len]);
    seed.as_chunks_mut::<8>().0.iter_mut().try_for_each(random)?;
    Ok(seed)
}

fn same(back: &[u8], seed: &[u8]) -> Result<()> {
    let wrong = || Error::new(ErrorKind::BadReply, "it unwraps something else than it wrapped");
    if back == seed { Ok(()) } else { Err(wrong()) }
}
