//! Random access over `AsyncRead + AsyncSeek`.
use super::{
    super::{CHUNK, HEAD, Opening, SEALED_CHUNK},
    read::poll_into,
};
use crate::{Error, Result, crypto::Cobblestone};
use std::{
    io::{self, SeekFrom},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, ReadBuf};
use zeroize::Zeroizing;

/// Plaintext of a sealed file, from anywhere. What was read is authentic. The length is
/// too, once a read has given nothing more or a seek from the end has succeeded.
///
/// A read or seek that is dropped while it waits loses nothing.
pub struct AsyncSeekReader<R> {
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
    fetch: Fetch,
    /// A seek from the end, until the end is proven.
    from_end: Option<i64>,
}

/// The chunk that is being fetched.
enum Fetch {
    Nothing,
    /// The inner seek was started, and is not complete.
    Seeking(u64),
    Reading(u64, Vec<u8>, usize),
}

impl Opening {
    /// Over a whole sealed file, wherever it stands now.
    ///
    /// # Errors
    /// As [`plaintext_len`](Self::plaintext_len); Authentication if the payload's
    /// commitment is not that of key and aad; Io.
    pub async fn tokio_seekable<R>(&self, mut inner: R) -> Result<AsyncSeekReader<R>>
    where
        R: AsyncRead + AsyncSeek + Unpin,
    {
        let len = self.plaintext_len(inner.seek(SeekFrom::End(0)).await?)?;
        inner.seek(SeekFrom::Start(self.header_len)).await?;
        let mut head = [0; HEAD];
        inner.read_exact(&mut head).await?;
        Ok(AsyncSeekReader {
            key: self.message_key(&head)?,
            inner,
            start: self.header_len + HEAD as u64,
            len,
            len_is_authentic: false,
            at: 0,
            chunk: Zeroizing::new(Vec::with_capacity(CHUNK)),
            index: None,
            fetch: Fetch::Nothing,
            from_end: None,
        })
    }
}

impl<R: AsyncRead + AsyncSeek + Unpin> AsyncSeekReader<R> {
    /// Makes chunk `index` the one at hand.
    fn poll_load(&mut self, cx: &mut Context<'_>, index: u64) -> Poll<io::Result<()>> {
        if self.index == Some(index) {
            return Poll::Ready(Ok(()));
        }
        let loaded = ready!(self.poll_fetch(cx, index));
        self.fetch = Fetch::Nothing;
        self.index = None;
        self.chunk.clear();
        self.key.open_chunk(index, &loaded?, &mut self.chunk)?;
        self.index = Some(index);
        Poll::Ready(Ok(()))
    }

    /// The sealed bytes of chunk `index`.
    fn poll_fetch(&mut self, cx: &mut Context<'_>, index: u64) -> Poll<io::Result<Vec<u8>>> {
        loop {
            match &mut self.fetch {
                // One that nobody wants any more: a seek must be complete before the next.
                Fetch::Seeking(other) => {
                    let (wanted, done) = (*other == index, Pin::new(&mut self.inner).poll_complete(cx));
                    self.fetch = match ready!(done) {
                        Ok(_) if wanted => Fetch::Reading(index, vec![0; SEALED_CHUNK], 0),
                        Err(e) if wanted => return Poll::Ready(Err(e)),
                        _ => Fetch::Nothing,
                    };
                }
                Fetch::Reading(this, sealed, filled) if *this == index => {
                    match ready!(poll_into(&mut self.inner, cx, &mut sealed[*filled..]))? {
                        0 => {
                            sealed.truncate(*filled);
                            return Poll::Ready(Ok(std::mem::take(sealed)));
                        }
                        n => *filled += n,
                    }
                }
                Fetch::Nothing | Fetch::Reading(..) => {
                    // A file refuses to seek while a read that nobody waits for is under way.
                    ready!(Pin::new(&mut self.inner).poll_complete(cx))?;
                    let to = SeekFrom::Start(self.start + index * SEALED_CHUNK as u64);
                    Pin::new(&mut self.inner).start_seek(to)?;
                    self.fetch = Fetch::Seeking(index);
                }
            }
        }
    }

    /// The last chunk is shorter than the others: it proves where the plaintext ends.
    fn poll_prove_len(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.len_is_authentic {
            ready!(self.poll_load(cx, self.len / CHUNK as u64))?;
            if self.chunk.len() as u64 != self.len % CHUNK as u64 {
                return Poll::Ready(Err(Error::authentication().into()));
            }
            self.len_is_authentic = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + AsyncSeek + Unpin> AsyncRead for AsyncSeekReader<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if me.at >= me.len {
            return me.poll_prove_len(cx);
        }
        ready!(me.poll_load(cx, me.at / CHUNK as u64))?;
        let rest = me.chunk.get((me.at % CHUNK as u64) as usize..).unwrap_or_default();
        if rest.is_empty() {
            // The file has shrunk since its length was told.
            return Poll::Ready(Err(Error::authentication().into()));
        }
        let n = buf.remaining().min(rest.len());
        buf.put_slice(&rest[..n]);
        me.at += n as u64;
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + AsyncSeek + Unpin> AsyncSeek for AsyncSeekReader<R> {
    fn start_seek(self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        let me = self.get_mut();
        me.from_end = None;
        let at = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::Current(d) => me.at.checked_add_signed(d),
            SeekFrom::End(d) => {
                me.from_end = Some(d);
                me.len.checked_add_signed(d).map(|_| me.at)
            }
        };
        me.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let me = self.get_mut();
        if let Some(d) = me.from_end {
            ready!(me.poll_prove_len(cx))?;
            me.from_end = None;
            me.at = me.len.checked_add_signed(d).ok_or(io::ErrorKind::InvalidInput)?;
        }
        Poll::Ready(Ok(me.at))
    }
}
