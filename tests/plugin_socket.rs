//! Who keeps a plugin from its socket, and others from the plugin.
mod common;
#[path = "common/plugin.rs"]
mod plugin;

use common::Folder;
use libkms::{
    Kms, Wait,
    kek::{Mock, PluginClient},
};
use plugin::{Running, endpoint, plugin};
use std::{
    fs::File,
    sync::mpsc::channel,
    thread,
    time::Duration,
};

fn kms() -> Kms {
    Kms::builder().kek(Mock::new("k")).build().unwrap()
}

/// Whoever may read a directory can lock it, for as long as they like.
#[test]
fn a_plugin_starts_in_a_directory_that_another_program_has_locked() {
    let folder = Folder::new("plugin-locked");
    let at = endpoint(&folder.0, "kms.sock");
    let locked = File::open(&folder.0).unwrap();
    locked.lock().unwrap();
    let (started, is_up) = channel();
    let starting = {
        let at = at.clone();
        thread::spawn(move || {
            let running = Running::start(&plugin(&kms()), &at);
            started.send(()).unwrap();
            running
        })
    };
    let is_up = is_up.recv_timeout(Duration::from_secs(30));
    locked.unlock().unwrap();
    let running = starting.join().unwrap();
    assert!(is_up.is_ok(), "it waits for the lock");
    assert_eq!(PluginClient::new(&at).unwrap().status().wait().unwrap().version, "v2");
    running.end().unwrap();
}
