//! Answering on the socket, until it is told to stop.
use super::{
    Plugin, Socket, http,
    listen::{Listening, Own, own_user},
};
use crate::{
    Error, ErrorKind, Result,
    kek::k8s_kms::generated::v2::key_management_service_server::KeyManagementServiceServer, rt::unless,
};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Sleep, sleep, timeout},
};
use tokio_stream::{Stream, StreamExt, wrappers::UnixListenerStream};
use tonic::transport::{Server, server::Connected};

/// At once; one API server has one. Others wait for their turn.
const CONNECTIONS: usize = 64;
/// Calls of one connection at once. Others wait for their turn at the client.
const CALLS: u32 = 1024;
/// Bytes of a request: a ciphertext, and annotations, which may have 32 KiB.
const MOST_REQUEST: usize = 64 * 1024;
/// Bytes of requests of a connection that nobody has read yet.
const WINDOWS: (u32, u32) = (64 * 1024, 1024 * 1024);
/// After a connection that could not be accepted: there may be no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);
/// What HTTP/2 begins with, at its client, has so many bytes; a connection that has not brought them by
/// then is one that others wait for. Less than the grace: a stop waits for it, too.
const PREFACE: usize = 24;
const TIME_FOR_IT: Duration = Duration::from_secs(4);
/// Longer than the API server waits for a call, unless told otherwise.
const GRACE: Duration = Duration::from_secs(5);

/// A plugin that listens. Connections are accepted once [`until`](Self::until) is awaited.
#[must_use = "until() answers"]
pub struct Serving {
    plugin: Plugin,
    listening: Listening,
    http: Option<TcpListener>,
    grace: Duration,
}

impl Plugin {
    /// Listens at `socket`: made here, for its owner alone or with its group, in a directory in which
    /// others cannot replace it. A socket file without a listener is removed first. On tokio.
    ///
    /// # Errors
    /// Misuse if another plugin listens there, or something else is there; Io.
    pub async fn listen(&self, socket: &Socket) -> Result<Serving> {
        let listening = socket.listen().await?;
        Ok(Serving { plugin: self.clone(), listening, http: None, grace: GRACE })
    }
}

impl Serving {
    /// Answers HTTP there, too: `/readyz`, `/livez` and `/metrics`. Nothing secret is in them, and
    /// nobody is asked who it is.
    ///
    /// # Errors
    /// Io if it cannot listen there.
    pub async fn http(mut self, at: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(at).await;
        self.http = Some(listener.map_err(|e| Error::io(format!("cannot listen at {at}"), e))?);
        Ok(self)
    }

    /// Where it answers HTTP, if it does.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// How long calls that are under way may take once it is told to stop: 5 s unless set.
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }

    /// Answers until `stop` is ready, lets calls that are under way come to their end, and removes
    /// the socket's file. Its KEKs are asked for a wrap at once, and then at the interval; if they
    /// do not answer it serves all the same, and its Status says so.
    ///
    /// # Errors
    /// Unavailable if calls were still under way when the time for them was over.
    pub async fn until(self, stop: impl Future<Output = ()>) -> Result<()> {
        let Self { plugin, listening: Listening { listener, file, of_one_user }, http, grace } = self;
        let (told, stopped) = watch::channel(false);
        let background = Background(vec![
            tokio::spawn({
                let plugin = plugin.clone();
                async move { plugin.watch().await }
            }),
            tokio::spawn({
                let plugin = plugin.clone();
                async move {
                    if let Some(listener) = http {
                        http::serve(plugin, listener).await;
                    }
                }
            }),
        ]);
        let mut serving = tokio::spawn(calls(plugin, listener, of_one_user, stopped));
        let ended = unless(stop, &mut serving).await;
        // Whoever looks for the socket from now on finds none, or that of the next plugin.
        drop::<Option<Own>>(file);
        let _ = told.send(true);
        let ended = match ended {
            Some(ended) => Ok(ended),
            None => timeout(grace, serving).await,
        };
        drop(background);
        match ended {
            Ok(Ok(ended)) => ended,
            Ok(Err(_)) => Err(Error::new(ErrorKind::BadReply, "the plugin panicked")),
            Err(_) => {
                let said = format!("calls were still under way {grace:?} after the plugin was told to stop");
                Err(Error::new(ErrorKind::Unavailable, said))
            }
        }
    }
}

/// Ends with what it serves.
struct Background(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn calls(
    plugin: Plugin,
    listener: UnixListener,
    of_one_user: bool,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    let service = KeyManagementServiceServer::new(plugin).max_decoding_message_size(MOST_REQUEST);
    let stop = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let server = Server::builder()
        .max_concurrent_streams(CALLS)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .serve_with_incoming_shutdown(service, connections(listener, of_one_user), stop);
    server.await.map_err(|e| Error::new(ErrorKind::Io, format!("serving: {e}")))
}

/// As many as may be there at once.
fn connections(listener: UnixListener, of_one_user: bool) -> impl Stream<Item = io::Result<Connection>> {
    let (free, own) = (Arc::new(Semaphore::new(CONNECTIONS)), own_user());
    let may_come = move |stream: &UnixStream| {
        !of_one_user || stream.peer_cred().is_ok_and(|peer| [0, own].contains(&peer.uid()))
    };
    let accepted = UnixListenerStream::new(listener).then(move |accepted| {
        let free = free.clone();
        async move {
            let Ok(stream) = accepted else {
                sleep(PAUSE).await;
                return None;
            };
            let turn = free.acquire_owned().await.ok()?;
            let preface = Some((PREFACE, Box::pin(sleep(TIME_FOR_IT))));
            may_come(&stream).then(|| Connection { stream, preface, _turn: turn })
        }
    });
    accepted.filter_map(|connection| connection.map(Ok))
}

struct Connection {
    stream: UnixStream,
    /// How much of it has not come yet, and until when it may.
    preface: Option<(usize, Pin<Box<Sleep>>)>,
    _turn: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, to);
        let Some((left, time)) = &mut self.preface else { return read };
        *left = left.saturating_sub(to.filled().len() - before);
        if *left == 0 {
            self.preface = None;
        } else if read.is_pending() && time.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
