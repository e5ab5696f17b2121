//! What happened, and what must not have.
use std::{
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// A clone is another handle on the same.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    all: Vec<String>,
    /// What breaks a promise, and the line it stands behind.
    breaches: Vec<(usize, String)>,
}

impl Log {
    pub fn say(&self, now: Duration, what: impl Display) {
        self.lines().all.push(format!("{} {what}", clock(now)));
    }

    pub fn breach(&self, now: Duration, what: impl Display) {
        let (mut lines, what) = (self.lines(), format!("{} {what}", clock(now)));
        let line = lines.all.len();
        lines.all.push(format!("{what}  <-- BROKEN"));
        lines.breaches.push((line, what));
    }

    /// FNV-1a of all lines.
    pub fn hash(&self) -> u64 {
        let lines = self.lines();
        let bytes = lines.all.iter().flat_map(|line| line.bytes().chain([b'\n']));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
    }

    pub fn len(&self) -> usize {
        self.lines().all.len()
    }

    pub fn print(&self) {
        self.lines().all.iter().for_each(|line| println!("{line}"));
    }

    /// The first breaches, and what went before the very first.
    pub fn breaches(&self) -> Option<String> {
        let lines = self.lines();
        let (line, _) = lines.breaches.first()?;
        let before = lines.all[line.saturating_sub(30)..*line].join("\n");
        let first = lines.breaches.iter().take(20).map(|(_, what)| what.as_str()).collect::<Vec<_>>();
        let many = lines.breaches.len();
        Some(format!("{before}\n\nBROKEN, {many} times; the first of them:\n{}", first.join("\n")))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap()
    }
}

/// As on a clock.
pub fn clock(time: Duration) -> String {
    let (s, ms) = (time.as_secs(), time.subsec_millis());
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}
