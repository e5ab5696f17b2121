//! `kms completions`.
use crate::{
    args::{Args, CompletionsArgs},
    failure::Failure,
    output::print,
};
use clap::CommandFactory;
use std::process::ExitCode;

pub(crate) fn run(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "kms", &mut script);
    print(&script)?;
    Ok(ExitCode::SUCCESS)
}
