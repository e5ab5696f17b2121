//! The command line.
mod fleet;
mod k8s;
mod k8s_values;
mod plugin;
mod policy;

pub(crate) use fleet::{RewrapArgs, StaleArgs};
pub(crate) use k8s::K8sArgs;
#[cfg(feature = "kubernetes")]
pub(crate) use k8s::{
    ChangedArgs, ConfigCheckArgs, ConfigCommand, ConfigNewArgs, K8sCommand, NewPluginArgs, SurveyArgs,
};
#[cfg(feature = "etcd")]
pub(crate) use k8s_values::EtcdArgs;
#[cfg(feature = "kubernetes")]
pub(crate) use k8s_values::{ConfigArgs, RotateArgs, StatusArgs, ValueArgs};
pub(crate) use plugin::PluginArgs;
#[cfg(feature = "plugin")]
pub(crate) use plugin::{CheckArgs, PluginCommand, ServeArgs};
pub(crate) use policy::PolicyArgs;
#[cfg(feature = "aws")]
pub(crate) use policy::{AwsPolicyArgs, PolicyCommand};

use crate::failure::{EXIT_CODES, Failure};
use clap::{Parser, Subcommand, error::ErrorKind};
use clap_complete::Shell;
use libkms::Aad;
use std::{path::PathBuf, thread};

/// So many hold 40 MiB; and no disk is faster.
const USUAL_THREADS: usize = 64;

/// Seals files under keys you own, and opens them
///
/// Envelope encryption: every file is sealed under a data key (DEK), which a key encryption
/// key (KEK) in a KMS or in a keyring file wraps. With none of --kek, --opens-with and
/// --purpose the keyring is kms/keyring.json in $XDG_DATA_HOME or ~/.local/share, key
/// default; seal makes it when there is none.
#[derive(Parser)]
#[command(name = "kms", version, max_term_width = 100, after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// From the command line. Does not return where help is asked for.
    pub(crate) fn read() -> Result<Self, Failure> {
        use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
        Self::try_parse().map_err(|e| match e.kind() {
            DisplayHelp | DisplayHelpOnMissingArgumentOrSubcommand | DisplayVersion => e.exit(),
            _ => {
                let told = e.to_string();
                let what = told.split("\n\n").next().unwrap_or_default();
                let words = what.trim_start_matches("error: ").split_whitespace();
                Failure::usage(&(words.collect::<Vec<_>>().join(" ") + "; --help tells more"))
            }
        })
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Seal(SealArgs),
    Open(OpenArgs),
    Rewrap(RewrapArgs),
    Stale(StaleArgs),
    Inspect(InspectArgs),
    Keyring(KeyringArgs),
    Purposes(PurposesArgs),
    Policy(PolicyArgs),
    Plugin(PluginArgs),
    K8s(K8sArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Seal files: FILE becomes FILE.kms beside it, and stays
///
/// Standard input goes to standard output. The encryption context is stored in clear. Each
/// output appears whole or not at all.
#[derive(clap::Args)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) struct SealArgs {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) keys: Keys,
    /// How often the header stands in a file: twice outlives damage to one, and leaves room
    /// for a change of keys in place [default: 2 for 1 MiB and more, or where the length is
    /// not known]
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) copies: Option<u8>,
    /// Seal all under one DEK, whose header is in this file: made if absent, and in no FILE.kms
    /// then. Whoever loses it loses them. One header is good for 2^32 files of up to 64 GiB;
    /// nobody counts
    #[arg(long, value_name = "HEADER", conflicts_with = "copies")]
    pub(crate) header: Option<PathBuf>,
}

/// Open sealed files: FILE.kms becomes FILE
///
/// Standard input goes to standard output: as it is authenticated, chunk by chunk. Only the
/// exit code says that nothing is missing.
#[derive(clap::Args)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) struct OpenArgs {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) keys: Keys,
    /// Write only these bytes of the plaintext of one FILE, to standard output unless -o:
    /// half-open, `A..` to the end, `..B` from the start
    #[arg(long, value_name = "A..B", value_parser = range, conflicts_with_all = ["recursive", "verify"])]
    pub(crate) range: Option<(u64, Option<u64>)>,
    /// Authenticate everything, write nothing
    #[arg(long, conflicts_with = "output")]
    pub(crate) verify: bool,
    /// Open with the context that the file stores, and tell which it was. Whoever wrote the
    /// file chose it; with --purpose, it must hold every pair of the purpose's
    #[arg(long, conflicts_with = "context")]
    pub(crate) stored_context: bool,
    /// Open files sealed with --header, by the header in this file
    #[arg(long, value_name = "HEADER")]
    pub(crate) header: Option<PathBuf>,
}

