//! `kms seal`.
use crate::{
    args::SealArgs,
    failure::Failure,
    input::Input,
    keks::{self, Missing},
    output::Output,
    plan::{Outputs, Source, Target, each, jobs},
};
use libkms::{Aad, Copies, Scope, SealOptions};
use std::process::ExitCode;

pub(crate) fn run(args: &SealArgs) -> Result<ExitCode, Failure> {
    let jobs = jobs(&args.files, Outputs::Sealed)?;
    let scope = keks::scope(&args.keys, Missing::Create)?;
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
    let aad = Aad::from(args.aad.as_deref().unwrap_or_default());
    scope.seal_stream(aad, &options, input.whole(), &mut output)?;
    output.finish()
}
