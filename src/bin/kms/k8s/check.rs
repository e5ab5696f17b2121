//! `kms k8s config check`.
use super::file;
use crate::{
    args::ConfigCheckArgs,
    failure::Failure,
    output::print,
    text::{json, visible},
};
use libkms::kubernetes::{Entry, Gate};
use serde::Serialize;
use std::{fs, path::Path};

pub(super) fn run(args: &ConfigCheckArgs) -> Result<(), Failure> {
    let bytes = file::read(&args.file)?;
    let gate = Gate { kms_v1: !args.no_kms_v1, reload: args.reload };
    let text = file::parse(&args.file, &bytes, gate)?;
    let mut remarks = text.config().remarks()?;
    remarks.extend(open_to_others(&args.file));
    let entries = text.config().entries().iter().map(EntryReport::of).collect();
    let report = Report { file: args.file.to_string_lossy().into(), entries, remarks };
    print(if args.json { json(&report) } else { report.text() }.as_bytes())
}

/// The members are told in the help: their names stay.
#[derive(Serialize)]
struct Report {
    file: String,
    entries: Vec<EntryReport>,
    remarks: Vec<String>,
}

#[derive(Serialize)]
struct EntryReport {
    resources: Vec<String>,
    keys: Vec<KeyReport>,
}

#[derive(Serialize)]
struct KeyReport {
    key: String,
    prefix: String,
}

impl EntryReport {
    fn of(entry: &Entry) -> Self {
        let names = |provider: &libkms::kubernetes::Provider| {
            provider.key_refs().into_iter().zip(provider.prefixes())
        };
        let keys = entry.providers().iter().flat_map(names);
        let keys = keys.map(|(key, prefix)| KeyReport { key: key.to_string(), prefix }).collect();
        Self { resources: entry.resources().to_vec(), keys }
    }
}

impl Report {
    fn text(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            text += &format!("{}\n", visible(&entry.resources.join(", ")));
            for (i, key) in entry.keys.iter().enumerate() {
                let does = if i == 0 { "writes and reads" } else { "reads" };
                text += &format!("  {}  {does}\n", visible(&key.key));
            }
        }
        let remarks = self.remarks.iter().map(|remark| format!("weak: {}\n", visible(remark)));
        text + &remarks.collect::<String>()
    }
}

#[cfg(unix)]
fn open_to_others(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| format!("others may use this file (mode {mode:o}): chmod 600"))
}

#[cfg(not(unix))]
fn open_to_others(_: &Path) -> Option<String> {
    None
}
