//! Backends on tokio, from anywhere; streams over tokio's traits.
mod common;

use common::*;
use libkms::{
    Aad, Dek, EncryptionContext, Error, ErrorKind, Header, KeyId, Result, Scope, SealOptions, Wait,
    WrappedDek, async_trait,
    kek::{KmsBackend, Mock, OnTokio, contract},
    stream::{CHUNK, Opening},
};
use proptest::prelude::*;
use std::{
    future::poll_fn,
    io::{self, Cursor, SeekFrom},
    pin::{Pin, pin},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    runtime::{Builder, Runtime},
};

/// A mock that needs tokio's timer for everything it does.
#[derive(Clone)]
struct Slow(Mock, Arc<Counts>);

#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
    dropped: AtomicUsize,
}

/// Tells that a call went away without its end.
struct Call<'a>(&'a Counts, bool);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.1 { &self.0.ended } else { &self.0.dropped }.fetch_add(1, SeqCst);
    }
}

impl Slow {
    fn new() -> Self {
        Self(Mock::new("k"), Arc::default())
    }

    async fn pause(&self, time: u64) {
        let mut call = Call(&self.1, false);
        self.1.begun.fetch_add(1, SeqCst);
        tokio::time::sleep(Duration::from_millis(time)).await;
        call.1 = true;
    }
}

#[async_trait]
impl KmsBackend for Slow {
    fn scheme(&self) -> &str {
        "mock"
    }
    fn accepts(&self, key_id: &KeyId) -> bool {
        self.0.accepts(key_id)
    }
    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        assert!(context.iter().all(|p| p.0 != "panic"), "as it was told");
        let hour = context.iter().any(|p| p.0 == "hour");
        self.pause(if hour { 3_600_000 } else { 3 }).await;
        self.0.wrap_dek(dek, context).await
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        self.pause(3).await;
        self.0.unwrap_dek(wrapped, context).await
    }
    async fn current_key(&self) -> Result<Option<KeyId>> {
        self.pause(3).await;
        self.0.current_key().await
    }
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_backend_on_tokio_keeps_the_contract() {
    let slow = Slow::new();
    contract::check(|| async { Ok(OnTokio::own(slow.clone())) }).wait();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    contract::check(|| async { Ok(OnTokio::on(runtime.handle().clone(), slow.clone())) }).wait();
    current_thread().block_on(contract::check(|| async { Ok(OnTokio::own(slow.clone())) }));
}

#[test]
fn waiting_inside_a_current_thread_runtime_works_and_outlives_it() {
    let slow = Slow::new();
    let scope = scope(OnTokio::own(slow.clone()), &[]);
    let runtime = current_thread();
    let sealed = runtime.block_on(async { scope.seal(Aad::empty(), b"x").wait() }).unwrap();
    drop(runtime);
    let fresh = common::scope(OnTokio::own(slow), &[]);
    assert_eq!(open(&fresh, "", &sealed).unwrap(), b"x");
}

/// The runtime that a thread blocks cannot do its I/O: an error in time, not a hang.
#[test]
fn waiting_on_the_runtime_that_waits_ends() {
    let runtime = current_thread();
    runtime.block_on(async {
        let policy = libkms::OutagePolicy::default().call_timeout(Duration::from_millis(200));
        let kek = OnTokio::on(runtime.handle().clone(), Slow::new());
        let kms = libkms::Kms::builder().kek(kek).outage_policy(policy).build().unwrap();
        let scope = kms.scope(EncryptionContext::empty());
        let began = Instant::now();
        let refused = scope.seal(Aad::empty(), b"x").wait().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert!(began.elapsed() < Duration::from_secs(10));
        scope.seal(Aad::empty(), b"x").await.unwrap();
    });
}

#[test]
fn a_runtime_that_ended_is_an_error() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let kek = OnTokio::on(runtime.handle().clone(), Slow::new());
    let dek = Dek::generate().unwrap();
    kek.wrap_dek(&dek, &EncryptionContext::empty()).wait().unwrap();
    drop(runtime);
    let refused = kek.wrap_dek(&dek, &EncryptionContext::empty()).wait().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.to_string().contains("has ended"), "{refused}");
}

