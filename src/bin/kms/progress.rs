//! How far a large file is.
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    borrow::Cow,
    io::{self, IsTerminal},
};

/// Below this there is nothing to wait for.
const LEAST: u64 = 1 << 20;

/// A bar on standard error, if that is a terminal; it goes when it is dropped. `label`:
/// printable. None either where it would be drawn over the output.
pub(crate) fn bar(label: String, len: Option<u64>, to_stdout: bool) -> ProgressBar {
    let in_the_way = to_stdout && io::stdout().is_terminal();
    if in_the_way || !io::stderr().is_terminal() || len.is_some_and(|n| n < LEAST) {
        return ProgressBar::hidden();
    }
    let template = match len {
        Some(_) => "{msg:30!} {wide_bar} {bytes:>10} of {total_bytes}, {eta} left",
        None => "{msg:30!} {bytes:>10}, {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("a template that is right");
    ProgressBar::with_draw_target(len, ProgressDrawTarget::stderr())
        .with_style(style)
        .with_message(Cow::Owned(label))
}
