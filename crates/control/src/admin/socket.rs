//! Where the admin listener listens: an address, or a unix socket that is its user's alone.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_core::config::{self, AdminBind};
use tokio::io::{AsyncRead, AsyncWrite};

use super::auth::{Keys, TokenError};

/// Why the admin listener cannot be.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is taken or not ours.
    #[error("[admin]: {at} cannot be bound; stop the other process (`ss -ltnpx`) or set another `bind`")]
    Bind {
        /// The address.
        at: AdminBind,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A token cannot be had.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// A bound admin listener with its tokens. Equal to another if it was asked for alike.
#[derive(Clone, Debug)]
pub struct AdminSocket {
    listening: Listening,
    /// As configured: a port of 0 stays 0, so that a reload knows it again.
    asked: AdminBind,
    place: AdminBind,
    pub(super) keys: Arc<Keys>,
}

#[derive(Clone, Debug)]
enum Listening {
    Tcp(Arc<TcpListener>),
    Unix(Arc<UnixPlace>),
}

impl AdminSocket {
    /// Binds the address of `config`, or shares that of `before` if it is the same, and reads its tokens or
    /// makes them.
    ///
    /// # Errors
    /// An address that cannot be bound, or a token file that cannot be read, made or trusted.
    pub fn bind(config: &config::Admin, before: Option<&Self>) -> Result<Self, AdminError> {
        let asked = config.bind.clone();
        let (listening, place) = match before.filter(|before| before.asked == asked) {
            Some(before) => (before.listening.clone(), before.place.clone()),
            None => listen(&asked).map_err(|source| AdminError::Bind { at: asked.clone(), source })?,
        };
        // After binding: a second gateway that may not run leaves no token behind.
        let keys = Arc::new(Keys::read_or_make(config)?);
        Ok(Self { listening, asked, place, keys })
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub fn place(&self) -> &AdminBind {
        &self.place
    }

    /// Makes the listener ready for the runtime around it.
    pub(super) fn open(&self) -> io::Result<Door> {
        match &self.listening {
            Listening::Tcp(listener) => {
                tokio::net::TcpListener::from_std(listener.try_clone()?).map(Door::Tcp)
            }
            Listening::Unix(place) => {
                tokio::net::UnixListener::from_std(place.listener.try_clone()?).map(Door::Unix)
            }
        }
    }
}

impl PartialEq for AdminSocket {
    fn eq(&self, other: &Self) -> bool {
        self.asked == other.asked && self.keys == other.keys
    }
}

fn listen(at: &AdminBind) -> io::Result<(Listening, AdminBind)> {
    match at {
        AdminBind::Tcp(addr) => {
            let listener = TcpListener::bind(addr)?;
            listener.set_nonblocking(true)?;
            let place = AdminBind::Tcp(listener.local_addr()?);
            Ok((Listening::Tcp(Arc::new(listener)), place))
        }
        AdminBind::Unix(path) => Ok((Listening::Unix(Arc::new(UnixPlace::take(path)?)), at.clone())),
    }
}

/// A unix socket at its path; the path is removed with it, unless somebody else's is there by then.
#[derive(Debug)]
pub(super) struct UnixPlace {
    listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
}

impl UnixPlace {
    /// Listens at `path`. What a process that is gone has left there is replaced.
    fn take(path: &Path) -> io::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        if fs::symlink_metadata(path).is_ok_and(|there| !there.file_type().is_socket()) {
            return Err(io::Error::other("another file is there"));
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        // Made where nobody else may look, so that at no moment anybody else may connect.
        let hidden = folder.join(format!(".admin-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&hidden)?;
        let made = Self::make(&hidden.join("s"), path);
        let _left_behind = fs::remove_file(hidden.join("s"));
        let removed = fs::remove_dir(&hidden);
        let place = made?;
        removed?;
        Ok(place)
    }

    fn make(hidden: &Path, path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(hidden)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(hidden, Permissions::from_mode(0o600))?;
        let inode = inode(hidden)?;
        fs::rename(hidden, path)?;
        Ok(Self { listener, path: path.to_owned(), inode })
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Drop for UnixPlace {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|found| found == self.inode) {
            // A path that stays is replaced by the next start.
            let _stays = fs::remove_file(&self.path);
        }
    }
}

/// A listener in its runtime.
pub(super) enum Door {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Door {
    /// Takes the next client. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Stream>, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Box::new(stream), Peer::Tcp(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred()?;
                Ok((Box::new(stream), Peer::Unix { user: peer.uid() }))
            }
        }
    }
}

/// A connection of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl Stream for tokio::net::TcpStream {}
impl Stream for tokio::net::UnixStream {}

/// Who is on the other side.
#[derive(Clone, Copy, Debug)]
pub(super) enum Peer {
    /// Somebody at an address.
    Tcp(SocketAddr),
    /// A process of this machine, of that user.
    Unix {
        /// The user's number.
        user: u32,
    },
}

impl Peer {
    /// Is it on this machine?
    pub(super) fn is_near(self) -> bool {
        match self {
            Self::Tcp(addr) => addr.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => true,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix { user } => write!(f, "unix, user {user}"),
        }
    }
}
