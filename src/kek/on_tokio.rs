//! Backends whose client needs tokio.
use super::{KmsBackend, panicked};
use crate::{
    Dek, EncryptionContext, Error, ErrorKind, KeyId, Result, WrappedDek,
    rt::sync::{Mutex, lock},
    secret::check_fork,
};
use std::{
    fmt,
    future::pending,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
};
use tokio::{
    runtime::{Builder, Handle},
    task::JoinHandle,
};

/// Runs every call of a backend on tokio, whoever polls: clients over reqwest, tonic, the
/// AWS SDK.
///
/// A call that is dropped has its task cancelled. A panic in it is an error of the call.
pub struct OnTokio<B> {
    backend: Arc<B>,
    /// None: the process's own I/O thread.
    handle: Option<Handle>,
}

impl<B: KmsBackend> OnTokio<B> {
    /// On libkms's own I/O thread: one of the process, started by the first call and never
    /// ended. Connections outlive the runtimes of yours, and a thread that waits cannot be
    /// the one that does the I/O. The usual choice.
    pub fn own(backend: B) -> Self {
        Self { backend: Arc::new(backend), handle: None }
    }

    /// On a runtime of yours, with its time and I/O drivers as the backend needs them. Never
    /// a current-thread one whose thread may [`wait`](crate::wait): nobody would do the I/O.
    pub fn on(handle: Handle, backend: B) -> Self {
        Self { backend: Arc::new(backend), handle: Some(handle) }
    }

    async fn run<T, F>(&self, call: impl FnOnce(Arc<B>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let handle = self.handle.clone().map_or_else(io_thread, Ok)?;
        run(&handle, call(self.backend.clone())).await
    }
}

/// Runs `call` on libkms's own I/O thread.
#[allow(dead_code, reason = "of backends that do more than the calls of the trait")]
pub(crate) async fn on_io<T: Send + 'static>(
    call: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    run(&io_thread()?, call).await
}

/// Cancelled with the future that awaits it.
struct Running<T>(JoinHandle<Result<T>>);

async fn run<T: Send + 'static>(
    handle: &Handle,
    call: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    // A forked child has the handle, and not the thread.
    check_fork()?;
    Running(handle.spawn(call)).await
}

impl<T> Future for Running<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        Pin::new(&mut self.0).poll(cx).map(|joined| match joined {
            Ok(answer) => answer,
            Err(e) if e.is_panic() => Err(panicked()),
            Err(_) => Err(Error::new(
                ErrorKind::Unavailable,
                "the tokio runtime that this backend was given has ended: give it another, or none",
            )),
        })
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The process's one I/O thread. Its runtime is never dropped, and so never in a place
/// where that blocks or panics.
fn io_thread() -> Result<Handle> {
    static THREAD: Mutex<Option<Handle>> = Mutex::new(None);
    // Before the thread starts: a child of this process is to know that it is one.
    check_fork()?;
    let mut thread = lock(&THREAD);
    if let Some(handle) = &*thread {
        return Ok(handle.clone());
    }
    let failed = |e| Error::io("libkms's I/O thread does not start", e);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(pending::<()>());
    thread::Builder::new().name("libkms-io".into()).spawn(run).map_err(failed)?;
    Ok(thread.insert(handle).clone())
}

#[async_trait::async_trait]
impl<B: KmsBackend> KmsBackend for OnTokio<B> {
    fn scheme(&self) -> &str {
        self.backend.scheme()
    }

    fn accepts(&self, key_id: &KeyId) -> bool {
        self.backend.accepts(key_id)
    }

    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        let (dek, context) = (dek.share(), context.clone());
        self.run(|b| async move { b.wrap_dek(&dek, &context).await }).await
    }

    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        let (wrapped, context) = (wrapped.clone(), context.clone());
        self.run(|b| async move { b.unwrap_dek(&wrapped, &context).await }).await
    }

    async fn generate_dek(&self, context: &EncryptionContext) -> Result<(Dek, WrappedDek)> {
        let context = context.clone();
        self.run(|b| async move { b.generate_dek(&context).await }).await
    }

    async fn current_key(&self) -> Result<Option<KeyId>> {
        self.run(|b| async move { b.current_key().await }).await
    }

    fn name(&self) -> String {
        self.backend.name()
    }

    fn place(&self, key_id: &KeyId) -> usize {
        self.backend.place(key_id)
    }

    fn calls_per_second(&self) -> Option<u32> {
        self.backend.calls_per_second()
    }
}

impl<B> fmt::Debug for OnTokio<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = if self.handle.is_some() { "a runtime of yours" } else { "its own thread" };
        write!(f, "OnTokio({on})")
    }
}
