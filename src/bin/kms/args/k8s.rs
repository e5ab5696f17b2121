//! The command line of Kubernetes.
use super::k8s_values::{RotateArgs, StatusArgs, ValueArgs};
use crate::failure::EXIT_CODES;
use std::path::PathBuf;

/// What Kubernetes stores in etcd
#[derive(clap::Args)]
pub(crate) struct K8sArgs {
    #[command(subcommand)]
    pub(crate) command: K8sCommand,
}

#[derive(clap::Subcommand)]
pub(crate) enum K8sCommand {
    /// The EncryptionConfiguration of kube-apiserver, and the keys in it
    ///
    /// In a build with the feature kubernetes. A key is named KIND:NAME, as secretbox:key1, aesgcm:key1,
    /// aescbc:key1; a plugin kms:NAME; what is stored plain, identity. The manual page of the library,
    /// "kubernetes_keys", tells in which order servers and keys change.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Decrypt a value, or a line each, as kube-apiserver has stored it
    Decrypt(ValueArgs),
    Encrypt(ValueArgs),
    Status(StatusArgs),
    Rotate(RotateArgs),
}

#[derive(clap::Subcommand)]
pub(crate) enum ConfigCommand {
    New(ConfigNewArgs),
    /// Add a fresh key or a plugin, as the second of its list: it reads, and does not write yet
    ///
    /// A key joins the others of its kind; without such, a provider of its own becomes the second.
    /// Every other byte of the file stays as it is.
    #[command(after_long_help = EXIT_CODES)]
    AddKey {
        #[command(flatten)]
        of: ChangedArgs,
        #[command(flatten)]
        plugin: NewPluginArgs,
    },
    /// Have a key or a plugin write: first of all servers must be able to read with it
    #[command(after_long_help = EXIT_CODES)]
    Promote(ChangedArgs),
    /// Drop a key or a plugin that no value depends on
    ///
    /// What writes is not dropped, nor what a value depends on. The survey is of all values of the
    /// resources of its entry, made after the last server had another key to write with.
    #[command(after_long_help = EXIT_CODES)]
    DropKey {
        #[command(flatten)]
        of: ChangedArgs,
        #[command(flatten)]
        survey: SurveyArgs,
    },
    Check(ConfigCheckArgs),
}

/// Make a configuration with a fresh key or a plugin, for new servers, mode 0600
#[derive(clap::Args)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) struct ConfigNewArgs {
    /// The file to make; `-` is standard output
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
    /// What writes: secretbox:NAME, aesgcm:NAME, kms:NAME
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) plugin: NewPluginArgs,
    /// What is encrypted, as secrets, deployments.apps, *.apps
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_values = ["secrets"])]
    pub(crate) resource: Vec<String>,
    /// Leave out identity, with which values that are stored plain by now can be read
    #[arg(long)]
    pub(crate) no_identity: bool,
    /// Write a Secret that holds the configuration
    #[arg(long, value_name = "NAME[/NAMESPACE]")]
    pub(crate) as_secret: Option<String>,
    /// Overwrite a file that exists
    #[arg(long)]
    pub(crate) force: bool,
}

/// A plugin that is new, or the one kind of key that is not for new clusters.
#[derive(clap::Args)]
pub(crate) struct NewPluginArgs {
    /// Of a new plugin: its socket, as unix:///run/kms.sock
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Of a new plugin: for one call, as 5s [default: the server's own, 3s]
    #[arg(long, value_name = "TIME", requires = "endpoint")]
    pub(crate) timeout: Option<String>,
    /// Make an aescbc key, whose values are neither authenticated nor bound to their place
    #[arg(long)]
    pub(crate) legacy: bool,
}

/// What is changed, and where that goes.
#[derive(clap::Args)]
pub(crate) struct ChangedArgs {
    /// The configuration
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The key: KIND:NAME
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    /// The resource whose entry is meant; what else that names changes with it
    #[arg(long, value_name = "NAME", default_value = "secrets")]
    pub(crate) resource: String,
    /// Write it there, mode 0600, `-` for standard output [default: in the place of FILE]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Write a Secret that holds the configuration
    #[arg(long, value_name = "NAME[/NAMESPACE]", requires = "output")]
    pub(crate) as_secret: Option<String>,
    /// Overwrite OUT if it exists
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
    /// The server's gate KMSv1 is off
    #[arg(long)]
    pub(crate) no_kms_v1: bool,
}

/// What tells which values there are.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SurveyArgs {
    /// A JSON object: counts, an object of what values begin with, k8s:enc:secretbox:v1:key1:, and how
    /// many there are; plain, how many are stored plain; and resources, as kms k8s status --json tells
    /// them: then each resource of the entry is to be among them
    #[arg(long, value_name = "FILE")]
    pub(crate) survey: Option<PathBuf>,
    /// The values themselves: a JSON object a line, with value in base64
    #[arg(long, value_name = "FILE")]
    pub(crate) values: Option<PathBuf>,
}

/// Tell what kube-apiserver would refuse, and what is weak
///
/// --json prints one object:
///
///   file     as it was given
///   entries  array of resources, array of names; and keys, array of key and prefix, what its values
///            begin with: the first one writes, all read
///   remarks  array of sentences: what is weak
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_long_help = EXIT_CODES)]
pub(crate) struct ConfigCheckArgs {
    /// The configuration
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The server's gate KMSv1 is off, as it is unless told
    #[arg(long)]
    pub(crate) no_kms_v1: bool,
    /// The server reloads it when it changes
    #[arg(long)]
    pub(crate) reload: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
