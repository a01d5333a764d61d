//! What the control socket is on this system: a Unix socket of mode 0600, on Windows a named pipe of the user. Knows nothing
//! of what is said on it.

use std::{io, path::Path};

pub use system::{Listener, Stream, connect, may_replace};

#[cfg(unix)]
mod system {
    use super::{Path, io};
    use std::os::unix::fs::FileTypeExt;

    /// A client's connection.
    pub type Stream = tokio::net::UnixStream;

    /// Takes clients.
    #[derive(Debug)]
    pub struct Listener(tokio::net::UnixListener);

    impl Listener {
        /// Makes the socket; one that is there is replaced.
        ///
        /// # Errors
        /// When the path cannot be used.
        pub fn bind(path: &Path) -> io::Result<Self> {
            if may_replace(path)? {
                std::fs::remove_file(path)?;
            }
            // Made under a mask that leaves it to its owner from the first moment on.
            crate::privileges::with_umask(0o177, || tokio::net::UnixListener::bind(path)).map(Self)
        }

        /// The next client.
        ///
        /// # Errors
        /// What the system says.
        pub async fn accept(&mut self) -> io::Result<Stream> {
            Ok(self.0.accept().await?.0)
        }
    }

    /// Whether a socket is there.
    ///
    /// # Errors
    /// When something else is, which nobody wants to lose, or the path is too long for a socket.
    pub fn may_replace(path: &Path) -> io::Result<bool> {
        std::os::unix::net::SocketAddr::from_pathname(path)?;
        match std::fs::metadata(path) {
            Ok(there) if there.file_type().is_socket() => Ok(true),
            Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "what is there is not a socket")),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// A client's end, which blocks.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn connect(path: &Path) -> io::Result<std::os::unix::net::UnixStream> {
        std::os::unix::net::UnixStream::connect(path)
    }
}

#[cfg(windows)]
mod system {
    use super::{Path, io};
    use std::{
        ffi::OsString,
        hash::{DefaultHasher, Hash, Hasher},
    };
    use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};

    /// A client's connection.
    pub type Stream = NamedPipeServer;

    /// Takes clients. The system's default access list lets others read at most, and a command must be written.
    #[derive(Debug)]
    pub struct Listener {
        name: OsString,
        next: NamedPipeServer,
    }

    impl Listener {
        /// Makes the pipe.
        ///
        /// # Errors
        /// When another process has the name.
        pub fn bind(path: &Path) -> io::Result<Self> {
            let name = name(path)?;
            let next = ServerOptions::new().first_pipe_instance(true).create(&name)?;
            Ok(Self { name, next })
        }

        /// The next client.
        ///
        /// # Errors
        /// What the system says.
        pub async fn accept(&mut self) -> io::Result<Stream> {
            self.next.connect().await?;
            let next = ServerOptions::new().create(&self.name)?;
            Ok(std::mem::replace(&mut self.next, next))
        }
    }

    /// A client's end, which blocks.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn connect(path: &Path) -> io::Result<std::fs::File> {
        std::fs::OpenOptions::new().read(true).write(true).open(name(path)?)
    }

    /// A pipe is nowhere, and is free when nobody has it.
    ///
    /// # Errors
    /// Never.
    pub fn may_replace(_: &Path) -> io::Result<bool> {
        Ok(true)
    }

    /// Pipes have a directory of their own, whose names do not hold paths.
    fn name(path: &Path) -> io::Result<OsString> {
        let mut hasher = DefaultHasher::new();
        std::path::absolute(path)?.hash(&mut hasher);
        Ok(format!(r"\\.\pipe\anyproxy-{:016x}", hasher.finish()).into())
    }
}
