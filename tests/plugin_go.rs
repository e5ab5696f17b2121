//! The client against plugins that have nothing of libkms: k8s.io/kms on gRPC for Go.
mod common;
#[path = "common/plugin.rs"]
mod plugin;

use common::Folder;
use libkms::{
    ErrorKind, Wait,
    kek::{self, PluginClient, Wrapped, contract},
    plugin::check,
};
use plugin::{endpoint, until};
use std::{
    path::Path,
    process::{Child, Command},
    time::Duration,
};

const SEED: [u8; 32] = [7; 32];

/// Ends with the test.
struct Go(Child);

impl Go {
    fn start(endpoint: &str, args: &[&str]) -> Self {
        let program = std::env::var_os("LIBKMS_GO_PLUGIN").map(Into::into);
        let program = program.unwrap_or_else(|| {
            Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/go-plugin/go-plugin")
        });
        assert!(program.exists(), "no plugin in Go to test with: tests/run builds it and runs the tests");
        let socket = endpoint.strip_prefix("unix://").unwrap();
        let socket = socket.strip_prefix("/@").map_or(socket.into(), |name| format!("@{name}"));
        let child = Command::new(program).arg("--socket").arg(socket).args(args).spawn().unwrap();
        let (go, client) = (Self(child), PluginClient::new(endpoint).unwrap());
        until("it answers", || client.status().wait().is_ok() || client.old_status().wait().is_ok());
        go
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_plugin_in_go_keeps_the_contract_of_a_backend() {
    let folder = Folder::new("plugin-go-contract");
    let at = endpoint(&folder.0, "kms.sock");
    let _go = Go::start(&at, &[]);
    let uri = format!("k8s-kms:{at}");
    contract::check(|| async { kek::from_uri(&uri).await }).wait();
}

#[test]
fn what_it_wraps_comes_back_at_any_length_and_with_its_annotations_alone() {
    let folder = Folder::new("plugin-go");
    let at = endpoint(&folder.0, "kms.sock");
    let _go = Go::start(&at, &["--key-id", "go, 1"]);
    let client = PluginClient::new(&at).unwrap();
    assert_eq!(client.status().wait().unwrap().check().unwrap(), "go, 1");
    for len in [1, 16, 24, 32, 1000] {
        let wrapped = client.encrypt(&vec![7; len]).wait().unwrap();
        assert_eq!(client.decrypt(&wrapped).wait().unwrap().expose().unwrap(), vec![7; len]);
        assert_eq!(wrapped.annotations.keys().collect::<Vec<_>>(), ["nonce.kms.example.com"]);
        let bare = Wrapped { annotations: Default::default(), ..wrapped };
        assert_eq!(client.decrypt(&bare).wait().unwrap_err().kind(), ErrorKind::BadReply);
    }
    // Its socket is as its umask has it.
    let rules = check(&at, Duration::from_secs(30)).wait().unwrap();
    assert!(rules.iter().all(|r| r.passed || r.name == "socket-rights"), "{rules:?}");
}

#[test]
fn a_client_connects_anew_when_the_plugin_comes_back() {
    let folder = Folder::new("plugin-go-again");
    let (at, key) = (endpoint(&folder.0, "kms.sock"), folder.join("key"));
    std::fs::write(&key, SEED).unwrap();
    let key = key.to_str().unwrap();
    let go = Go::start(&at, &["--key-file", key]);
    let client = PluginClient::new(&at).unwrap();
    let wrapped = client.encrypt(&SEED).wait().unwrap();
    drop(go);
    assert_eq!(client.decrypt(&wrapped).wait().unwrap_err().kind(), ErrorKind::Unavailable);
    // Killed, it has left its socket, and that is not for it to remove.
    std::fs::remove_file(folder.join("kms.sock")).unwrap();
    let _go = Go::start(&at, &["--key-file", key]);
    assert_eq!(client.decrypt(&wrapped).wait().unwrap().expose().unwrap(), SEED);
}

#[test]
fn a_plugin_of_version_1_is_read() {
    let folder = Folder::new("plugin-go-old");
    for at in [endpoint(&folder.0, "kms.sock"), format!("unix:///@libkms-go-{}", std::process::id())] {
        let _go = Go::start(&at, &["--v1"]);
        let client = PluginClient::new(&at).unwrap();
        assert_eq!(client.old_status().wait().unwrap().version, "v1beta1");
        for len in [16, 24, 32] {
            let wrapped = client.old_encrypt(&vec![7; len]).wait().unwrap();
            let back = client.old_decrypt(&wrapped.ciphertext).wait().unwrap();
            assert_eq!(back.expose().unwrap(), vec![7; len]);
            assert!(client.old_decrypt(&wrapped.ciphertext[1..]).wait().is_err());
        }
        // It is no plugin of version 2.
        let e = client.status().wait().unwrap_err();
        assert!(e.kind() == ErrorKind::BadReply && e.to_string().contains("Unimplemented"), "{e}");
    }
}

/// The program beside a plugin in Go that does as little as one can: the same client, the same calls,
/// in turns. In a release build: `cargo test --release --all-features --test plugin_go -- --ignored`.
#[test]
#[ignore = "takes half a minute of an idle machine, and a release build"]
fn a_decrypt_takes_less_time_than_in_go() {
    const CALLS: usize = 20_000;
    let folder = Folder::new("plugin-go-speed");
    let (ours, theirs) = (endpoint(&folder.0, "kms.sock"), endpoint(&folder.0, "go.sock"));
    let program = || Command::new(env!("CARGO_BIN_EXE_kms"));
    let keyring = folder.join("keys.json").display().to_string();
    let made = program().args(["keyring", "create", &keyring, "--key", "k"]).output().unwrap();
    assert!(made.status.success());
    let kek = format!("local:{keyring}#k");
    let child = program().args(["plugin", "serve", "--kek", &kek, "--listen", &ours]).spawn().unwrap();
    let (kms, go) = (Go(child), Go::start(&theirs, &[]));
    let client = |at: &str| PluginClient::new(at).unwrap();
    until("it answers", || client(&ours).status().wait().is_ok_and(|s| s.healthz == "ok"));
    let mut seen = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        for (n, (at, child)) in [(&ours, &kms.0), (&theirs, &go.0)].into_iter().enumerate() {
            let wrapped = client(at).encrypt(&SEED).wait().unwrap();
            let before = cpu(child.id());
            let (seconds, p99) = decrypts(at, &wrapped, CALLS);
            seen[n].push(((cpu(child.id()) - before) / CALLS as f64, CALLS as f64 / seconds, p99));
        }
    }
    let median = |of: &dyn Fn(&(f64, f64, f64)) -> f64, n: usize| {
        let mut all: Vec<f64> = seen[n].iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let both = |of: &dyn Fn(&(f64, f64, f64)) -> f64| (median(of, 0), median(of, 1));
    let (cpu, rate, p99) = (both(&|s| s.0), both(&|s| s.1), both(&|s| s.2));
    eprintln!(
        "CPU {:.1} and {:.1} µs a Decrypt, {:.0} and {:.0} a second",
        cpu.0 * 1e6,
        cpu.1 * 1e6,
        rate.0,
        rate.1
    );
    eprintln!("p99 {:.2} and {:.2} ms", p99.0 * 1e3, p99.1 * 1e3);
    assert!(cpu.0 <= 0.6 * cpu.1 && rate.0 >= rate.1 && p99.0 <= p99.1);
}

/// Seconds of processor time of a process so far.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

/// Eight at once on one connection, as an API server has one: seconds in all, and the 99th of a
/// hundred.
fn decrypts(at: &str, wrapped: &Wrapped, calls: usize) -> (f64, f64) {
    use plugin::v2::{DecryptRequest, key_management_service_client::KeyManagementServiceClient};
    let path = at.strip_prefix("unix://").unwrap().to_owned();
    plugin::runtime().block_on(async {
        let channel = tonic::transport::Endpoint::from_static("http://localhost")
            .connect_with_connector_lazy(tower::service_fn(move |_| {
                let connected = tokio::net::UnixStream::connect(path.clone());
                async { connected.await.map(hyper_util::rt::TokioIo::new) }
            }));
        let began = std::time::Instant::now();
        let workers = (0..8).map(|_| {
            let mut client = KeyManagementServiceClient::new(channel.clone());
            let wrapped = wrapped.clone();
            tokio::spawn(async move {
                let mut took = Vec::new();
                for _ in 0..calls / 8 {
                    let Wrapped { ciphertext, key_id, annotations } = wrapped.clone();
                    let annotations = annotations.into_iter().collect();
                    let request = DecryptRequest { ciphertext, key_id, annotations, uid: "uid".into() };
                    let began = std::time::Instant::now();
                    assert_eq!(client.decrypt(request).await.unwrap().into_inner().plaintext, SEED);
                    took.push(began.elapsed().as_secs_f64());
                }
                took
            })
        });
        let (workers, mut took): (Vec<_>, Vec<f64>) = (workers.collect(), Vec::new());
        for worker in workers {
            took.extend(worker.await.unwrap());
        }
        let all = began.elapsed().as_secs_f64();
        took.sort_by(f64::total_cmp);
        (all, took[took.len() * 99 / 100])
    })
}
