//! Messages prepared beforehand, for all libraries the same ones in the same memory.
use crate::peers::{AwsLc, Direction, Nonce, Peer, Tag};

/// Keys, nonces, and at most as many buffers.
const DIFFERENT: usize = 16;
/// Small messages lie in several buffers, as records do, that fit into the first cache
/// together: what one call writes the next one does not read.
const CACHED: usize = 16 * 1024;
/// Where a buffer begins in a cache line: as large ones do that `malloc` gives.
const OFFSET: usize = 16;
const LINE: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    Reused,
    Fresh,
}

impl KeyUse {
    pub fn name(self) -> &'static str {
        match self {
            Self::Reused => "reused",
            Self::Fresh => "fresh",
        }
    }
}

/// A ring of messages, each under another nonce, and under another key if that is fresh.
///
/// Opening and sealing are the same exclusive or: what is done twice to a buffer gives back
/// what was there. So when all were opened twice the ring begins again, each tag is known
/// beforehand, and nothing is copied or sealed between two calls that are timed.
pub struct Messages {
    bytes: usize,
    key: KeyUse,
    keys: [[u8; 32]; DIFFERENT],
    nonces: [Nonce; DIFFERENT],
    /// Of every message, the first time and the second.
    tags: Vec<Tag>,
    room: Vec<u8>,
    start: usize,
    buffers: usize,
    at: usize,
}

pub struct Message<'a> {
    pub key: &'a [u8; 32],
    pub nonce: &'a Nonce,
    pub data: &'a mut [u8],
    pub tag: &'a Tag,
}

impl Messages {
    /// Of so many bytes each; to be opened, if not sealed.
    pub fn new(key: KeyUse, bytes: usize, direction: Direction) -> Self {
        let buffers = (CACHED / bytes.max(1)).clamp(1, DIFFERENT);
        let mut room = vec![0; buffers * bytes.next_multiple_of(LINE) + 2 * LINE];
        room.iter_mut().zip(0u32..).for_each(|(byte, i)| *byte = (i ^ i >> 7) as u8);
        let start = room.as_ptr().align_offset(LINE) + OFFSET;
        let keys = std::array::from_fn(|i| [i as u8 ^ 0xa5; 32]);
        let nonces = std::array::from_fn(|i| [i as u8; 12]);
        let tags = vec![[0; 16]; 2 * DIFFERENT];
        let mut made = Self { bytes, key, keys, nonces, tags, room, start, buffers, at: 0 };
        if direction == Direction::Open {
            made.find_tags();
        }
        made
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The key of all messages, if it is reused.
    pub fn reused_key(&self) -> &[u8; 32] {
        &self.keys[0]
    }

    #[inline]
    pub fn take(&mut self) -> Message<'_> {
        let (at, i) = (self.at, self.at % DIFFERENT);
        self.at = (at + 1) % (2 * DIFFERENT);
        let begin = self.start + i % self.buffers * self.bytes.next_multiple_of(LINE);
        Message {
            key: &self.keys[if self.key == KeyUse::Fresh { i } else { 0 }],
            nonce: &self.nonces[i],
            data: &mut self.room[begin..begin + self.bytes],
            tag: &self.tags[at],
        }
    }

    fn find_tags(&mut self) {
        for at in 0..2 * DIFFERENT {
            let Message { key, nonce, data, .. } = self.take();
            let mut key = AwsLc.key(key, Direction::Seal, data.len());
            // What it would have been sealed from, as it is, and on to what it is opened to.
            AwsLc::seal(&mut key, nonce, data);
            let tag = AwsLc::seal(&mut key, nonce, data);
            AwsLc::seal(&mut key, nonce, data);
            self.tags[at] = tag;
        }
    }
}
