//! For tests: a call to the file system fails, or the machine stops there. All the rest is
//! done, on real files.
use super::disk::Call;
use std::{cell::RefCell, io, rc::Rc};

/// What goes wrong at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails.
    Fails,
    /// It fails; of a write, the first half is done.
    FailsHalfWay,
    /// A signal comes. What waits, reads or writes is to be tried again.
    IsInterrupted,
    /// It fails, and so does every call after it: nothing is put right, nothing removed.
    Stops,
    /// As that; of a write, the first half is done.
    StopsHalfWay,
}

impl Fault {
    pub(crate) const ALL: [Self; 5] =
        [Self::Fails, Self::FailsHalfWay, Self::IsInterrupted, Self::Stops, Self::StopsHalfWay];
}

/// What happens to the calls of one thread.
#[derive(Clone)]
pub(crate) struct Script {
    /// Which call is struck, counted from 0, and how.
    pub(crate) fault: Option<(usize, Fault)>,
    /// What this file system does not know how to do.
    pub(crate) lacks: &'static [Call],
    /// Looks at the files before every call.
    pub(crate) watch: Rc<dyn Fn(Call)>,
}

/// What was called, and which call was struck.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) calls: Vec<Call>,
    pub(crate) struck: Option<Call>,
}

thread_local! {
    static PLAYING: RefCell<Option<(Script, Seen)>> = const { RefCell::new(None) };
}

/// Runs `work` as the script says.
pub(crate) fn play<T>(script: Script, work: impl FnOnce() -> T) -> (T, Seen) {
    PLAYING.with_borrow_mut(|playing| *playing = Some((script, Seen::default())));
    let done = work();
    let (_, seen) = PLAYING.take().expect("it is still playing");
    (done, seen)
}

/// Whether a call may be done.
pub(super) fn before(call: Call) -> io::Result<()> {
    struck(call).map_or(Ok(()), Err)
}

/// What of a write is done. The system tells of half a write how long it was: the error
/// comes when the rest is tried.
pub(super) fn part(bytes: &[u8]) -> &[u8] {
    let halves = PLAYING.with_borrow_mut(|playing| {
        let Some((Script { fault: Some((at, fault)), .. }, seen)) = playing.as_mut() else { return false };
        let halves = matches!(fault, Fault::FailsHalfWay | Fault::StopsHalfWay)
            && *at == seen.calls.len()
            && bytes.len() > 1;
        *at += usize::from(halves);
        halves
    });
    if halves { &bytes[..bytes.len() / 2] } else { bytes }
}

fn struck(call: Call) -> Option<io::Error> {
    let watch = PLAYING.with_borrow(|playing| playing.as_ref().map(|(script, _)| script.watch.clone()))?;
    if !std::thread::panicking() {
        watch(call);
    }
    PLAYING.with_borrow_mut(|playing| {
        let (script, seen) = playing.as_mut()?;
        let number = seen.calls.len();
        seen.calls.push(call);
        if script.lacks.contains(&call) {
            return Some(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let (at, fault) = script.fault?;
        let error = match (fault, call) {
            (Fault::Stops | Fault::StopsHalfWay, _) if number >= at => libc::EIO,
            _ if number != at => return None,
            (Fault::IsInterrupted, Call::Lock | Call::Read | Call::Write) => libc::EINTR,
            // The others are tried again by std, below this.
            (Fault::IsInterrupted, _) => return None,
            (_, Call::Write) => libc::ENOSPC,
            _ => libc::EIO,
        };
        seen.struck.get_or_insert(call);
        Some(io::Error::from_raw_os_error(error))
    })
}
