//! Streams as `AsyncWrite`.
use super::super::{BATCH, OpenStream, Sealing, make_room};
use crate::{Error, Result};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;
use zeroize::Zeroizing;

/// Seals what is written to it. Without [`finish`](Self::finish) or `shutdown` the envelope
/// does not open. An error of `inner` ends the stream: how much it took is not known.
///
/// Takes more only when `inner` took what came of the last 64 KiB. A write that is dropped
/// while it waits has taken nothing.
#[must_use = "an envelope without finish() does not open"]
pub struct AsyncSealWriter<W> {
    sealing: Sealing,
    pipe: Pipe<W>,
}

/// Opens the payload that is written to it; whole authenticated chunks come out at `inner`.
/// Only [`finish`](Self::finish), or `shutdown`, says that the payload was whole.
///
/// Takes more only when `inner` took what came of the last 64 KiB. A write that is dropped
/// while it waits has taken nothing.
#[must_use = "a stream without finish() may have been cut short"]
pub struct AsyncOpenWriter<W> {
    stream: OpenStream,
    pipe: Pipe<W>,
}

impl<W: AsyncWrite + Unpin> AsyncSealWriter<W> {
    pub(super) fn new(sealing: Sealing, inner: W) -> Self {
        Self { sealing, pipe: Pipe::new(inner) }
    }

    /// Writes the last chunk, flushes, and gives `inner` back, which goes on. `shutdown`
    /// writes the last chunk too, and shuts `inner` down.
    ///
    /// # Errors
    /// Those of `inner` and of [`Sealing::finish`].
    pub async fn finish(mut self) -> io::Result<W> {
        let Self { sealing, pipe } = &mut self;
        poll_fn(|cx| pipe.poll_end(cx, |out| sealing.finish_mut(out))).await?;
        poll_fn(|cx| Pin::new(&mut pipe.inner).poll_flush(cx)).await?;
        Ok(self.pipe.inner)
    }
}

impl<W: AsyncWrite + Unpin> AsyncOpenWriter<W> {
    pub(super) fn new(stream: OpenStream, inner: W) -> Self {
        Self { stream, pipe: Pipe::new(inner) }
    }

    /// Writes the last chunk, flushes, and gives `inner` back, which goes on. `shutdown`
    /// writes the last chunk too, and shuts `inner` down.
    ///
    /// # Errors
    /// Those of `inner` and of [`OpenStream::finish`].
    pub async fn finish(mut self) -> io::Result<W> {
        let Self { stream, pipe } = &mut self;
        poll_fn(|cx| pipe.poll_end(cx, |out| stream.finish_mut(out))).await?;
        poll_fn(|cx| Pin::new(&mut pipe.inner).poll_flush(cx)).await?;
        Ok(self.pipe.inner)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for AsyncSealWriter<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { sealing, pipe } = self.get_mut();
        pipe.poll_pass(cx, buf, |now, out| sealing.push(now, out))
    }

    /// Flushes `inner`. A chunk begun stays here: it is sealed whole.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().pipe.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { sealing, pipe } = self.get_mut();
        ready!(pipe.poll_end(cx, |out| sealing.finish_mut(out)))?;
        Pin::new(&mut pipe.inner).poll_shutdown(cx)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for AsyncOpenWriter<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, pipe } = self.get_mut();
        pipe.poll_pass(cx, buf, |now, out| stream.push(now, out))
    }

    /// Flushes `inner`. A chunk begun stays here: it is opened whole.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().pipe.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, pipe } = self.get_mut();
        ready!(pipe.poll_end(cx, |out| stream.finish_mut(out)))?;
        Pin::new(&mut pipe.inner).poll_shutdown(cx)
    }
}

/// An inner writer, and what it is yet to take.
struct Pipe<W> {
    inner: W,
    out: Zeroizing<Vec<u8>>,
    taken: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    /// The last chunk was made.
    Ended,
    /// An error of the inner writer.
    Broken,
}

impl<W: AsyncWrite + Unpin> Pipe<W> {
    fn new(inner: W) -> Self {
        Self { inner, out: Zeroizing::default(), taken: 0, state: State::Open }
    }

    /// Takes some of `buf`, once nothing is left of what came before.
    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
        make: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<()>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        if self.state == State::Ended {
            return Poll::Ready(Err(Error::misuse("this stream is finished").into()));
        }
        let now = &buf[..buf.len().min(BATCH)];
        self.make(now.len(), |out| make(now, out))?;
        // What it takes at once need not wait for the next call; the rest does not make
        // this one wait, for these bytes are taken.
        match self.poll_drain(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(now.len())),
        }
    }

    /// The last chunk, made once, until all is written.
    fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
        finish: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        if self.state == State::Open {
            self.make(0, finish)?;
            self.state = State::Ended;
        }
        self.poll_drain(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn make(&mut self, n: usize, make: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> io::Result<()> {
        self.taken = 0;
        Ok(make(make_room(&mut self.out, n))?)
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state == State::Broken {
            return Poll::Ready(Err(
                Error::misuse("an earlier write failed: this stream cannot go on").into()
            ));
        }
        while self.taken < self.out.len() {
            let wrote = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out[self.taken..]));
            match wrote {
                Ok(0) => return self.broken(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.taken += n,
                Err(e) => return self.broken(e),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn broken(&mut self, error: io::Error) -> Poll<io::Result<()>> {
        self.state = State::Broken;
        Poll::Ready(Err(error))
    }
}
