//! Random access over `Read + Seek`.
use super::{CHUNK, HEAD, Opening, SEALED_CHUNK};
use crate::{Result, crypto::Cobblestone};
use std::io::{self, Read, Seek, SeekFrom};
use zeroize::Zeroizing;

/// Plaintext of a sealed file, from anywhere. What was read is authentic. The length is
/// too, once a read has given `Ok(0)` or a seek from the end has succeeded.
pub struct SeekReader<R> {
    key: Cobblestone,
    inner: R,
    /// Where the first chunk begins.
    start: u64,
    /// Of the plaintext, told by the file.
    len: u64,
    len_is_authentic: bool,
    at: u64,
    /// The chunk opened last: sequential reads open each once.
    chunk: Zeroizing<Vec<u8>>,
    index: Option<u64>,
}

impl Opening {
    /// Over a whole sealed file, wherever it stands now.
    ///
    /// # Errors
    /// As [`plaintext_len`](Self::plaintext_len); Authentication if the payload's
    /// commitment is not that of key and aad; Io.
    pub fn seekable<R: Read + Seek>(&self, mut inner: R) -> Result<SeekReader<R>> {
        let len = self.plaintext_len(inner.seek(SeekFrom::End(0))?)?;
        inner.seek(SeekFrom::Start(self.header_len))?;
        let mut head = [0; HEAD];
        inner.read_exact(&mut head)?;
        Ok(SeekReader {
            key: self.message_key(&head)?,
            inner,
            start: self.header_len + HEAD as u64,
            len,
            len_is_authentic: false,
            at: 0,
            chunk: Zeroizing::new(Vec::with_capacity(CHUNK)),
            index: None,
        })
    }
}

impl<R: Read + Seek> SeekReader<R> {
    /// Makes chunk `index` the one at hand.
    fn load(&mut self, index: u64) -> io::Result<()> {
        if self.index == Some(index) {
            return Ok(());
        }
        self.index = None;
        self.inner.seek(SeekFrom::Start(self.start + index * SEALED_CHUNK as u64))?;
        let mut sealed = Vec::with_capacity(SEALED_CHUNK);
        self.inner.by_ref().take(SEALED_CHUNK as u64).read_to_end(&mut sealed)?;
        self.chunk.clear();
        self.key.open_chunk(index, &sealed, &mut self.chunk)?;
        self.index = Some(index);
        Ok(())
    }

    /// The last chunk is shorter than the others: it proves where the plaintext ends.
    fn prove_len(&mut self) -> io::Result<()> {
        if !self.len_is_authentic {
            self.load(self.len / CHUNK as u64)?;
            if self.chunk.len() as u64 != self.len % CHUNK as u64 {
                return Err(crate::Error::authentication().into());
            }
            self.len_is_authentic = true;
        }
        Ok(())
    }
}

impl<R: Read + Seek> Read for SeekReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.at >= self.len {
            return self.prove_len().map(|()| 0);
        }
        self.load(self.at / CHUNK as u64)?;
        let rest = self.chunk.get((self.at % CHUNK as u64) as usize..).unwrap_or_default();
        if rest.is_empty() {
            // The file has shrunk since its length was told.
            return Err(crate::Error::authentication().into());
        }
        let n = buf.len().min(rest.len());
        buf[..n].copy_from_slice(&rest[..n]);
        self.at += n as u64;
        Ok(n)
    }
}

impl<R: Read + Seek> Seek for SeekReader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::Current(d) => self.at.checked_add_signed(d),
            SeekFrom::End(d) => {
                self.prove_len()?;
                self.len.checked_add_signed(d)
            }
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
