//! `kms`: sealed files from a shell. A thin shell on the library: what it does not find in
//! the public API, it does not do.
mod args;
mod completions;
mod context;
mod failure;
mod header;
mod input;
mod inspect;
#[cfg(feature = "kubernetes")]
mod k8s;
mod keks;
mod keyring;
mod man;
mod open;
mod output;
mod passphrase;
mod plan;
#[cfg(feature = "plugin")]
mod plugin;
#[cfg(feature = "aws")]
mod policy;
mod progress;
mod purposes;
mod rewrap;
mod seal;
mod stale;
mod terminal;
mod text;

use args::{Args, Command};
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    libkms::secret::forbid_core_dumps();
    run().unwrap_or_else(|failure| {
        failure.tell(None);
        failure.code()
    })
}

fn run() -> Result<ExitCode, Failure> {
    match Args::read()?.command {
        Command::Seal(args) => seal::run(&args),
        Command::Open(args) => open::run(&args),
        Command::Rewrap(args) => rewrap::run(&args),
        Command::Stale(args) => stale::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Keyring(args) => keyring::run(args),
        Command::Purposes(args) => purposes::run(&args),
        #[cfg(feature = "aws")]
        Command::Policy(args) => policy::run(&args),
        #[cfg(not(feature = "aws"))]
        Command::Policy(_) => {
            Err(Failure::usage("policy aws: is not in this build of kms: it needs the feature aws"))
        }
        #[cfg(feature = "plugin")]
        Command::Plugin(args) => plugin::run(&args),
        #[cfg(not(feature = "plugin"))]
        Command::Plugin(_) => {
            Err(Failure::usage("plugin: is not in this build of kms: it needs the feature plugin"))
        }
        #[cfg(feature = "kubernetes")]
        Command::K8s(args) => k8s::run(&args),
        #[cfg(not(feature = "kubernetes"))]
        Command::K8s(_) => {
            Err(Failure::usage("k8s: is not in this build of kms: it needs the feature kubernetes"))
        }
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
