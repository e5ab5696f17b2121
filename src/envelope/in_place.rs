//! Writing new headers over old ones, so that at every moment one copy is whole.
use super::{Copies, HeaderCopy, keys::DerivedKeys};
use crate::{Error, Result};

/// Where an envelope with two copies lies. What is written may be lost, or half there, until
/// it is synced.
pub(crate) trait Medium {
    /// Fills `bytes` from `at` on.
    fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<()>;
    /// Writes `bytes` from `at` on.
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()>;
    /// Has all that was written survive a crash.
    fn sync(&mut self) -> Result<()>;
}

/// Replaces both header copies by `new`, which takes as many bytes. Both are checked first,
/// whoever their recipients are; one that fails is mended by the other before that one is
/// touched.
pub(crate) fn replace_in_place(medium: &mut impl Medium, keys: &DerivedKeys, new: &HeaderCopy) -> Result<()> {
    let place = new.bytes().len();
    let is_whole = |bytes: &[u8]| {
        let copy = HeaderCopy::parse(bytes);
        copy.is_ok_and(|c| c.copies == Copies::Two && c.bytes().len() == place && c.verify(keys).is_ok())
    };
    replace(medium, is_whole, new)
}

/// The same where both copies are `old`, which was verified.
pub(crate) fn replace_known(medium: &mut impl Medium, old: &HeaderCopy, new: &HeaderCopy) -> Result<()> {
    replace(medium, |bytes| bytes == old.bytes(), new)
}

fn replace(medium: &mut impl Medium, is_whole: impl Fn(&[u8]) -> bool, new: &HeaderCopy) -> Result<()> {
    let place = new.bytes().len();
    let second = place as u64;
    let mut old = [vec![0; place], vec![0; place]];
    medium.read(0, &mut old[0])?;
    medium.read(second, &mut old[1])?;
    match [is_whole(&old[0]), is_whole(&old[1])] {
        [true, true] => {}
        [true, false] => write_whole(medium, second, &old[0])?,
        [false, true] => write_whole(medium, 0, &old[1])?,
        [false, false] => return Err(Error::authentication()),
    }
    write_whole(medium, second, new.bytes())?;
    write_whole(medium, 0, new.bytes())
}

fn write_whole(medium: &mut impl Medium, at: u64, bytes: &[u8]) -> Result<()> {
    medium.write(at, bytes)?;
    medium.sync()
}

#[cfg(test)]
mod tests;
