//! Lines of JSON, one for each work, and tables of them.
use crate::{
    sample::Timing,
    works::{LIMITS, SIZES, Work},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A work that was measured. Nanoseconds for a call: medians.
#[derive(Clone, Serialize, Deserialize)]
pub struct Line {
    pub name: String,
    pub bytes: usize,
    /// `reused` or `fresh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub libkms: f64,
    pub peers: BTreeMap<String, f64>,
    /// What the machine needs at least: for the rounds of AES, for reading and writing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, f64>,
    pub path: String,
    pub cpu: String,
    /// The first and the third.
    pub quartiles: BTreeMap<String, [f64; 2]>,
    pub bursts: usize,
    pub dropped: usize,
}

impl Line {
    pub fn new(work: Work, bytes: usize, path: &str, cpu: &str, timings: &[Timing]) -> Self {
        let round = |ns: f64| (ns * 100.0).round() / 100.0;
        let median = |t: &Timing| (t.name.to_owned(), round(t.median));
        let (limits, libraries): (Vec<_>, Vec<_>) = timings.iter().partition(|t| LIMITS.contains(&t.name));
        Self {
            name: work.name().into(),
            bytes,
            key: work.key().map(|key| key.name().into()),
            libkms: round(libraries[0].median),
            peers: libraries[1..].iter().map(|t| median(t)).collect(),
            limits: limits.iter().map(|t| median(t)).collect(),
            path: path.into(),
            cpu: cpu.into(),
            quartiles: timings.iter().map(|t| (t.name.into(), t.quartiles.map(round))).collect(),
            bursts: timings.iter().map(|t| t.bursts).sum(),
            dropped: timings.iter().map(|t| t.dropped).sum(),
        }
    }

    /// Of aws-lc-rs's time.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.libkms / self.peers.get("aws-lc-rs")?)
    }

    /// Of the best peer's time, and which that is.
    pub fn ratio_to_best(&self) -> Option<(f64, &str)> {
        let best = self.peers.iter().min_by(|a, b| a.1.total_cmp(b.1))?;
        Some((self.libkms / best.1, best.0))
    }

    /// How far apart the quartiles of libkms are, of the median.
    fn spread(&self) -> f64 {
        self.quartiles.get("libkms").map_or(0.0, |q| (q[1] - q[0]) / self.libkms)
    }

    /// One line for people.
    pub fn print(&self) {
        let times: Vec<_> =
            self.peers.iter().chain(&self.limits).map(|(n, ns)| format!("{n} {}", time(*ns))).collect();
        let ratio = self.ratio().map_or(String::new(), |ratio| format!("{ratio:.2} of aws-lc-rs"));
        let best = match self.ratio_to_best() {
            Some((_, "aws-lc-rs")) | None => String::new(),
            Some((ratio, best)) => format!(", {ratio:.2} of {best}"),
        };
        println!(
            "{:10} {:6} {:>7}  libkms {:8} {:<34} quartiles {:.1} % apart, {} of {} bursts dropped | {}",
            self.name,
            self.key.as_deref().unwrap_or(""),
            size(self.bytes),
            time(self.libkms),
            ratio + &best,
            100.0 * self.spread(),
            self.dropped,
            self.bursts,
            times.join(", "),
        );
    }
}

/// The ratios as tables in Markdown: of time to aws-lc-rs, in brackets to the best peer.
pub fn tables(lines: &[Line]) -> String {
    let mut text = String::from("| |");
    SIZES.iter().for_each(|bytes| text += &format!(" {} |", size(*bytes)));
    text += &format!("\n|---|{}\n", "---|".repeat(SIZES.len()));
    let mut rows: Vec<_> = lines.iter().filter(|l| is_gcm(l)).map(row).collect();
    rows.dedup();
    for row in rows {
        text += &format!("| {}, key {}: {} |", row.0, row.1, row.2);
        for bytes in &SIZES {
            let line = lines.iter().find(|l| is_gcm(l) && self::row(l) == row && l.bytes == *bytes);
            text += &format!(" {} |", line.map_or(String::new(), cell));
        }
        text += "\n";
    }
    text += "\n| | libkms | aws-lc-rs | ratio |\n|---|---|---|---|\n";
    for line in lines.iter().filter(|l| !is_gcm(l)) {
        let (Some(ratio), Some(aws)) = (line.ratio(), line.peers.get("aws-lc-rs")) else { continue };
        let (name, size, path) = (&line.name, size(line.bytes), &line.path);
        text += &format!("| {name} {size}, {path} | {} | {} | {ratio:.2} |\n", time(line.libkms), time(*aws));
    }
    text
}

fn is_gcm(line: &Line) -> bool {
    line.name == "seal" || line.name == "open"
}

fn row(line: &Line) -> (&str, &str, &str) {
    (&line.path, line.key.as_deref().unwrap_or(""), &line.name)
}

fn cell(line: &Line) -> String {
    let Some(ratio) = line.ratio() else { return String::new() };
    match line.ratio_to_best() {
        Some((best, name)) if name != "aws-lc-rs" => format!("{ratio:.2} ({best:.2})"),
        _ => format!("{ratio:.2}"),
    }
}

pub fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

fn time(ns: f64) -> String {
    match ns {
        ..100.0 => format!("{ns:.1} ns"),
        ..10_000.0 => format!("{ns:.0} ns"),
        ..10_000_000.0 => format!("{:.1} us", ns / 1e3),
        _ => format!("{:.1} ms", ns / 1e6),
    }
}
