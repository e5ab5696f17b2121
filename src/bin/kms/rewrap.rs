//! `kms rewrap`.
use crate::{
    args::RewrapArgs,
    context,
    failure::{Failure, Tally},
    keks::{self, Missing},
    plan::SUFFIX,
    text::visible_path,
    tree::files_below,
};
use libkms::{Header, Scope};
use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(crate) fn run(args: &RewrapArgs) -> Result<ExitCode, Failure> {
    let named = keks::scope(&args.keys, Missing::Fail)?;
    let (mut tally, mut rewrapped, mut current, mut failed) = (Tally::default(), 0, 0, 0);
    for (path, read) in selected(args) {
        match read.and_then(|()| rewrap(&named, args, &path)) {
            Ok(true) => rewrapped += 1,
            Ok(false) => current += 1,
            Err(failure) => {
                tally.add(&failure, &visible_path(&path));
                failed += 1;
            }
        }
    }
    let report = format!("{rewrapped} rewrapped, {current} current, {failed} failed\n");
    let written = io::stdout().write_all(report.as_bytes());
    written.map_err(|e| Failure::io("cannot write standard output", &e))?;
    Ok(tally.code())
}

/// The files named, and those below directories that are called like sealed ones.
fn selected(args: &RewrapArgs) -> Vec<(PathBuf, Result<(), Failure>)> {
    let mut all: Vec<_> = args.files.iter().map(|f| (f.clone(), Ok(()))).collect();
    for directory in &args.recursive {
        let is_sealed = |path: &Path| path.as_os_str().as_encoded_bytes().ends_with(SUFFIX.as_bytes());
        let below =
            files_below(directory).into_iter().filter(|(path, read)| read.is_err() || is_sealed(path));
        all.extend(below.map(|(path, read)| (path, read.map_err(|e| Failure::io("cannot read", &e)))));
    }
    all
}

fn rewrap(named: &Scope, args: &RewrapArgs, path: &Path) -> Result<bool, Failure> {
    let file = File::open(path).map_err(|e| Failure::io("cannot read", &e))?;
    let header = Header::read(file)?;
    let context = context::choose(args.stored_context, named.context(), &header)?;
    Ok(named.kms().scope(context).rewrap_file(path)?)
}