/// Tell what sealed files say of themselves, without keys
///
/// Nothing of it is authenticated.
///
/// --json prints one object for one FILE, an array of those that could be read for several:
///
///   file                          as it was given; "-" for standard input
///   kind                          "envelope"; or "reference" and "header": what seal --header
///                                 makes of a file, and what it keeps for all of them
///   suite, suite_name             1 "one-shot" or 2 "chunked"
///   copies                        of the header: 1 or 2; null in a reference
///   damage                        null, "first_lost", "second_lost" or "differ"
///   header_length                 bytes before the payload
///   commitment                    64 hexadecimal digits
///   recipients                    array of scheme, key_id, wrapped_length; empty in a reference
///   stored_context                object of strings; null if none is stored
///   sealed_size                   bytes of the whole file
///   plaintext_size                told by that; null if no payload has that length
///   plaintext_size_authenticated  false
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_long_help = EXIT_CODES)]
pub(crate) struct InspectArgs {
    /// Sealed files; `-` is standard input, and the default where that is no terminal
    #[arg(value_name = "FILE|-")]
    pub(crate) files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Keyring files
#[derive(clap::Args)]
pub(crate) struct KeyringArgs {
    #[command(subcommand)]
    pub(crate) command: KeyringCommand,
}

#[derive(Subcommand)]
pub(crate) enum KeyringCommand {
    /// Make a keyring file, mode 0600, with one key, for `--kek local:PATH#NAME`
    Create {
        #[command(flatten)]
        of: KeyArgs,
        /// Ask for a passphrase on the terminal, twice
        #[arg(long, conflicts_with_all = ["passphrase_file", "passphrase_env"])]
        passphrase: bool,
    },
    /// Add a key
    Add(KeyArgs),
    /// Give a key a new version, which wraps from now on; the others still open
    Rotate(KeyArgs),
    /// Have a version open nothing, until it is enabled again
    Disable(VersionArgs),
    /// Have a version open again
    Enable(VersionArgs),
    /// Destroy a disabled version for ever: nothing that only it wrapped opens again
    ///
    /// Disable it first, and wait as long as programs that have the keyring open let a DEK
    /// live (10 minutes unless set): they go on sealing with what it wrapped.
    ///
    /// The key is gone from the file. What lay on the disk before, and every backup, is
    /// yours to destroy.
    Destroy {
        #[command(flatten)]
        of: VersionArgs,
        /// What is to be destroyed, once more: NAME/N
        #[arg(long, value_name = "NAME/N")]
        confirm: String,
    },
    /// Put the keyring under a passphrase, or another one, or take it off
    ///
    /// The new one is asked for on the terminal, twice, unless it comes from elsewhere. Every
    /// key stays what it is: nothing is sealed or rewrapped. Programs that have the keyring
    /// open go on, but see no new key until they open it again. Copies of the old file open as
    /// they did, to the same keys: if the old passphrase may be known, rotate the keys too.
    Passphrase {
        /// The keyring file
        path: PathBuf,
        #[command(flatten)]
        old: PassphraseArgs,
        /// The file that holds the new one
        #[arg(long, value_name = "FILE", conflicts_with_all = ["new_passphrase_env", "remove"])]
        new_passphrase_file: Option<PathBuf>,
        /// The environment variable that holds the new one
        #[arg(long, value_name = "NAME", conflicts_with = "remove")]
        new_passphrase_env: Option<String>,
        /// Take it off: whoever can read the file can open everything
        #[arg(long)]
        remove: bool,
    },
    /// Tell which keys and versions there are, no key among it
    ///
    /// No passphrase is needed. --json prints an array of name, primary (the version that
    /// wraps), passphrase (true if the keyring has one) and versions, each with version,
    /// created and state: "enabled", "disabled" or "destroyed".
    List {
        /// The keyring file
        path: PathBuf,
        #[command(flatten)]
        passphrase: PassphraseArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Tell which purposes a configuration has
///
/// Checks the whole file and opens every KEK that it names; no KMS is called. The manual
/// page of the library, "configuration", tells what such a file says.
///
/// --json prints an array of purpose (its name) and context, an object of strings.
#[derive(clap::Args)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) struct PurposesArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print what has a shell complete this program's command line
///
/// For bash: kms completions bash > ~/.local/share/bash-completion/completions/kms
#[derive(clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

/// Print this program's manual page, or write one for every subcommand
#[derive(clap::Args)]
pub(crate) struct ManArgs {
    /// Where to put kms.1, kms-seal.1 and so on, in the place of those that are there: an
    /// existing directory, as ~/.local/share/man/man1 [default: the main page, to standard
    /// output]
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

/// Which key.
#[derive(clap::Args)]
pub(crate) struct KeyArgs {
    /// The keyring file
    pub(crate) path: PathBuf,
    /// The key's name: 1 to 64 of A-Z a-z 0-9 . _ -
    #[arg(long, value_name = "NAME")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

/// Where a passphrase comes from. If one of them is named, a keyring without a passphrase is
/// refused.
#[derive(clap::Args)]
pub(crate) struct PassphraseArgs {
    /// The file that holds the keyring's passphrase, for nobody but you to read. Without it
    /// you are asked on the terminal where one is needed
    #[arg(long = "passphrase-file", value_name = "FILE", conflicts_with = "passphrase_env")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The environment variable that holds it
    #[arg(long = "passphrase-env", value_name = "NAME")]
    pub(crate) passphrase_env: Option<String>,
}

/// Which version of a key.
#[derive(clap::Args)]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    pub(crate) of: KeyArgs,
    /// Its version
    #[arg(long = "key-version", value_name = "N")]
    pub(crate) number: u32,
}

/// What is read, and where the outcome goes.
#[derive(clap::Args)]
pub(crate) struct Files {
    /// Files; `-` is standard input, and the default where that is no terminal
    #[arg(value_name = "FILE|-")]
    pub(crate) files: Vec<PathBuf>,
    /// Every regular file below DIR: seal takes those that do not end in .kms, open those that
    /// do; symbolic links are not followed
    #[arg(short, long, value_name = "DIR")]
    pub(crate) recursive: Vec<PathBuf>,
    /// The output, `-` for standard output; or an existing directory to put outputs in, under
    /// their usual names (below it as they were below DIR)
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite outputs that exist
    #[arg(long)]
    pub(crate) force: bool,
    /// Additional authenticated data: bound to the file, not stored [default: empty]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) aad: Option<String>,
    /// How many threads work on one file, 1 to 256 [default: as many as there are processors,
    /// and at most 64]
    #[arg(long, value_name = "N", value_parser = number)]
    threads: Option<usize>,
}

impl Files {
    pub(crate) fn aad(&self) -> Aad<'_> {
        Aad::from(self.aad.as_deref().unwrap_or_default())
    }

    pub(crate) fn threads(&self) -> usize {
        let usual = || thread::available_parallelism().map_or(1, |n| n.get().min(USUAL_THREADS));
        self.threads.unwrap_or_else(usual)
    }
}

/// Under what it is sealed.
#[derive(clap::Args)]
pub(crate) struct Keys {
    /// A KEK that wraps, and opens: local:PATH#NAME, or, in a build with the feature aws,
    /// aws-kms:ARN or aws-kms:alias/NAME. If the keyring has a passphrase you are asked for
    /// it, or it comes from ?passphrase-file=PATH or ?passphrase-env=NAME behind the name.
    /// AWS credentials, profile and region are those of the AWS tools
    #[arg(long, value_name = "URI")]
    pub(crate) kek: Vec<String>,
    /// A KEK that only opens
    #[arg(long, value_name = "URI")]
    pub(crate) opens_with: Vec<String>,
    /// A configuration file: --purpose says which of its purposes gives the KEKs, the context
    /// and the DEK policy
    #[arg(long, value_name = "FILE", requires = "purpose", conflicts_with_all = ["kek", "opens_with"])]
    pub(crate) config: Option<PathBuf>,
    /// A purpose of the configuration file
    #[arg(long, value_name = "NAME", requires = "config")]
    pub(crate) purpose: Option<String>,
    /// A pair of the encryption context; with --purpose, one more than the purpose has. Not
    /// secret
    #[arg(long, value_name = "k=v", value_parser = pair, allow_hyphen_values = true)]
    pub(crate) context: Vec<(String, String)>,
}

impl Keys {
    /// No KEK is named.
    pub(crate) fn are_the_users(&self) -> bool {
        self.kek.is_empty() && self.opens_with.is_empty() && self.config.is_none()
    }
}

fn number(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|n| (1..=256).contains(n)).ok_or("1 to 256")
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    text.split_once('=').map(|(k, v)| (k.into(), v.into())).ok_or("a context is given as k=v")
}

fn range(text: &str) -> Result<(u64, Option<u64>), &'static str> {
    let said = "a range is A..B, A.. or ..B, in bytes";
    let (from, to) = text.split_once("..").ok_or(said)?;
    let number = |n: &str| n.parse().map_err(|_| said);
    let from = if from.is_empty() { 0 } else { number(from)? };
    let to = if to.is_empty() { None } else { Some(number(to)?) };
    if to.is_some_and(|to| to < from) {
        return Err("it ends before it begins");
    }
    Ok((from, to))
}
