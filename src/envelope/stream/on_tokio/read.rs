//! Streams as `AsyncRead`.
use super::super::{BATCH, CHUNK, OpenStream, Ready, Sealing};
use std::{
    io::{self, Read},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};
use zeroize::Zeroizing;

/// Plaintext of a sealed stream. What was read is authentic; that it is whole is known
/// when a read has given nothing more. Errors are [`Error`](crate::Error)s inside
/// ([`Error::in_io`](crate::Error::in_io)), and stay. A read that is dropped while it waits
/// loses nothing.
pub struct AsyncOpenReader<R> {
    stream: OpenStream,
    /// Read before `inner`.
    ahead: io::Cursor<Arc<[u8]>>,
    inner: R,
    sealed: Vec<u8>,
    plain: Ready,
}

/// The envelope of what an inner `AsyncRead` gives. A read that is dropped while it waits
/// loses nothing.
pub struct AsyncSealReader<R> {
    sealing: Sealing,
    inner: R,
    plain: Zeroizing<Vec<u8>>,
    sealed: Ready,
}

impl<R: AsyncRead + Unpin> AsyncOpenReader<R> {
    pub(super) fn new(stream: OpenStream, ahead: Arc<[u8]>, inner: R) -> Self {
        let (ahead, sealed) = (io::Cursor::new(ahead), vec![0; BATCH]);
        Self { stream, ahead, inner, sealed, plain: Ready::default() }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for AsyncOpenReader<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        while me.plain.is_empty() && !me.plain.ended && buf.remaining() > 0 {
            let n = match me.ahead.read(&mut me.sealed)? {
                0 => ready!(poll_into(&mut me.inner, cx, &mut me.sealed))?,
                n => n,
            };
            let out = me.plain.refill(n);
            if n == 0 {
                me.stream.finish_mut(out)?;
                me.plain.ended = true;
            } else {
                me.stream.push(&me.sealed[..n], out)?;
            }
        }
        give(&mut me.plain, buf)
    }
}

impl<R: AsyncRead + Unpin> AsyncSealReader<R> {
    pub(super) fn new(sealing: Sealing, inner: R) -> Self {
        Self { sealing, inner, plain: Zeroizing::new(vec![0; 4 * CHUNK]), sealed: Ready::default() }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for AsyncSealReader<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        while me.sealed.is_empty() && !me.sealed.ended && buf.remaining() > 0 {
            let n = ready!(poll_into(&mut me.inner, cx, &mut me.plain))?;
            let out = me.sealed.refill(n);
            if n == 0 {
                me.sealing.finish_mut(out)?;
                me.sealed.ended = true;
            } else {
                me.sealing.push(&me.plain[..n], out)?;
            }
        }
        give(&mut me.sealed, buf)
    }
}

/// Reads into `to`; how much that was.
pub(super) fn poll_into<R: AsyncRead + Unpin>(
    inner: &mut R,
    cx: &mut Context<'_>,
    to: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buf = ReadBuf::new(to);
    Pin::new(inner).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
}

fn give(ready: &mut Ready, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    let n = ready.give(buf.initialize_unfilled());
    buf.advance(n);
    Poll::Ready(Ok(()))
}
