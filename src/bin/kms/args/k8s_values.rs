//! The command line of Kubernetes' values: given, and in etcd.
use super::number;
use crate::failure::EXIT_CODES;
use std::path::PathBuf;

/// Encrypt a value, or a line each, as kube-apiserver would store it
///
/// The words are the server's: this is its format in etcd, not an envelope.
#[derive(clap::Args)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) struct ValueArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Whose providers: a resource as the configuration names it. It is never guessed from the path
    #[arg(long, value_name = "NAME", default_value = "secrets")]
    pub(crate) resource: String,
    /// The value's key in etcd, as /registry/secrets/default/db, which most formats bind it to
    #[arg(long, value_name = "PATH", required_unless_present = "lines", conflicts_with = "lines")]
    pub(crate) path: Option<String>,
    /// A JSON object a line, `path` and `value` (when encrypting `plaintext`) in base64. The answer is the
    /// same object with the other one, and `stale`; or with `error`
    #[arg(long)]
    pub(crate) lines: bool,
    /// The value; `-` is standard input
    #[arg(value_name = "FILE|-", default_value = "-")]
    pub(crate) file: PathBuf,
}

/// The API server's configuration.
#[derive(clap::Args)]
pub(crate) struct ConfigArgs {
    /// The EncryptionConfiguration. The plugins that it names are asked where they are needed
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The server's gate KMSv1 is off
    #[arg(long)]
    pub(crate) no_kms_v1: bool,
}

/// Tell which values in etcd are under which provider and key, and which are stale or plain
///
/// Every value is read, and so proven. A line for each provider, key and key id, on standard output:
/// resource, provider, key, how many values, and "stale" behind what the server would write otherwise
/// now. The exit code is 10 if a value is stale.
///
/// --json prints one object, which `kms k8s config drop-key --survey` takes:
///
///   resources  array of resource, prefix, values, stale, plain, unreadable; under, array of provider,
///              key, key_id (null but of kms v2), stale and values; failures, array of path, error and
///              exit_code, of the first 1,000 that could not be read
///   counts     object: how many values begin with what, k8s:enc:secretbox:v1:key1:
///   plain      how many are stored plain
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_long_help = EXIT_CODES)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Write stale values in etcd anew, under the provider and key that write now
///
/// As the API server does when an object is written. Each is replaced only if nobody wrote it
/// meanwhile, so servers go on writing; a run that was interrupted is simply run again. All servers
/// must have the configuration, and values that cannot be read stay as they are and are told.
///
/// --json prints one object:
///
///   resources  array of resource, prefix, rotated, current, conflicts, failed; failures, array of path,
///              error and exit_code, of the first 1,000
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_long_help = EXIT_CODES)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Read everything, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// At most so many writes a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// How many values are worked on at once, 1 to 256 [default: as many as there are
    /// processors, and at least 4]
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) jobs: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which etcd, who we are there, and which values.
#[derive(clap::Args)]
pub(crate) struct EtcdArgs {
    /// The members: http://HOST:PORT or https://HOST:PORT; the first that answers is asked
    #[arg(long, value_name = "URL", required = true, value_delimiter = ',')]
    pub(crate) etcd: Vec<String>,
    /// The authority that signed their certificates, for https: PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Our own certificate: PEM
    #[arg(long, value_name = "FILE", requires_all = ["key", "cacert"])]
    pub(crate) cert: Option<PathBuf>,
    /// Its key: PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// A user of etcd's
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub(crate) user: Option<String>,
    /// The user's password: the first line of a file
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// The API server's --etcd-prefix
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    pub(crate) etcd_prefix: String,
    /// Values of these resources, which the configuration or a wildcard in it names [default: all
    /// that it names]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) resource: Vec<String>,
}
