//! `kms k8s`.
mod check;
mod config;
#[cfg(feature = "plugin")]
mod dial;
#[cfg(feature = "etcd")]
mod etcd;
mod file;
#[cfg(not(feature = "plugin"))]
mod no_dial;
#[cfg(not(feature = "etcd"))]
mod no_etcd;
mod transformer;
mod values;

#[cfg(feature = "plugin")]
use dial::dial;
#[cfg(feature = "etcd")]
use etcd::{rotate, status};
#[cfg(not(feature = "plugin"))]
use no_dial::dial;
#[cfg(not(feature = "etcd"))]
use no_etcd::{rotate, status};

use crate::{
    args::{ConfigCommand, K8sArgs, K8sCommand},
    failure::Failure,
};
use std::process::ExitCode;
use values::Way;

pub(crate) fn run(args: &K8sArgs) -> Result<ExitCode, Failure> {
    match &args.command {
        K8sCommand::Config { command } => change(command).map(|()| ExitCode::SUCCESS),
        K8sCommand::Decrypt(args) => values::run(args, Way::Decrypt),
        K8sCommand::Encrypt(args) => values::run(args, Way::Encrypt),
        K8sCommand::Status(args) => status(args),
        K8sCommand::Rotate(args) => rotate(args),
    }
}

fn change(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::New(args) => config::new(args),
        ConfigCommand::AddKey { of, plugin } => config::add(of, plugin),
        ConfigCommand::Promote(of) => config::promote(of),
        ConfigCommand::DropKey { of, survey } => config::drop_key(of, survey),
        ConfigCommand::Check(args) => check::run(args),
    }
}
