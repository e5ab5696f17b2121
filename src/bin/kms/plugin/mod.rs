//! `kms plugin`.
mod check;
mod serve;

use crate::{
    args::{PluginArgs, PluginCommand},
    failure::Failure,
};
use std::process::ExitCode;

pub(crate) fn run(args: &PluginArgs) -> Result<ExitCode, Failure> {
    match &args.command {
        PluginCommand::Serve(args) => serve::run(args),
        PluginCommand::Check(args) => check::run(args),
    }
}