#[test]
fn a_dropped_call_cancels_its_task() {
    let slow = Slow::new();
    let (kek, dek, hour) = (OnTokio::own(slow.clone()), Dek::generate().unwrap(), context(&[("hour", "")]));
    for _ in 0..10 {
        let mut call = pin!(kek.wrap_dek(&dek, &hour));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        while slow.1.begun.load(SeqCst) == slow.1.dropped.load(SeqCst) {
            std::thread::yield_now();
        }
    }
    let began = Instant::now();
    while slow.1.dropped.load(SeqCst) < slow.1.begun.load(SeqCst) {
        assert!(began.elapsed() < Duration::from_secs(10), "still running");
        std::thread::yield_now();
    }
    assert_eq!(slow.1.ended.load(SeqCst), 0);
}

#[test]
fn a_panic_is_an_error_of_its_call() {
    let (kek, dek) = (OnTokio::own(Slow::new()), Dek::generate().unwrap());
    let refused = kek.wrap_dek(&dek, &context(&[("panic", "")])).wait().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::BadReply);
    kek.wrap_dek(&dek, &EncryptionContext::empty()).wait().unwrap();
}

static SCOPE: LazyLock<Scope> = LazyLock::new(|| scope(Mock::new("k"), &[("purpose", "test")]));

/// Moves a few bytes at a time, and has every other poll wait.
struct Trickle<T> {
    inner: T,
    most: usize,
    waits: bool,
}

fn trickle<T>(inner: T, most: usize) -> Trickle<T> {
    Trickle { inner, most, waits: false }
}

impl<T> Trickle<T> {
    fn is_to_wait(&mut self, cx: &Context<'_>) -> bool {
        self.waits = !self.waits;
        if self.waits {
            cx.waker().wake_by_ref();
        }
        self.waits
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Trickle<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_to_wait(cx) {
            return Poll::Pending;
        }
        let mut few = vec![0; self.most.min(buf.remaining())];
        let mut few = ReadBuf::new(&mut few);
        let read = Pin::new(&mut self.inner).poll_read(cx, &mut few);
        buf.put_slice(few.filled());
        read
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Trickle<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_to_wait(cx) {
            return Poll::Pending;
        }
        let few = &buf[..buf.len().min(self.most)];
        Pin::new(&mut self.inner).poll_write(cx, few)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_to_wait(cx) { Poll::Pending } else { Pin::new(&mut self.inner).poll_flush(cx) }
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_to_wait(cx) { Poll::Pending } else { Pin::new(&mut self.inner).poll_shutdown(cx) }
    }
}

impl<S: AsyncSeek + Unpin> AsyncSeek for Trickle<S> {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.inner).start_seek(to)
    }
    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        if self.is_to_wait(cx) { Poll::Pending } else { Pin::new(&mut self.inner).poll_complete(cx) }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    current_thread().block_on(future)
}

fn seal(plain: &[u8]) -> Vec<u8> {
    seal_stream(&SCOPE, "aad", &SealOptions::new(), plain)
}

fn opening(sealed: &[u8]) -> (usize, Opening) {
    let header = Header::parse(sealed).unwrap();
    (header.len(), SCOPE.opener(Aad::from("aad"), &header).wait().unwrap())
}

async fn open_by_reader(sealed: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let (at, opening) = opening(sealed);
    let mut out = Vec::new();
    opening.tokio_reader(trickle(&sealed[at..], most)).read_to_end(&mut out).await.map(|_| out)
}

