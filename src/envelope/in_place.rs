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
    let second = place as u64;
    let mut old = [vec![0; place], vec![0; place]];
    medium.read(0, &mut old[0])?;
    medium.read(second, &mut old[1])?;
    let is_whole = |bytes: &Vec<u8>| {
        let copy = HeaderCopy::parse(bytes);
        copy.is_ok_and(|c| c.copies == Copies::Two && c.bytes().len() == place && c.verify(keys).is_ok())
    };
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
mod tests {
    use super::*;
    use crate::{Dek, EncryptionContext, Header, KeyId, Recipient, Suite, WrappedDek, envelope::Plan};

    const PLACE: usize = 4096;
    const SECTOR: usize = 512;
    const SECTORS: usize = PLACE / SECTOR;

    /// A disk that remembers what it was before each sync.
    struct Disk {
        now: Vec<u8>,
        /// Before, after, and where: for each write that was synced.
        writes: Vec<(Vec<u8>, Vec<u8>, usize)>,
        pending: Option<(Vec<u8>, usize)>,
        reads: usize,
    }

    impl Disk {
        fn new(now: Vec<u8>) -> Self {
            Self { now, writes: Vec::new(), pending: None, reads: 0 }
        }
    }

    impl Medium for Disk {
        fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<()> {
            self.reads += bytes.len();
            bytes.copy_from_slice(&self.now[at as usize..][..bytes.len()]);
            Ok(())
        }
        fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
            assert!(self.pending.is_none(), "each write is synced before the next");
            self.pending = Some((self.now.clone(), at as usize));
            self.now[at as usize..][..bytes.len()].copy_from_slice(bytes);
            Ok(())
        }
        fn sync(&mut self) -> Result<()> {
            let (before, at) = self.pending.take().expect("something was written");
            self.writes.push((before, self.now.clone(), at));
            Ok(())
        }
    }

    struct Case {
        keys: DerivedKeys,
        old: HeaderCopy,
        new: HeaderCopy,
    }

    fn case() -> Case {
        let keys =
            DerivedKeys::of(&Dek::generate().unwrap(), Suite::Chunked, &EncryptionContext::empty()).unwrap();
        let recipient = |n: u8, len: usize| {
            Recipient::new("local", WrappedDek::new(KeyId::new(format!("k/{n}")).unwrap(), vec![n; len]))
        };
        // Long enough to reach into several sectors, each its own way.
        let old = [recipient(1, 40)];
        let plan = Plan { suite: Suite::Chunked, copies: Copies::Two, recipients: &old, context: None };
        let old = HeaderCopy::build(&plan, &keys).unwrap();
        let new = old.rewrapped(vec![recipient(2, 1200), recipient(3, 700)], &keys).unwrap();
        assert_eq!((old.bytes().len(), new.bytes().len()), (PLACE, PLACE));
        Case { keys, old, new }
    }

    /// Every way to tear one write: each sector old, new or junk.
    fn torn(before: &[u8], after: &[u8], at: usize) -> impl Iterator<Item = Vec<u8>> {
        (0..3usize.pow(SECTORS as u32)).map(move |mut way| {
            let mut disk = before.to_vec();
            for sector in 0..SECTORS {
                let range = at + sector * SECTOR..at + (sector + 1) * SECTOR;
                match way % 3 {
                    0 => {}
                    1 => disk[range.clone()].copy_from_slice(&after[range]),
                    _ => disk[range].fill(0xa5),
                }
                way /= 3;
            }
            disk
        })
    }

    /// Some copy of what lies there opens.
    fn opens(disk: &[u8], keys: &DerivedKeys) -> bool {
        let payload = [0; 72];
        Header::parse(&[disk, &payload].concat())
            .is_ok_and(|h| h.tries().iter().any(|c| c.verify(keys).is_ok()))
    }

    #[test]
    fn f55_every_torn_state_opens_in_both_stages() {
        let Case { keys, old, new } = case();
        let mut disk = Disk::new(old.all_copies());
        replace_in_place(&mut disk, &keys, &new).unwrap();
        assert!(disk.now == new.all_copies());
        assert_eq!(disk.writes.iter().map(|w| w.2).collect::<Vec<_>>(), [PLACE, 0], "second, then first");
        assert_eq!(disk.reads, 2 * PLACE, "nothing of the payload");
        let mut states = 0;
        for (before, after, at) in &disk.writes {
            for state in torn(before, after, *at) {
                assert!(opens(&state, &keys));
                states += 1;
            }
        }
        assert_eq!(states, 2 * 6561);
    }

    /// A second crash, while the first one's damage is mended.
    #[test]
    fn f55_every_torn_state_of_a_repair_opens_and_is_mended() {
        let Case { keys, old, new } = case();
        let mut first = Disk::new(old.all_copies());
        replace_in_place(&mut first, &keys, &new).unwrap();
        for (before, after, at) in &first.writes {
            // A sample of the first crash, all of the second.
            for damaged in torn(before, after, *at).step_by(731) {
                let mut second = Disk::new(damaged);
                replace_in_place(&mut second, &keys, &new).unwrap();
                assert!(second.now == new.all_copies());
                for (before, after, at) in &second.writes {
                    for state in torn(before, after, *at).step_by(7) {
                        assert!(opens(&state, &keys));
                    }
                }
            }
        }
    }

    #[test]
    fn two_copies_that_fail_are_left_alone() {
        let Case { keys, old, new } = case();
        let mut disk = Disk::new(old.all_copies());
        disk.now[PLACE - 1] ^= 1;
        disk.now[2 * PLACE - 1] ^= 1;
        let before = disk.now.clone();
        assert!(replace_in_place(&mut disk, &keys, &new).is_err());
        assert!(disk.now == before);
    }
}
