//! `kms seal`.
use crate::{
    args::SealArgs,
    failure::Failure,
    header::{is_same, sealer, spare},
    input::Input,
    keks::{self, Missing},
    output::Output,
    plan::{Outputs, Source, Target, each, jobs},
};
use libkms::{Copies, DekPolicy, Kms, ReferenceSealer, Scope, SealOptions};
use std::{path::Path, process::ExitCode};

pub(crate) fn run(args: &SealArgs) -> Result<ExitCode, Failure> {
    let jobs = jobs(&args.files, Outputs::Sealed)?;
    if let Some(header) = &args.header {
        // The DEK of a header is meant for many runs: what bounds it is the format.
        let policy = DekPolicy::default().for_messages(DekPolicy::MOST_MESSAGES).for_bytes(u64::MAX);
        let builder = Kms::builder().dek_policy(policy);
        let scope = keks::scope_with(&args.keys, Missing::Create, builder)?.threads(args.files.threads());
        let sealer = sealer(&scope, header)?;
        return Ok(each(jobs, |from, to| seal_reference(&sealer, args, header, from, to)));
    }
    let scope = keks::scope(&args.keys, Missing::Create)?.threads(args.files.threads());
    Ok(each(jobs, |from, to| seal(&scope, args, from, to)))
}

fn seal(scope: &Scope, args: &SealArgs, from: &Source, to: &Target) -> Result<(), Failure> {
    let input = Input::open(from)?.shown(from, to);
    let mut options = SealOptions::new().store_context();
    if let Some(len) = input.len {
        options = options.len(len);
    }
    match args.copies {
        Some(1) => options = options.copies(Copies::One),
        Some(_) => options = options.copies(Copies::Two),
        None => {}
    }
    let mut output = Output::begin(from, to, args.files.force, input.about.as_ref())?;
    scope.seal_stream(args.files.aad(), &options, input.whole(), &mut output)?;
    output.finish()
}

fn seal_reference(
    sealer: &ReferenceSealer,
    args: &SealArgs,
    header: &Path,
    from: &Source,
    to: &Target,
) -> Result<(), Failure> {
    if let Source::File(path) = from
        && is_same(path, header)
    {
        return Err(Failure::usage("is the header: sealed under itself it would not open"));
    }
    spare(header, to)?;
    let input = Input::open(from)?.shown(from, to);
    let mut output = Output::begin(from, to, args.files.force, input.about.as_ref())?;
    sealer.seal_stream(args.files.aad(), input.len, input.whole(), &mut output)?;
    output.finish()
}
