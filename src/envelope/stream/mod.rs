//! Chunked payloads: constant memory, random access, no plaintext before its tag.
//!
//! [`Sealing`] and [`OpenStream`] are state machines without I/O, to be fed and drained by
//! whatever moves the bytes. Over `std::io` there are
//! [`Sealing::writer`], [`Sealing::reader`], [`Opening::reader`], [`Opening::writer`] and,
//! for random access, [`Opening::seekable`]; the same over tokio's traits are called
//! `tokio_writer` and so on (feature `tokio`). From a reader to a writer, on as many threads as
//! you say, goes [`Scope::seal_stream`](crate::Scope::seal_stream). For object stores, [`Opening::plan`] maps a
//! range of the plaintext to the one range of the object that holds it.
//!
//! A payload is never appended to, changed in part or resumed: a chunk sealed twice under
//! one salt would repeat a nonce. New bytes are a new payload.
mod bulk;
#[cfg(feature = "tokio")]
mod on_tokio;
mod open;
mod range;
mod read;
mod ready;
mod seal;
mod seek;
#[cfg(test)]
mod vectors;
mod write;

pub(crate) use bulk::check_threads;
#[cfg(feature = "tokio")]
pub use on_tokio::{AsyncOpenReader, AsyncOpenWriter, AsyncSealReader, AsyncSealWriter, AsyncSeekReader};
pub use open::{OpenStream, Opening};
pub use range::Plan;
pub(super) use range::plaintext_len;
pub use read::{OpenReader, SealReader};
pub use seal::Sealing;
pub(crate) use seal::take_from;
pub use seek::SeekReader;
pub use write::{OpenWriter, SealWriter};

use ready::Ready;

use crate::crypto::{self, CHUNK_TAG as TAG, STREAM_HEAD as HEAD};
use zeroize::Zeroizing;

/// Bytes of plaintext in every chunk but the last, which is shorter.
pub const CHUNK: usize = crypto::CHUNK;

/// A chunk with its tag.
const SEALED_CHUNK: usize = CHUNK + TAG;

/// What the adapters over std::io hold at once.
const BATCH: usize = 4 * SEALED_CHUNK;

/// Empties a buffer and gives it room for what `n` bytes pushed may bring out, with a chunk
/// begun before. Not by growing, which leaves a copy behind: what it held is wiped.
fn make_room(buffer: &mut Zeroizing<Vec<u8>>, n: usize) -> &mut Vec<u8> {
    buffer.clear();
    if buffer.capacity() < n + SEALED_CHUNK + 5 * TAG {
        *buffer = Zeroizing::new(Vec::with_capacity(n + SEALED_CHUNK + 5 * TAG));
    }
    buffer
}

/// Bytes to fetch first from a remote object: header copies, salt and commitment of nearly
/// every file with two copies. [`Header::prefix_len`](crate::Header::prefix_len) tells
/// when it is more.
pub const PREFIX: usize = 2 * 4096 + HEAD;
