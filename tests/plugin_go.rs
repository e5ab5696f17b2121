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
