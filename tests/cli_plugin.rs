//! `kms plugin`, as operators run it.
mod common;
#[path = "common/plugin.rs"]
mod plugin;

use common::{Folder, base64};
use libkms::{
    ErrorKind, Wait,
    kek::{PluginClient, Wrapped},
};
use plugin::{endpoint, get, private, until};
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    os::unix::{fs::MetadataExt, net::UnixDatagram},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
    time::Duration,
};

const SEED: [u8; 32] = *b"SEEDMARKER that nobody may see..";

fn kms(folder: &Folder, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kms")).args(args).current_dir(&folder.0).output().unwrap()
}

/// The program, killed with the test.
struct Serve {
    child: Child,
    log: std::path::PathBuf,
}

impl Serve {
    fn start(folder: &Folder, args: &[&str]) -> Self {
        Self::start_with(folder, args, &[])
    }

    fn start_with(folder: &Folder, args: &[&str], env: &[(&str, &str)]) -> Self {
        private(&folder.0);
        let log = folder.join("log");
        let child = Command::new(env!("CARGO_BIN_EXE_kms"))
            .args(["plugin", "serve"])
            .args(args)
            .envs(env.iter().copied())
            .current_dir(&folder.0)
            .stderr(Stdio::from(fs::File::create(&log).unwrap()))
            .spawn()
            .unwrap();
        let serve = Self { child, log };
        until("it listens", || serve.log().contains("listens at"));
        serve
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn http(&self) -> SocketAddr {
        let log = self.log();
        let at = log.split("HTTP at ").nth(1).unwrap().lines().next().unwrap();
        at.parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let killed = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    fn end(&mut self, signal: &str) -> i32 {
        self.signal(signal);
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    assert!(kms(&folder, &["keyring", "create", "keys.json", "--key", "cluster"]).status.success());
    folder
}

const KEK: &str = "local:keys.json#cluster";

#[test]
fn it_serves_and_check_says_that_it_is_fit() {
    let folder = folder("cli-plugin");
    let at = endpoint(&folder.0, "kms.sock");
    let mut serve = Serve::start(&folder, &["--kek", KEK, "--listen", &at, "--http", "127.0.0.1:0"]);
    let found = fs::metadata(folder.join("kms.sock")).unwrap();
    assert_eq!(found.mode() & 0o777, 0o600);
    assert_eq!(get(serve.http(), "/readyz"), (200, "ok\n".into()));
    let checked = kms(&folder, &["plugin", "check", "kms.sock"]);
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && told.lines().count() >= 16, "{told}");
    assert!(told.lines().all(|line| line.starts_with("ok ")), "{told}");
    // A second one is refused, and the first serves on.
    let second = kms(&folder, &["plugin", "serve", "--kek", KEK, "--listen", &at]);
    assert_eq!(second.status.code(), Some(2), "{second:?}");
    assert_eq!(serve.end("-INT"), 0);
    assert!(!folder.join("kms.sock").exists() && serve.log().contains("SIGINT"));
    // Nobody there.
    let checked = kms(&folder, &["plugin", "check", "--json", &at]);
    let rules: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!((&rules[0]["rule"], &rules[0]["passed"]), (&"socket-rights".into(), &false.into()));
}

#[test]
fn a_plugin_that_was_killed_is_started_again() {
    let folder = folder("cli-plugin-killed");
    let at = endpoint(&folder.0, "kms.sock");
    let mut serve = Serve::start(&folder, &["--kek", KEK, "--listen", &at]);
    let client = PluginClient::new(&at).unwrap();
    let wrapped = client.encrypt(&SEED).wait().unwrap();
    serve.end("-KILL");
    assert!(folder.join("kms.sock").exists());
    let _serve = Serve::start(&folder, &["--kek", KEK, "--listen", &at]);
    assert_eq!(client.decrypt(&wrapped).wait().unwrap().expose().unwrap(), SEED);
}

/// Every reply that the plugin gave has come, and every call that it took has a reply.
#[test]
fn sigterm_under_load_loses_no_reply() {
    let folder = folder("cli-plugin-term");
    let at = endpoint(&folder.0, "kms.sock");
    let mut serve = Serve::start(&folder, &["--kek", KEK, "--listen", &at, "--log-calls"]);
    let (came, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                let client = PluginClient::new(&at).unwrap();
                loop {
                    match client.encrypt(&SEED).wait() {
                        Ok(_) => came.fetch_add(1, SeqCst),
                        Err(e) => {
                            assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
                            break refused.fetch_add(1, SeqCst);
                        }
                    };
                }
            });
        }
        until("there is load", || came.load(SeqCst) > 500);
        assert_eq!(serve.end("-TERM"), 0);
    });
    let answered = serve.log().matches(": OK in ").count() as u64;
    assert_eq!((answered, refused.load(SeqCst)), (came.load(SeqCst), 8));
}

