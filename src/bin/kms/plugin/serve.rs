//! `kms plugin serve`.
use crate::{
    args::ServeArgs,
    failure::{Failure, say},
    keks::{self, Missing},
    text::visible,
};
use libkms::{
    ErrorKind, Kms, OutagePolicy,
    plugin::{Call, Method, Plugin, PluginHealth, PluginObserver, Socket},
};
use std::{
    env, ffi::OsStr, fs, future::poll_fn, io, os::unix::net::UnixDatagram, process::ExitCode, task::Poll,
    time::Duration,
};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// Less than the API server waits for, so that it is told why.
const DEADLINE: Duration = Duration::from_millis(2500);

pub(crate) fn run(args: &ServeArgs) -> Result<ExitCode, Failure> {
    if args.keys.are_the_users() {
        return Err(Failure::usage("name the KEKs, with --kek or with --config and --purpose"));
    }
    let socket = socket(args)?;
    if let Some(http) = args.http
        && !http.ip().is_loopback()
        && !args.http_anywhere
    {
        return Err(Failure::usage("--http: an address that other machines reach, without --http-anywhere"));
    }
    let plugin = plugin(args)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::io("cannot start", &e))?;
    runtime.block_on(serve(args, &plugin, &socket))?;
    Ok(ExitCode::SUCCESS)
}

fn socket(args: &ServeArgs) -> Result<Socket, Failure> {
    let socket = Socket::parse(&args.listen)?;
    match &args.group {
        Some(group) => Ok(socket.group(number_of(group)?)),
        None => Ok(socket),
    }
}

fn number_of(group: &str) -> Result<u32, Failure> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let all = fs::read_to_string("/etc/group").map_err(|e| Failure::io("/etc/group", &e))?;
    let number = all.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)).flatten()
    });
    let number = number.and_then(|number| number.parse().ok());
    number.ok_or_else(|| Failure::usage(&format!("--group: no group {group} in /etc/group")))
}

fn plugin(args: &ServeArgs) -> Result<Plugin, Failure> {
    let deadline = args.deadline.unwrap_or(DEADLINE);
    let outage = OutagePolicy::default().deadline(deadline).call_timeout(deadline);
    let scope = keks::scope_with(&args.keys, Missing::Fail, Kms::builder().outage_policy(outage))?;
    let plugin = Plugin::new(scope.kms(), scope.context().clone());
    Ok(plugin.health_interval(args.health_interval)?.observer(Log { calls: args.log_calls })?)
}

async fn serve(args: &ServeArgs, plugin: &Plugin, socket: &Socket) -> Result<(), Failure> {
    // Before anything is made that they would leave behind.
    let stop = stop().map_err(|e| Failure::io("cannot wait for signals", &e))?;
    let mut serving = plugin.listen(socket).await?;
    if let Some(http) = args.http {
        serving = serving.http(http).await?;
    }
    // A mistake of this command line is told, and a KMS that does not answer is waited for.
    if let Err(e) = plugin.probe().await
        && matches!(e.kind(), ErrorKind::Limit | ErrorKind::Misuse)
    {
        return Err(e.into());
    }
    let http = serving.http_address().map(|at| format!(", HTTP at {at}")).unwrap_or_default();
    say(&visible(&format!("plugin: listens at {socket}{http}")));
    ready();
    serving.until(stop).await?;
    say("plugin: stopped");
    Ok(())
}

fn stop() -> io::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        let which = poll_fn(|cx| match (term.poll_recv(cx), int.poll_recv(cx)) {
            (Poll::Ready(_), _) => Poll::Ready("SIGTERM"),
            (_, Poll::Ready(_)) => Poll::Ready("SIGINT"),
            _ => Poll::Pending,
        });
        let which = which.await;
        say(&format!("plugin: {which}: answers what it was asked, and stops"));
    })
}

/// Tells systemd, if that started it and wants to know.
fn ready() {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return };
    let sent = UnixDatagram::unbound().and_then(|socket| notify(&socket, &path));
    if let Err(e) = sent {
        say(&visible(&format!("plugin: NOTIFY_SOCKET: {e}")));
    }
}

/// A path, or `@NAME`, which Linux alone has.
fn notify(socket: &UnixDatagram, path: &OsStr) -> io::Result<usize> {
    const READY: &[u8] = b"READY=1";
    #[cfg(target_os = "linux")]
    if let Some(name) = path.to_str().and_then(|path| path.strip_prefix('@')) {
        let name =
            <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?;
        return socket.send_to_addr(READY, &name);
    }
    socket.send_to(READY, path)
}

/// Standard error.
struct Log {
    calls: bool,
}

/// Characters of it in the log: the API server's have 36, and anyone who connects may send more.
const MOST_UID: usize = 64;

impl PluginObserver for Log {
    fn answered(&self, call: &Call<'_>) {
        let is_told = call.error.is_some() || (self.calls && call.method != Method::Status);
        if is_told {
            let error = call.error.map(|e| format!(": {e}")).unwrap_or_default();
            let (method, code, took) = (call.method.name(), call.code(), call.took);
            let uid: String = call.uid.chars().take(MOST_UID).collect();
            say(&visible(&format!("plugin: {method} {uid:?}: {code} in {took:.1?}{error}")));
        }
    }

    fn changed(&self, health: &PluginHealth, key_id: Option<&str>) {
        let key_id = key_id.unwrap_or("not known yet");
        let said = match health {
            PluginHealth::Healthy => format!("plugin: healthy, key id {key_id}"),
            PluginHealth::Failing(reason) => format!("plugin: failing, key id {key_id}: {reason}"),
            _ => return,
        };
        say(&visible(&said));
    }
}
