//! `kms stale`.
use crate::{
    args::StaleArgs,
    failure::{Failure, Tally, say},
    inspect::damage_name,
    keks::{self, Missing},
    progress,
    rewrap::FailureTold,
    text::{visible, visible_json, visible_path},
};
use libkms::{
    Freshness, Scope,
    fleet::{Failed, Found, Listing, Survey, sealed_below},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, BufWriter, StdoutLock, Write},
    iter,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

pub(crate) fn run(args: &StaleArgs) -> Result<ExitCode, Failure> {
    let scope = if args.key.is_empty() { Some(keks::scope(&args.keys, Missing::Fail)?) } else { None };
    let kms = scope.as_ref().map(Scope::kms);
    let mut survey = kms.map_or_else(|| Survey::naming(&args.key), Survey::stale);
    if let Some(jobs) = args.jobs {
        survey = survey.workers(jobs);
    }
    let bar = progress::files(true, selected(args));
    let (mut output, gone) = (Output::new(args.json), AtomicBool::new(false));
    let files = selected(args).inspect(|_| bar.inc(1)).take_while(|_| !gone.load(Ordering::Relaxed));
    let listing = survey.run(files, |found| {
        output.add(found);
        gone.store(output.written.is_err(), Ordering::Relaxed);
    })?;
    bar.finish_and_clear();
    output.finish(&listing).map_err(|e| Failure::io("cannot write standard output", &e))?;
    let mut tally = Tally::default();
    for failed in &listing.failures {
        tally.add(&failed.error.clone().into(), &visible_path(&failed.path));
    }
    if !args.json {
        tell(&listing, if kms.is_some() { "not current" } else { "with such a key" });
    }
    Ok(tally.code_or_found(listing.found))
}

/// The files named, and those below directories that are called like sealed ones.
fn selected(args: &StaleArgs) -> impl Iterator<Item = Result<PathBuf, Failed>> + Send + use<> {
    let named = args.paths.clone().into_iter().flat_map(|path| -> Box<dyn Iterator<Item = _> + Send> {
        if path.is_dir() { Box::new(sealed_below(path)) } else { Box::new(iter::once(Ok(path))) }
    });
    named.chain(args.recursive.clone().into_iter().flat_map(sealed_below))
}

fn tell(listing: &Listing, found: &str) {
    let failed = listing.failures.len();
    say(&format!("{} looked at, {} {found}, {failed} failed", files(listing.files), listing.found));
    if listing.references > 0 {
        say(&format!("{} sealed with --header: look at that", listing.references));
    }
    for (key, n) in &listing.keys {
        say(&format!("{}: {}", visible(key), files(*n)));
    }
}

fn files(n: u64) -> String {
    format!("{n} file{}", if n == 1 { "" } else { "s" })
}

/// Lines, or one object whose files are written as they are found.
struct Output {
    to: BufWriter<StdoutLock<'static>>,
    json: bool,
    any: bool,
    written: io::Result<()>,
}

impl Output {
    fn new(json: bool) -> Self {
        let mut to = BufWriter::new(io::stdout().lock());
        let written = if json { to.write_all(b"{\n  \"listed\": [") } else { Ok(()) };
        Self { to, json, any: false, written }
    }

    fn add(&mut self, found: &Found) {
        let text = if self.json {
            let comma = if self.any { "," } else { "" };
            format!("{comma}\n    {}", line(&FoundTold::of(found)))
        } else {
            let mut text = format!("{}  {}", visible_path(&found.path), visible(&found.keys.join(" ")));
            match found.damage {
                Some(damage) => text += &format!("  {damage}"),
                None if found.freshness == Some(Freshness::Unknown) => text += "  unknown",
                None => {}
            }
            text + "\n"
        };
        self.any = true;
        if self.written.is_ok() {
            self.written = self.to.write_all(text.as_bytes());
        }
    }

    fn finish(mut self, listing: &Listing) -> io::Result<()> {
        self.written?;
        if self.json {
            let failures: Vec<_> = listing.failures.iter().map(FailureTold::of).collect();
            let end = if self.any { "\n  ]" } else { "]" };
            let Listing { files, found, references, keys, .. } = listing;
            let (files, found, references) = (*files, *found, *references);
            let rest = End { files, found, references, failed: failures.len(), keys, failures };
            write!(self.to, "{end},\n  {}\n", &line(&rest)[1..])?;
        }
        self.to.flush()
    }
}

fn line(value: &impl Serialize) -> String {
    visible_json(&serde_json::to_string(value).expect("numbers and strings"))
}

/// The members are told in the help: their names stay.
#[derive(Serialize)]
struct FoundTold<'a> {
    file: String,
    keys: &'a [String],
    freshness: Option<&'static str>,
    damage: Option<&'static str>,
}

#[derive(Serialize)]
struct End<'a> {
    files: u64,
    found: u64,
    references: u64,
    failed: usize,
    keys: &'a BTreeMap<String, u64>,
    failures: Vec<FailureTold>,
}

impl<'a> FoundTold<'a> {
    fn of(found: &'a Found) -> Self {
        let freshness = |f| match f {
            Freshness::Current => "current",
            Freshness::Stale => "stale",
            _ => "unknown",
        };
        Self {
            file: found.path.to_string_lossy().into_owned(),
            keys: &found.keys,
            freshness: found.freshness.map(freshness),
            damage: found.damage.map(damage_name),
        }
    }
}
