//! How far a large file is, or a tree of files.
use crate::text::visible;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    borrow::Cow,
    io::{self, IsTerminal},
    thread,
};

/// Below this there is nothing to wait for.
const LEAST: u64 = 1 << 20;

/// A bar on standard error, if that is a terminal; it goes when it is dropped. `label`:
/// printable. None either where it would be drawn over the output.
pub(crate) fn bar(label: String, len: Option<u64>, to_stdout: bool) -> ProgressBar {
    if !is_seen(to_stdout) || len.is_some_and(|n| n < LEAST) {
        return ProgressBar::hidden();
    }
    let template = match len {
        Some(_) => "{msg:30!} {wide_bar} {bytes:>10} of {total_bytes}, {eta} left",
        None => "{msg:30!} {bytes:>10}, {bytes_per_sec}",
    };
    ProgressBar::with_draw_target(len, ProgressDrawTarget::stderr())
        .with_style(style(template))
        .with_message(Cow::Owned(label))
}

/// A bar that counts files, likewise. How many there are is told once `all` was walked to its
/// end, for which nobody waits.
pub(crate) fn files(to_stdout: bool, all: impl Iterator + Send + 'static) -> ProgressBar {
    if !is_seen(to_stdout) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(style("{pos} files, {per_sec}"));
    let shown = bar.downgrade();
    thread::spawn(move || {
        let len = all.take_while(|_| shown.upgrade().is_some()).count();
        if let Some(bar) = shown.upgrade() {
            bar.set_length(len as u64);
            bar.set_style(style("{wide_bar} {pos} of {len} files, {eta} left"));
        }
    });
    bar
}

/// A bar that counts the values of a resource.
#[allow(dead_code, reason = "of values in etcd")]
pub(crate) fn values(resource: &str, len: u64, to_stdout: bool) -> ProgressBar {
    if !is_seen(to_stdout) {
        return ProgressBar::hidden();
    }
    ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr())
        .with_style(style("{msg:30!} {wide_bar} {pos} of {len} values, {eta} left"))
        .with_message(visible(resource))
}

fn is_seen(to_stdout: bool) -> bool {
    let in_the_way = to_stdout && io::stdout().is_terminal();
    !in_the_way && io::stderr().is_terminal()
}

fn style(template: &'static str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a template that is right")
}
