//! `kms open`.
use crate::{
    args::OpenArgs,
    context,
    failure::{Failure, say},
    header,
    input::Input,
    keks::{self, Missing},
    output::Output,
    plan::{Job, Outputs, Source, Target, each, jobs},
};
use libkms::{Scope, Suite};
use std::{
    io::{self, BufRead},
    process::ExitCode,
};

/// A payload of suite 1 is held in memory.
const MOST_ONE_SHOT: u64 = 4 << 30;
const TOO_LONG: &str = "longer than 4 GiB, and of suite 1, which is opened in memory";

pub(crate) fn run(args: &OpenArgs) -> Result<ExitCode, Failure> {
    if args.range.is_some() && args.files.files.len() > 1 {
        return Err(Failure::usage("--range is for one FILE"));
    }
    let outputs = match args.range {
        _ if args.verify => Outputs::Nothing,
        Some(_) => Outputs::Part,
        None => Outputs::Opened,
    };
    let jobs = jobs(&args.files, outputs)?;
    if (args.keys.are_the_users() || args.header.is_some()) && jobs.iter().any(Job::reads_stdin) {
        // Whoever seals at the other end may yet have to make the keyring, or the header. What
        // is wrong with the input is told when it is read.
        let _ = io::stdin().lock().fill_buf();
    }
    let named = keks::scope(&args.keys, Missing::Fail)?;
    let kept = args.header.as_deref().map(header::kept).transpose()?;
    Ok(each(jobs, |from, to| open(&named, args, kept.as_deref(), from, to)))
}

fn open(
    named: &Scope,
    args: &OpenArgs,
    kept: Option<&[u8]>,
    from: &Source,
    to: &Target,
) -> Result<(), Failure> {
    args.header.as_deref().map_or(Ok(()), |header| header::spare(header, to))?;
    let mut input = Input::open(from)?.shown(from, to);
    if args.range.is_some() && !input.is_seekable() {
        return Err(Failure::usage("--range needs a file in which one can seek"));
    }
    let header = header::read(&mut input, kept)?;
    let context = context::choose(args.stored_context, named.context(), &header)?;
    let told = args.stored_context.then(|| context::told(&context));
    let scope = named.kms().scope(context).threads(args.files.threads());
    let mut output = Output::begin(from, to, args.files.force, input.about.as_ref())?;
    let aad = args.files.aad();
    let outcome = match (args.range, header.suite()) {
        (None, Suite::OneShot) => {
            let payload = input.at_most(MOST_ONE_SHOT, TOO_LONG)?;
            scope.open_payload(aad, &header, payload, &mut output)?
        }
        (None, _) => scope.open_payload(aad, &header, input, &mut output)?,
        (Some(_), Suite::OneShot) => {
            return Err(Failure::usage("--range needs suite 2, and this is suite 1"));
        }
        (Some((start, None)), _) => scope.open_range(aad, &header, input, start.., &mut output)?,
        (Some((start, Some(end))), _) => scope.open_range(aad, &header, input, start..end, &mut output)?,
    };
    output.finish()?;
    if let Some(damage) = outcome.damage {
        say(&format!("{}: warning: {damage}", from.name()));
    }
    if let Some(context) = told {
        say(&format!("{}: opened with the context it stores: {context}", from.name()));
    }
    Ok(())
}
