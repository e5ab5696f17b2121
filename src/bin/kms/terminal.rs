//! Asking on the terminal, whatever standard input and output are.
use libkms::{Error, ErrorKind, Result, kek::Passphrase};
use rustix::{
    process::{Signal, getpid, kill_process},
    termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
};
use zeroize::Zeroizing;

/// What is typed behind `prompt`, which is printable, and not shown. `None` without a
/// terminal.
pub(crate) fn ask(prompt: &str) -> Result<Option<Line>> {
    let Ok(tty) = OpenOptions::new().read(true).write(true).open("/dev/tty") else { return Ok(None) };
    let mut terminal = Terminal::quiet(tty).map_err(failed)?;
    terminal.tty.write_all(prompt.as_bytes()).map_err(failed)?;
    let mut line = Line::default();
    let typed = line.read(&mut terminal);
    let _ = terminal.tty.write_all(b"\n");
    drop(terminal);
    if !typed.map_err(failed)? {
        // As if the terminal had done it, which is again as it was.
        let _ = kill_process(getpid(), Signal::INT);
        return Err(failed(io::ErrorKind::Interrupted.into()));
    }
    Ok(Some(line))
}

fn failed(e: io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("the terminal: {e}"))
}

/// Shows nothing of what is typed and gives it key by key, until it is dropped. So Ctrl-C is
/// a key as well: a signal would leave the terminal silent.
struct Terminal {
    tty: File,
    before: Termios,
}

impl Terminal {
    fn quiet(tty: File) -> io::Result<Self> {
        let before = tcgetattr(&tty)?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed before it was asked for is no answer.
        tcsetattr(&tty, OptionalActions::Flush, &quiet)?;
        Ok(Self { tty, before })
    }

    fn key(&self, index: SpecialCodeIndex) -> u8 {
        self.before.special_codes[index]
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // What is left of a paste is no command for the shell that reads next.
        let _ = tcsetattr(&self.tty, OptionalActions::Flush, &self.before);
    }
}

/// What was typed, in a buffer that does not grow and is wiped.
pub(crate) struct Line {
    bytes: Zeroizing<[u8; 1025]>,
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: Zeroizing::new([0; 1025]), len: 0 }
    }
}

impl Line {
    pub(crate) fn is_same(&self, other: &Line) -> bool {
        self.bytes[..self.len] == other.bytes[..other.len]
    }

    pub(crate) fn passphrase(mut self) -> Result<Passphrase> {
        Passphrase::take(&mut self.bytes[..self.len])
    }

    /// To the end of the line. False if it was interrupted. A control character is no part of
    /// it: it would be there unseen.
    fn read(&mut self, terminal: &mut Terminal) -> io::Result<bool> {
        use SpecialCodeIndex as Key;
        let mut key = Zeroizing::new([0]);
        loop {
            match terminal.tty.read(&mut *key) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            }
            match key[0] {
                b'\r' | b'\n' => return Ok(true),
                k if k == terminal.key(Key::VINTR) || k == terminal.key(Key::VQUIT) => return Ok(false),
                k if k == terminal.key(Key::VEOF) => return Ok(true),
                k if k == terminal.key(Key::VERASE) || k == 8 || k == 127 => self.erase(),
                k if k == terminal.key(Key::VKILL) => self.len = 0,
                0..32 => {}
                k => self.push(k),
            }
        }
    }

    /// One byte too many stays, for the limit to be told.
    fn push(&mut self, byte: u8) {
        if let Some(free) = self.bytes.get_mut(self.len) {
            *free = byte;
            self.len += 1;
        }
    }

    /// The last character, which may have several bytes.
    fn erase(&mut self) {
        let typed = &self.bytes[..self.len];
        self.len = typed.iter().rposition(|b| b & 0xc0 != 0x80).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_and_ends() {
        let mut line = Line::default();
        "aé🔑".bytes().for_each(|b| line.push(b));
        line.erase();
        assert_eq!(line.bytes[..line.len], *"aé".as_bytes());
        line.erase();
        line.erase();
        line.erase();
        assert_eq!(line.len, 0);
        (0..3000).for_each(|_| line.push(b'x'));
        assert_eq!(line.len, 1025);
    }
}