#[test]
fn f35_no_secret_is_logged() {
    let folder = folder("cli-plugin-log");
    let at = endpoint(&folder.0, "kms.sock");
    let args = ["--kek", KEK, "--listen", &at, "--log-calls", "--context", "cluster=prod"];
    let mut serve = Serve::start(&folder, &args);
    let client = PluginClient::new(&at).unwrap();
    let wrapped = client.encrypt(&SEED).wait().unwrap();
    client.decrypt(&wrapped).wait().unwrap();
    let mut altered = wrapped.clone();
    *altered.ciphertext.last_mut().unwrap() ^= 1;
    assert!(client.decrypt(&altered).wait().is_err());
    assert!(client.encrypt(&[&SEED[..], &[7; 1000]].concat()).wait().is_err());
    let of_nobody = Wrapped { ciphertext: SEED.into(), key_id: "k".into(), ..Default::default() };
    assert!(client.decrypt(&of_nobody).wait().is_err());
    serve.end("-TERM");
    let (log, keyring) = (serve.log(), fs::read_to_string(folder.join("keys.json")).unwrap());
    assert!(log.contains("Decrypt \"") && log.contains("InvalidArgument") && log.contains("local:cluster/1"));
    let hex: String = SEED.iter().map(|b| format!("{b:02x}")).collect();
    let list = SEED.map(|b| b.to_string()).join(", ");
    let keys = keyring.split('"').filter(|text| text.len() >= 40);
    for secret in keys.chain(["SEEDMARKER", &hex, &list, &base64(&SEED)[..40]]) {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
    // What a caller chooses is no line of its own.
    assert!(log.lines().all(|line| line.starts_with("kms: ")), "{log}");
}

#[test]
fn mistakes_are_told_at_once() {
    let folder = folder("cli-plugin-mistakes");
    let at = endpoint(&folder.0, "kms.sock");
    let said = |args: &[&str]| {
        let output = kms(&folder, &[&["plugin", "serve"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?} {output:?}");
        assert!(!folder.join("kms.sock").exists());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said(&["--listen", &at]).contains("--kek"));
    assert!(said(&["--kek", KEK, "--listen", "kms.sock"]).contains("unix:///PATH"));
    let open = ["--kek", KEK, "--listen", &at, "--http", "0.0.0.0:0"];
    assert!(said(&open).contains("--http-anywhere"));
    assert!(said(&["--kek", KEK, "--listen", &at, "--group", "no such group"]).contains("/etc/group"));
    assert!(said(&["--kek", KEK, "--listen", &at, "--health-interval", "5x"]).contains("5m"));
    assert!(said(&["--kek", KEK, "--listen", &at, "--health-interval", "10ms"]).contains("every second"));
}

#[test]
fn systemd_is_told_that_it_is_ready_and_a_group_may_connect() {
    let folder = folder("cli-plugin-systemd");
    private(&folder.0);
    let (at, notify) = (endpoint(&folder.0, "kms.sock"), folder.join("notify"));
    let socket = UnixDatagram::bind(&notify).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // One's own group may always be given.
    let group = fs::metadata(&folder.0).unwrap().gid().to_string();
    let args = ["--kek", KEK, "--listen", &at, "--group", &group];
    let _serve = Serve::start_with(&folder, &args, &[("NOTIFY_SOCKET", notify.to_str().unwrap())]);
    let mut said = [0; 64];
    let len = socket.recv(&mut said).unwrap();
    assert_eq!(&said[..len], b"READY=1");
    let found = fs::metadata(folder.join("kms.sock")).unwrap();
    assert_eq!((found.mode() & 0o777, found.gid().to_string()), (0o660, group));
}

/// Whoever copies one of them gets a plugin that starts.
#[test]
fn the_examples_name_options_that_there_are() {
    let folder = folder("cli-plugin-examples");
    let help = String::from_utf8(kms(&folder, &["plugin", "serve", "--help"]).stdout).unwrap();
    let read =
        |name: &str| fs::read_to_string(format!("{}/examples/plugin/{name}", env!("CARGO_MANIFEST_DIR")));
    let unit = read("kms-plugin.service").unwrap();
    let of_unit = unit.split("ExecStart=").nth(1).unwrap().replace("\\\n", " ");
    let of_unit = of_unit.lines().next().unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let pod = read("kms-plugin.yaml").unwrap();
    let of_pod =
        pod.split("command:\n").nth(1).unwrap().lines().map_while(|line| line.trim().strip_prefix("- "));
    let of_pod: Vec<_> = of_pod.map(str::to_owned).collect();
    for words in [of_unit, of_pod] {
        assert_eq!(words[1..3], ["plugin", "serve"]);
        let options: Vec<_> = words.iter().filter(|word| word.starts_with("--")).collect();
        assert!(
            options.len() >= 5 && options.iter().all(|o| help.contains(&format!("{o} <"))),
            "{options:?}"
        );
        // The whole of it, with a keyring in place of AWS, and sockets of this test's own.
        let at = endpoint(&folder.0, "kms.sock");
        let own = words[3..].iter().map(|word| match &**word {
            "aws-kms:alias/cluster" => KEK,
            "unix:///run/kms-plugin/kms.sock" => &at,
            "127.0.0.1:8787" => "127.0.0.1:0",
            word => word,
        });
        let mut serve = Serve::start(&folder, &own.collect::<Vec<_>>());
        assert_eq!(get(serve.http(), "/livez").0, 200);
        assert_eq!(serve.end("-TERM"), 0);
    }
}

/// Row 45: the API server starts before the network does.
#[test]
fn f45_it_comes_up_while_aws_cannot_be_reached() {
    let folder = folder("cli-plugin-down");
    let at = endpoint(&folder.0, "kms.sock");
    let kek = "aws-kms:arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab\
               ?endpoint=http://127.0.0.1:9";
    let env = [
        ("AWS_ACCESS_KEY_ID", "AKIDMARKER"),
        ("AWS_SECRET_ACCESS_KEY", "SECRETMARKER"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let args = ["--kek", kek, "--listen", &at, "--http", "127.0.0.1:0", "--deadline", "500ms"];
    let mut serve = Serve::start_with(&folder, &args, &env);
    let client = PluginClient::new(&at).unwrap();
    let status = client.status().wait().unwrap();
    assert_eq!((&*status.version, &*status.key_id), ("v2", ""));
    assert!(status.healthz.contains("aws-kms") && !status.healthz.contains("MARKER"), "{status:?}");
    assert_eq!(client.encrypt(&SEED).wait().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(get(serve.http(), "/readyz").0, 503);
    assert_eq!(get(serve.http(), "/livez").0, 200);
    let checked = kms(&folder, &["plugin", "check", "kms.sock"]);
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(told.contains("FAILED status-healthz") && told.contains("FAILED encrypt-answers"), "{told}");
    assert_eq!(serve.end("-TERM"), 0);
    assert!(!serve.log().contains("SECRETMARKER"));
}