async fn open_by_writer(sealed: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let (at, opening) = opening(sealed);
    let mut writer = opening.tokio_writer(trickle(Vec::new(), most));
    writer.write_all(&sealed[at..]).await?;
    writer.finish().await.map(|w| w.inner)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tokio_adapters_agree_with_the_others(len in 0usize..5 * CHUNK, most in 1usize..50_000, piece in 1usize..100_000) {
        let plain = pattern(len);
        block_on(async {
            let mut by_reader = Vec::new();
            let sealing = SCOPE.sealer(Aad::from("aad")).await.unwrap();
            sealing.tokio_reader(trickle(&plain[..], most)).read_to_end(&mut by_reader).await.unwrap();
            let sealing = SCOPE.sealer(Aad::from("aad")).await.unwrap();
            let mut writer = sealing.tokio_writer(trickle(Vec::new(), most));
            for piece in plain.chunks(piece) {
                writer.write_all(piece).await.unwrap();
            }
            let by_writer = writer.finish().await.unwrap().inner;
            for sealed in [&by_reader, &by_writer, &seal(&plain)] {
                assert!(open_by_read(&SCOPE, "aad", sealed).unwrap() == plain);
                assert!(open_by_reader(sealed, most).await.unwrap() == plain);
                assert!(open_by_writer(sealed, most).await.unwrap() == plain);
            }
        });
    }

    #[test]
    fn f08_an_edited_payload_never_opens_over_tokio(len in 0usize..3 * CHUNK, edit in 0..4, at: u32, bit in 0u32..8, most in 1usize..50_000) {
        let sealed = seal(&pattern(len));
        let start = header_len(&sealed);
        let at = start + at as usize % (sealed.len() - start);
        let mut bad = sealed.clone();
        match edit {
            0 => bad[at] ^= 1u8 << bit,
            1 => bad.truncate(at),
            2 => bad.insert(at, 7),
            _ => bad.extend_from_slice(&sealed[at..]),
        }
        prop_assume!(bad != sealed);
        block_on(async {
            assert!(open_by_reader(&bad, most).await.is_err());
            assert!(open_by_writer(&bad, most).await.is_err());
        });
    }

    #[test]
    fn seeks_over_tokio_give_the_slice(len in 1usize..4 * CHUNK, places in prop::collection::vec((any::<u32>(), 0..3, 1usize..40_000), 1..6), most in 1usize..50_000) {
        let plain = pattern(len);
        let sealed = seal(&plain);
        let (_, opening) = opening(&sealed);
        block_on(async {
            let mut file = opening.tokio_seekable(trickle(Cursor::new(&sealed), most)).await.unwrap();
            let mut now = 0;
            for (place, way, n) in places {
                let place = place as usize % len;
                let to = match way {
                    0 => SeekFrom::Start(place as u64),
                    1 => SeekFrom::End(place as i64 - len as i64),
                    _ => SeekFrom::Current(place as i64 - now as i64),
                };
                assert_eq!(file.seek(to).await.unwrap(), place as u64);
                let n = n.min(len - place);
                let mut got = vec![0; n];
                file.read_exact(&mut got).await.unwrap();
                assert!(got == plain[place..place + n]);
                now = place + n;
            }
            file.seek(SeekFrom::End(0)).await.unwrap();
            assert_eq!(file.read(&mut [0; 9]).await.unwrap(), 0);
        });
    }
}

#[test]
fn a_cut_file_shows_only_authentic_bytes_and_then_an_error() {
    let plain = pattern(2 * CHUNK);
    let sealed = seal(&plain);
    let cut = &sealed[..sealed.len() - 16];
    block_on(async {
        let (at, opening) = opening(cut);
        let mut reader = opening.tokio_reader(&cut[at..]);
        let mut got = Vec::new();
        let error = reader.read_to_end(&mut got).await.unwrap_err();
        assert_eq!(Error::in_io(&error).unwrap().kind(), ErrorKind::Authentication);
        assert!(got == plain);
        assert!(reader.read(&mut [0; 1]).await.is_err(), "the error stays");
        assert!(opening.tokio_seekable(Cursor::new(cut)).await.is_err());
        let mut writer = opening.tokio_writer(Vec::new());
        writer.write_all(&cut[at..]).await.unwrap();
        assert!(writer.shutdown().await.is_err() && writer.shutdown().await.is_err());
    });
}

