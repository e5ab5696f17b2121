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
    io::Read,
    os::unix::net::UnixStream,
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
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

#[test]
fn connections_that_say_nothing_keep_nobody_out_and_end_with_the_plugin() {
    let folder = Folder::new("plugin-silent");
    let at = endpoint(&folder.0, "kms.sock");
    let running = Running::start(&plugin(&kms()), &at);
    let silent = || UnixStream::connect(folder.join("kms.sock")).unwrap();
    let mut all: Vec<_> = (0..100).map(|_| silent()).collect();
    let client = PluginClient::new(&at).unwrap().timeout(Duration::from_secs(60));
    assert_eq!(client.status().wait().unwrap().version, "v2");
    let first = &mut all[0];
    first.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // HTTP/2 says who it is, and then it is over.
    first.read_to_end(&mut Vec::new()).unwrap();
    // One that has only just come does not make a stop fail.
    let _late = silent();
    let begun = Instant::now();
    running.end().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30));
}
