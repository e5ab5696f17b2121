//! `kms rewrap`.
use crate::{
    args::RewrapArgs,
    context,
    failure::{Failure, Tally},
    keks::{self, Missing},
    progress,
    text::{json, visible, visible_path},
};
use libkms::{
    Header,
    fleet::{Event, Failed, Report, Rewrap, sealed_below},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

pub(crate) fn run(args: &RewrapArgs) -> Result<ExitCode, Failure> {
    let named = keks::scope(&args.keys, Missing::Fail)?;
    let choose = |header: &Header| context::choose(args.stored_context, named.context(), header);
    let mut rewrap = Rewrap::new(named.kms()).context_by(choose);
    if let Some(jobs) = args.jobs {
        rewrap = rewrap.workers(jobs);
    }
    let (mut tally, bar) = (Tally::default(), progress::files(false, selected(args)));
    let report = rewrap.run(selected(args), |event| {
        bar.inc(1);
        if let Event::Failed(failed) = event {
            bar.suspend(|| tally.add(&failed.error.clone().into(), &visible_path(&failed.path)));
        }
    })?;
    bar.finish_and_clear();
    let text = if args.json { json(&Told::of(&report)) } else { text(&report) };
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|e| Failure::io("cannot write standard output", &e))?;
    Ok(tally.code())
}

/// The files named, and those below directories that are called like sealed ones.
fn selected(args: &RewrapArgs) -> impl Iterator<Item = Result<PathBuf, Failed>> + Send + use<> {
    let (files, directories) = (args.files.clone(), args.recursive.clone());
    files.into_iter().map(Ok).chain(directories.into_iter().flat_map(sealed_below))
}

fn text(report: &Report) -> String {
    let Report { rewrapped, current, references, failures, before, after, .. } = report;
    let mut text = format!("{rewrapped} rewrapped, {current} current, {} failed\n", failures.len());
    if *references > 0 {
        text += &format!("{references} sealed with --header, which is what to rewrap\n");
    }
    let keys: BTreeMap<_, _> = before.iter().chain(after).collect();
    for key in keys.keys() {
        let count = |of: &BTreeMap<String, u64>| of.get(*key).copied().unwrap_or(0);
        text += &format!("{}: {} before, {} after\n", visible(key), count(before), count(after));
    }
    text
}

/// The members are told in the help: their names stay.
#[derive(Serialize)]
struct Told<'a> {
    rewrapped: u64,
    current: u64,
    references: u64,
    failed: usize,
    before: &'a BTreeMap<String, u64>,
    after: &'a BTreeMap<String, u64>,
    failures: Vec<FailureTold>,
}

#[derive(Serialize)]
pub(crate) struct FailureTold {
    file: String,
    error: String,
    exit_code: u8,
}

impl<'a> Told<'a> {
    fn of(report: &'a Report) -> Self {
        Self {
            rewrapped: report.rewrapped,
            current: report.current,
            references: report.references,
            failed: report.failures.len(),
            before: &report.before,
            after: &report.after,
            failures: report.failures.iter().map(FailureTold::of).collect(),
        }
    }
}

impl FailureTold {
    pub(crate) fn of(failed: &Failed) -> Self {
        let (exit_code, error) = Failure::from(failed.error.clone()).into_parts();
        Self { file: failed.path.to_string_lossy().into_owned(), error, exit_code }
    }
}