/// What is polled once and dropped loses no byte and doubles none: every future here is
/// given up at its first wait, again and again.
#[test]
fn futures_that_are_dropped_while_they_wait_lose_nothing() {
    /// Polls once; None where it would wait.
    async fn once<F: Future>(future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
    let plain = pattern(3 * CHUNK + 77);
    block_on(async {
        let sealing = SCOPE.sealer(Aad::from("aad")).await.unwrap();
        let mut writer = sealing.tokio_writer(trickle(Vec::new(), 1000));
        let (mut at, mut waited) = (0, 0);
        while at < plain.len() {
            match once(writer.write(&plain[at..plain.len().min(at + 5000)])).await {
                Some(n) => at += n.unwrap(),
                None => waited += 1,
            }
        }
        assert!(waited > 10, "{waited}");
        while once(writer.flush()).await.is_none() {}
        while once(writer.shutdown()).await.is_none() {}
        let sealed = writer.finish().await.unwrap().inner;
        assert!(open_by_read(&SCOPE, "aad", &sealed).unwrap() == plain);

        let (at, opening) = opening(&sealed);
        let (mut reader, mut got, mut buf) =
            (opening.tokio_reader(trickle(&sealed[at..], 1000)), vec![], [0; 777]);
        loop {
            match once(reader.read(&mut buf)).await {
                Some(Ok(0)) => break,
                Some(n) => got.extend_from_slice(&buf[..n.unwrap()]),
                None => {}
            }
        }
        assert!(got == plain);

        // A read of one chunk that is given up for another one.
        let mut file = opening.tokio_seekable(trickle(Cursor::new(&sealed), 1000)).await.unwrap();
        for (i, place) in [2 * CHUNK, 0, CHUNK + 5, 9, 3 * CHUNK].into_iter().enumerate() {
            file.seek(SeekFrom::Start(place as u64)).await.unwrap();
            for _ in 0..i {
                assert!(once(file.read(&mut buf)).await.is_none());
            }
            file.seek(SeekFrom::Start(place as u64 + 1)).await.unwrap();
            file.read_exact(&mut buf[..50]).await.unwrap();
            assert!(buf[..50] == plain[place + 1..][..50]);
        }
    });
}

/// An inner writer that takes nothing holds everything back: no buffer grows.
#[test]
fn a_writer_that_is_not_taken_from_takes_no_more() {
    block_on(async {
        let (theirs, mut ours) = tokio::io::duplex(16);
        let sealing = SCOPE.sealer(Aad::from("aad")).await.unwrap();
        let mut writer = sealing.tokio_writer(theirs);
        let (plain, mut taken) = (vec![7; 1 << 20], 0);
        poll_fn(|cx| {
            while let Poll::Ready(n) = Pin::new(&mut writer).poll_write(cx, &plain[taken..]) {
                taken += n.unwrap();
            }
            Poll::Ready(())
        })
        .await;
        assert!((1..200_000).contains(&taken), "{taken}");
        // And goes on when somebody reads.
        let (sealed, wrote) = (
            tokio::spawn(async move {
                let mut sealed = Vec::new();
                ours.read_to_end(&mut sealed).await.unwrap();
                sealed
            }),
            async {
                writer.write_all(&plain[taken..]).await.unwrap();
                writer.shutdown().await.unwrap();
                drop(writer);
            },
        );
        wrote.await;
        assert!(open_by_read(&SCOPE, "aad", &sealed.await.unwrap()).unwrap() == plain);
    });
}

#[test]
fn a_failing_writer_ends_the_stream() {
    struct Full(usize);
    impl AsyncWrite for Full {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let left = self.0.checked_sub(buf.len()).ok_or_else(|| io::Error::other("full"));
            Poll::Ready(left.map(|left| {
                self.0 = left;
                buf.len()
            }))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    block_on(async {
        let mut writer = SCOPE.sealer(Aad::empty()).await.unwrap().tokio_writer(Full(20_000));
        assert!(writer.write_all(&pattern(100_000)).await.is_err());
        assert!(writer.write_all(b"more").await.is_err());
        assert!(writer.flush().await.is_err() && writer.shutdown().await.is_err());
        assert!(writer.finish().await.is_err());
    });
}

#[test]
fn a_file_of_tokio_is_sealed_and_read_from_anywhere() {
    let folder = Folder::new("tokio-file");
    let plain = pattern(400_000);
    block_on(async {
        let file = tokio::fs::File::create(folder.join("a.kms")).await.unwrap();
        let mut writer = SCOPE.sealer(Aad::from("aad")).await.unwrap().tokio_writer(file);
        tokio::io::copy(&mut &plain[..], &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
        let sealed = tokio::fs::read(folder.join("a.kms")).await.unwrap();
        let (_, opening) = opening(&sealed);
        let file = tokio::fs::File::open(folder.join("a.kms")).await.unwrap();
        let mut file = opening.tokio_seekable(file).await.unwrap();
        let mut got = [0; 1000];
        for place in [350_000, 7, 100_000, CHUNK as u64 - 3] {
            // One read is given up while the file is at work.
            let _ = pin!(file.read(&mut got)).as_mut().poll(&mut Context::from_waker(Waker::noop()));
            file.seek(SeekFrom::Start(place)).await.unwrap();
            file.read_exact(&mut got).await.unwrap();
            assert!(got == plain[place as usize..][..1000]);
        }
    });
}
