//! The command line of KMS plugins.
use super::Keys;
use crate::failure::EXIT_CODES;
use std::{net::SocketAddr, time::Duration};

/// Kubernetes KMS plugins, in a build with the feature plugin
#[derive(clap::Args)]
pub(crate) struct PluginArgs {
    #[command(subcommand)]
    pub(crate) command: PluginCommand,
}

#[derive(clap::Subcommand)]
pub(crate) enum PluginCommand {
    Serve(ServeArgs),
    Check(CheckArgs),
}

/// Serve a KMS plugin, version 2, to a Kubernetes API server
///
/// Until SIGTERM or SIGINT, when calls under way are answered and the socket is removed. Comes up
/// whether or not the KMS answers: its Status, /readyz and the log say how it is. The manual page of
/// the library, "plugin", tells how it is installed, what the API server must be told, what to watch,
/// and how keys change. There is no service of version 1.
///
/// Logs to standard error: calls that failed, each with its UID, and changes of health and key id.
#[derive(clap::Args)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) keys: Keys,
    /// Where to listen: unix:///PATH, or unix:///@NAME for a socket without a file. A socket file
    /// that a plugin left is removed first, and never one that is in use
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) listen: String,
    /// A group whose processes may connect, too: its number, or a name in /etc/group [default: none;
    /// the socket has mode 0600]
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Answer /readyz, /livez and /metrics there, over HTTP, to anyone: an address of this machine's
    /// own, as 127.0.0.1:8787
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<SocketAddr>,
    /// Take an address that other machines reach
    #[arg(long, requires = "http")]
    pub(crate) http_anywhere: bool,
    /// How often the KMS is asked for a wrap, to see how it is and which key wraps: seconds, or as
    /// 90s, 5m, 1h
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5m")]
    pub(crate) health_interval: Duration,
    /// How long one call may take, with all that is asked of the KMS for it. The API server waits
    /// for 3s unless its configuration says otherwise [default: 2500ms, or what the purpose says]
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "config")]
    pub(crate) deadline: Option<Duration>,
    /// Log every Encrypt and Decrypt
    #[arg(long)]
    pub(crate) log_calls: bool,
}

/// Tell whether a plugin, anyone's, is fit for a Kubernetes API server
///
/// Asks for its Status, wraps and unwraps a few times, and looks at the rights of its socket. One line
/// for each rule; the exit code says whether all are kept.
///
/// --json prints an array of rule (its name), passed, and told, what was seen.
///
/// Exit codes: 0 all rules are kept, 1 some are not, 2 a mistake in the command line.
#[derive(clap::Args)]
pub(crate) struct CheckArgs {
    /// The plugin's socket: a path, unix:///PATH or unix:///@NAME
    #[arg(value_name = "SOCKET")]
    pub(crate) socket: String,
    /// How long the API server waits for a call, as its configuration says
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "3s")]
    pub(crate) timeout: Duration,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn time(text: &str) -> Result<Duration, &'static str> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let unit = units.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, *ms)));
    let (number, ms) = unit.unwrap_or((text, 1000));
    let number: Option<u64> = number.parse().ok().filter(|_| number.bytes().all(|b| b.is_ascii_digit()));
    let ms = number.and_then(|number| number.checked_mul(ms)).filter(|ms| *ms > 0);
    ms.map(Duration::from_millis).ok_or("a time is given as 300ms, 90s, 5m or 1h")
}
