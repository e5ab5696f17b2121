//! The same adapters over tokio's traits.
mod read;
mod seek;
mod write;

pub use read::{AsyncOpenReader, AsyncSealReader};
pub use seek::AsyncSeekReader;
pub use write::{AsyncOpenWriter, AsyncSealWriter};

use super::{Opening, Sealing};
use tokio::io::{AsyncRead, AsyncWrite};

impl Sealing {
    /// Over any `AsyncWrite` of tokio's. Encrypts where it is polled, 64 KiB at a time.
    pub fn tokio_writer<W: AsyncWrite + Unpin>(self, inner: W) -> AsyncSealWriter<W> {
        AsyncSealWriter::new(self, inner)
    }

    /// The envelope of what `inner` reads, as an `AsyncRead` of tokio's.
    pub fn tokio_reader<R: AsyncRead + Unpin>(self, inner: R) -> AsyncSealReader<R> {
        AsyncSealReader::new(self, inner)
    }
}

impl Opening {
    /// Over an `AsyncRead` of tokio's that stands where the header ended.
    pub fn tokio_reader<R: AsyncRead + Unpin>(&self, inner: R) -> AsyncOpenReader<R> {
        AsyncOpenReader::new(self.stream(), self.read_ahead.clone(), inner)
    }

    /// Write the payload here, and what is authentic of it comes out at `inner`.
    pub fn tokio_writer<W: AsyncWrite + Unpin>(&self, inner: W) -> AsyncOpenWriter<W> {
        AsyncOpenWriter::new(self.stream(), inner)
    }
}
