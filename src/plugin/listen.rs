//! The socket that the API server connects to.
use crate::{Error, Result, kek::k8s_kms::Endpoint};
use std::{
    fmt,
    fs::{self, TryLockError},
    io::{self, ErrorKind as Io},
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{
    net::{UnixListener, UnixSocket, UnixStream},
    time::sleep,
};

/// Connections that wait for their turn.
const BACKLOG: u32 = 1024;
/// For another plugin that starts in the same directory, from a look to the next one.
const LONGEST_START: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);

/// Where a plugin listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    place: Endpoint,
    group: Option<u32>,
}

impl Socket {
    /// From an endpoint as the API server's configuration has it: `unix:///PATH`, or `unix:///@NAME`
    /// for a socket without a file, which Linux has. Of a file, the owner alone may connect; of the
    /// other kind, processes of the same user and of root, whom the plugin looks at.
    ///
    /// # Errors
    /// Misuse if it is none, or longer than the 107 bytes that a socket's name may have.
    pub fn parse(endpoint: &str) -> Result<Self> {
        Ok(Self { place: Endpoint::parse(endpoint)?, group: None })
    }

    /// Lets this group connect, too: by its number.
    #[must_use]
    pub fn group(mut self, id: u32) -> Self {
        self.group = Some(id);
        self
    }

    /// Listens there: what a plugin left that is gone is removed first, and nothing else.
    pub(super) async fn listen(&self) -> Result<Listening> {
        let failed = |e: io::Error| Error::io(format!("cannot listen at {self}"), e);
        match self.place.file() {
            None => {
                let listener = UnixListener::bind(self.place.address()).map_err(|e| match e.kind() {
                    Io::AddrInUse => taken(self),
                    _ => failed(e),
                })?;
                Ok(Listening { listener, file: None, of_one_user: true })
            }
            Some(path) => {
                let directory = path.parent().unwrap_or(Path::new("/"));
                check_directory(directory)?;
                let locked = lock(directory).await;
                let _locked =
                    locked.map_err(|e| Error::io(format!("cannot lock {}", directory.display()), e))?;
                make_way(self, path).await?;
                let socket = UnixSocket::new_stream().map_err(failed)?;
                socket.bind(path).map_err(failed)?;
                // Nobody connects before it listens.
                let made = self.restrict(path).and_then(|()| socket.listen(BACKLOG)).map_err(failed);
                let file = made.and_then(|listener| Ok((listener, Own::of(path).map_err(failed)?)));
                let (listener, file) = file.inspect_err(|_| drop(fs::remove_file(path)))?;
                Ok(Listening { listener, file: Some(file), of_one_user: false })
            }
        }
    }

    fn restrict(&self, path: &Path) -> io::Result<()> {
        if let Some(group) = self.group {
            chown(path, None, Some(group))?;
        }
        let mode = if self.group.is_some() { 0o660 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }
}

/// Until it listens: of two that start at once, one removes what the other has made. Whoever may read
/// the directory can hold its lock as well, so nobody is waited for longer than a start takes.
async fn lock(directory: &Path) -> io::Result<fs::File> {
    let (file, begun) = (fs::File::open(directory)?, Instant::now());
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < LONGEST_START => sleep(PAUSE).await,
            Ok(()) | Err(TryLockError::WouldBlock) => return Ok(file),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

/// Whoever may write there puts another socket in its place.
fn check_directory(directory: &Path) -> Result<()> {
    let shown = directory.display();
    let found =
        fs::metadata(directory).map_err(|e| Error::io(format!("the socket's directory {shown}"), e))?;
    let (mode, owner) = (found.mode(), found.uid());
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(Error::misuse(format!(
            "{shown}: others may put a socket of theirs there: chmod go-w {shown}, or name another directory"
        )));
    }
    if owner != 0 && owner != own_user() {
        return Err(Error::misuse(format!("{shown}: belongs to another user, who may put a socket there")));
    }
    Ok(())
}

/// Who this process is to the system.
pub(super) fn own_user() -> u32 {
    let own = UnixStream::pair().and_then(|(one, _other)| one.peer_cred());
    own.map_or(u32::MAX, |own| own.uid())
}

async fn make_way(socket: &Socket, path: &Path) -> Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == Io::NotFound => return Ok(()),
        found => found.map_err(|e| Error::io(path.display(), e))?,
    };
    if !found.file_type().is_socket() {
        return Err(Error::misuse(format!("{}: is there, and is no socket: it stays", path.display())));
    }
    match UnixStream::connect(path).await {
        Err(e) if e.kind() == Io::ConnectionRefused => {
            fs::remove_file(path).map_err(|e| Error::io(path.display(), e))
        }
        Err(e) if e.kind() == Io::NotFound => Ok(()),
        Err(e) if e.kind() != Io::WouldBlock => {
            Err(Error::io(format!("{}: is it in use?", path.display()), e))
        }
        _ => Err(taken(socket)),
    }
}

fn taken(socket: &Socket) -> Error {
    Error::misuse(format!("{socket}: some plugin listens there already"))
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

pub(super) struct Listening {
    pub(super) listener: UnixListener,
    pub(super) file: Option<Own>,
    /// Nothing but the plugin looks who connects.
    pub(super) of_one_user: bool,
}

/// A socket's file, removed when this is dropped, if it is still the same.
pub(super) struct Own {
    path: PathBuf,
    id: (u64, u64),
}

impl Own {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into(), id: id(path)? })
    }
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Drop for Own {
    fn drop(&mut self) {
        if id(&self.path).is_ok_and(|id| id == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
