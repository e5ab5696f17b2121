//! `kms k8s`.
mod check;
mod config;
mod file;

use crate::{
    args::{ConfigCommand, K8sArgs, K8sCommand},
    failure::Failure,
};
use std::process::ExitCode;

pub(crate) fn run(args: &K8sArgs) -> Result<ExitCode, Failure> {
    let K8sCommand::Config { command } = &args.command;
    match command {
        ConfigCommand::New(args) => config::new(args)?,
        ConfigCommand::AddKey { of, plugin } => config::add(of, plugin)?,
        ConfigCommand::Promote(of) => config::promote(of)?,
        ConfigCommand::DropKey { of, survey } => config::drop_key(of, survey)?,
        ConfigCommand::Check(args) => check::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
