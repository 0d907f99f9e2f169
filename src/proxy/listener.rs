//! Where the proxy listens: a port on loopback, or a Unix socket for its owner alone.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use crate::model::quoted;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

use crate::loopback::Accept;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// On loopback; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A socket that is made for its owner alone.
    Unix(PathBuf),
}

/// A text is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Neither form.
    #[error("it is neither an address with a port, such as 127.0.0.1:8080, nor unix:PATH")]
    NoAddress,
    /// Others could reach it.
    #[error("it is not on loopback: whoever reaches the proxy could try its token")]
    NotLoopback,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let address: SocketAddr = text.parse().map_err(|_| AddressError::NoAddress)?;
        if address.ip().is_loopback() {
            Ok(Self::Tcp(address))
        } else {
            Err(AddressError::NotLoopback)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", quoted::path(path)),
        }
    }
}

/// An address that is taken.
pub struct Listener(Socket);

enum Socket {
    Tcp(TcpListener, SocketAddr),
    #[cfg(unix)]
    Unix(UnixListener, PathBuf),
}

/// Either kind of connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Listener {
    /// Takes the address. A socket that a proxy left behind, with nobody listening, is taken over.
    ///
    /// # Errors
    /// When it is taken, or may not be had.
    pub async fn bind(address: &Address) -> Result<Self, super::ProxyError> {
        let fail = |source| super::ProxyError::Listen {
            address: address.clone(),
            source,
        };
        match address {
            Address::Tcp(wanted) => {
                let listener = TcpListener::bind(wanted).await.map_err(fail)?;
                let address = listener.local_addr().map_err(fail)?;
                Ok(Self(Socket::Tcp(listener, address)))
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                if crate::sys::files::exists(path) && tokio::net::UnixStream::connect(path).await.is_err() {
                    remove_socket(path).map_err(fail)?;
                }
                // Made 0600 rather than changed to it: there is no instant at which others could connect.
                let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
                let listener = UnixListener::bind(path);
                rustix::process::umask(before);
                Ok(Self(Socket::Unix(listener.map_err(fail)?, path.clone())))
            }
            #[cfg(not(unix))]
            Address::Unix(_) => Err(fail(io::ErrorKind::Unsupported.into())),
        }
    }

    pub(super) fn socket_address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Socket::Tcp(_, address) => Some(*address),
            #[cfg(unix)]
            Socket::Unix(..) => None,
        }
    }

    pub(super) fn url(&self) -> String {
        match &self.0 {
            Socket::Tcp(_, address) => format!("http://{address}"),
            #[cfg(unix)]
            Socket::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }
}

impl Accept for Listener {
    type Stream = Box<dyn Stream>;

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match &self.0 {
            Socket::Tcp(listener, _) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            #[cfg(unix)]
            Socket::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Socket::Unix(_, path) = &self.0 {
            // What is left behind is taken over by the next run.
            let _ = remove_socket(path);
        }
    }
}

/// Removes a socket, and nothing that is none.
#[cfg(unix)]
fn remove_socket(path: &std::path::Path) -> io::Result<()> {
    let is_socket = rustix::fs::stat(path)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Socket);
    if is_socket {
        rustix::fs::unlink(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_sockets_are_addresses() {
        for good in [
            "127.0.0.1:0",
            "127.9.9.9:80",
            "[::1]:8080",
            "unix:/run/x.sock",
            "unix:x",
        ] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for (bad, error) in [
            ("0.0.0.0:80", AddressError::NotLoopback),
            ("192.168.1.2:80", AddressError::NotLoopback),
            ("[::]:80", AddressError::NotLoopback),
            ("localhost:80", AddressError::NoAddress),
            ("8080", AddressError::NoAddress),
            ("unix:", AddressError::NoAddress),
        ] {
            assert_eq!(bad.parse::<Address>(), Err(error), "{bad}");
        }
    }
}
