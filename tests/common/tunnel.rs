//! A proxy that is asked for tunnels and lets nobody through: who asks for which host, and
//! how a connection to it would have begun.
#![allow(dead_code, reason = "each test file uses its own part")]
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// Listens until its program ends.
pub struct Tunnel {
    pub at: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// What one connection brought.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The first line and the headers.
    pub head: String,
    /// What came when it was told that the tunnel is there.
    pub then: Vec<u8>,
}

impl Tunnel {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let kept = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                thread::spawn(move || look(&stream).map(|seen| kept.lock().unwrap().push(seen)));
            }
        });
        Self { at, seen }
    }

    /// Whoever came since this was asked last.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Seen {
    /// `HOST:PORT`, if it was asked for a tunnel and then spoke TLS to that host alone.
    pub fn host(&self) -> Option<&str> {
        let to = self.head.strip_prefix("CONNECT ")?.split(' ').next()?;
        let host = to.split(':').next()?.as_bytes();
        // A handshake of TLS 1.x; the name of the server stands in it as it is.
        let is_tls = self.then.starts_with(&[22, 3]);
        (is_tls && self.then.windows(host.len()).any(|w| w == host)).then_some(to)
    }
}

fn look(stream: &TcpStream) -> io::Result<Seen> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let (mut reader, mut head) = (BufReader::new(stream), String::new());
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    (&mut &*stream).write_all(b"HTTP/1.1 200 go on\r\n\r\n")?;
    let mut then = vec![0; 4096];
    let n = reader.read(&mut then)?;
    then.truncate(n);
    Ok(Seen { head, then })
}
