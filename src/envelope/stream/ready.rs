//! What an adapter holds between two reads.
use super::make_room;
use zeroize::Zeroizing;

/// Bytes made and not yet taken.
#[derive(Default)]
pub(super) struct Ready {
    bytes: Zeroizing<Vec<u8>>,
    taken: usize,
    pub(super) ended: bool,
}

impl Ready {
    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// The emptied buffer, for what `n` bytes bring out.
    pub(super) fn refill(&mut self, n: usize) -> &mut Vec<u8> {
        self.taken = 0;
        make_room(&mut self.bytes, n)
    }

    pub(super) fn give(&mut self, buf: &mut [u8]) -> usize {
        let n = buf.len().min(self.bytes.len() - self.taken);
        buf[..n].copy_from_slice(&self.bytes[self.taken..][..n]);
        self.taken += n;
        n
    }
}
