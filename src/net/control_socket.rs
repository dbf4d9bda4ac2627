//! The control socket: a Unix socket, at which the kernel says which user a client is. It is for `voyandz ctl` on the same machine, and
//! needs no password.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
        net::UnixStream as BlockingStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::net::{UnixListener, UnixStream};

/// Where systems keep the sockets of services.
const OF_SYSTEM: &str = "/run/voyandz";
/// Mode of the socket: also others than root and the server's user may connect, and get to know why they may do nothing.
const MODE: u32 = 0o660;
/// Mode of a folder that is made for it.
const FOLDER: u32 = 0o755;
/// Pause after the system had no descriptor for a connection.
const EXHAUSTED: Duration = Duration::from_millis(500);

/// A control socket that is bound; its file is removed when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds a socket at this path, where a file of a server may be that was killed. Blocking.
    ///
    /// # Errors
    /// When another server uses it, or the folder cannot be used.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(FOLDER).create(folder)?;
        }
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_abandoned(path) => {
                fs::remove_file(path)?;
                UnixListener::bind(path)
            }
            bound => bound,
        }?;
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection, and the number of the user that made it. Cancel-safe.
    pub async fn accept(&self) -> (UnixStream, u32) {
        loop {
            match self.listener.accept().await {
                Ok((socket, _)) => match socket.peer_cred() {
                    Ok(credentials) => return (socket, credentials.uid()),
                    // It has left.
                    Err(_) => continue,
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections on the control socket");
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the control socket of a server with this port is, unless its configuration says otherwise: in the folder of the service
/// manager, or of the session of the user; for root also where systems keep them.
pub fn usual_place(port: u16) -> Option<PathBuf> {
    let of_service = std::env::var_os("RUNTIME_DIRECTORY");
    // Several are separated by colons.
    let of_service = of_service.and_then(|folders| std::env::split_paths(&folders).next());
    let of_system = || rustix::process::geteuid().is_root().then(|| PathBuf::from(OF_SYSTEM));
    let folder = of_service.or_else(of_session).filter(|folder| folder.is_absolute()).or_else(of_system)?;
    Some(folder.join(name(port)))
}

/// Where it may be found by others on the machine: the most likely place first.
pub fn places(port: u16) -> impl Iterator<Item = PathBuf> {
    let folders = of_session().into_iter().chain([PathBuf::from(OF_SYSTEM)]);
    folders.filter(|folder| folder.is_absolute()).map(move |folder| folder.join(name(port)))
}

fn of_session() -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?).join("voyandz"))
}

fn name(port: u16) -> String {
    format!("control-{port}.sock")
}

/// Whether a file is the socket of a server that is gone.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket && BlockingStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_an_abandoned_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("control.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(ControlSocket::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        let client = UnixStream::connect(&path).await.unwrap();
        assert_eq!(socket.accept().await.1, rustix::process::geteuid().as_raw());
        drop((client, socket));
        assert!(!path.exists());
        // What a killed server leaves.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(ControlSocket::bind(&path).unwrap());
        // Never a file of others.
        fs::write(&path, "x").unwrap();
        assert!(ControlSocket::bind(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }
}
