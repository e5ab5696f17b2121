//! `/readyz`, `/livez` and `/metrics`.
use super::Plugin;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

/// At once. Others wait for their turn.
const CONNECTIONS: usize = 64;
/// For the head of a request, and for one connection in all. A kubelet's probe waits for a second: who
/// sends nothing must not make it wait for his turn.
const TIME: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// After a connection that could not be accepted: there may be no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn serve(plugin: Plugin, listener: TcpListener) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(turn) = free.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let plugin = plugin.clone();
        tokio::spawn(async move {
            let _turn = turn;
            let service = service_fn(|request| {
                let response = answer(&plugin, &request);
                async { Ok::<_, Infallible>(response) }
            });
            let mut http = http1::Builder::new();
            let http = http.timer(TokioTimer::new()).header_read_timeout(TIME.0).max_buf_size(16 * 1024);
            let _ = timeout(TIME.1, http.serve_connection(TokioIo::new(stream), service)).await;
        });
    }
}

fn answer(plugin: &Plugin, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET\n".into());
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n".into()),
        "/readyz" => match plugin.health().reason() {
            None => text(StatusCode::OK, "ok\n".into()),
            Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        },
        "/metrics" => {
            let inner = &plugin.0;
            text(StatusCode::OK, inner.numbers.text(&inner.state.current(), &inner.of_kms))
        }
        _ => text(StatusCode::NOT_FOUND, "/readyz, /livez, /metrics\n".into()),
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
