//! What passes between the two processes: lines of text, with descriptors as ancillary data.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};
use tokio::net::UnixStream;

/// Sockets in one message: the system takes 253 at most.
const BATCH: usize = 128;

pub(super) async fn receive(stream: &UnixStream) -> io::Result<(String, Vec<OwnedFd>)> {
    let mut text = Vec::new();
    let mut descriptors = Vec::new();
    loop {
        stream.readable().await?;
        let mut bytes = vec![0; 64 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let read = stream.try_io(tokio::io::Interest::READABLE, || {
            let bytes = &mut [IoSliceMut::new(&mut bytes)];
            let r = rustix::net::recvmsg(stream.as_fd(), bytes, &mut control, system::RECEIVE)?;
            Ok(r.bytes)
        });
        let n = match read {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        };
        for message in control.drain() {
            if let rustix::net::RecvAncillaryMessage::ScmRights(fds) = message {
                descriptors.extend(fds.inspect(system::keep_from_children));
            }
        }
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        text.extend_from_slice(&bytes[..n]);
        if text.last() == Some(&b'\n') {
            let text = String::from_utf8(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            // The document is the last line; batches of descriptors come with lines of their own before it.
            let last = text.lines().last().unwrap_or_default();
            if last != "+" {
                return Ok((last.to_owned(), descriptors));
            }
            return Box::pin(async {
                let (line, more) = receive(stream).await?;
                descriptors.extend(more);
                Ok((line, descriptors))
            })
            .await;
        }
    }
}

pub(super) async fn send(stream: &UnixStream, document: &str, sockets: &[socket2::Socket]) -> io::Result<()> {
    let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
    for batch in fds.chunks(BATCH) {
        loop {
            stream.writable().await?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
            control.push(rustix::net::SendAncillaryMessage::ScmRights(batch));
            let sent = stream.try_io(tokio::io::Interest::WRITABLE, || {
                Ok(rustix::net::sendmsg(stream.as_fd(), &[IoSlice::new(b"+\n")], &mut control, system::SEND)?)
            });
            match sent {
                Ok(_) => break,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }
    let mut rest = document.as_bytes().to_vec();
    rest.push(b'\n');
    let mut rest = rest.as_slice();
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(n) => rest = &rest[n..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        // Writing to a `String` does not fail.
        let _ = write!(s, "{b:02x}");
        s
    })
}

pub(super) fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.filter_map(|p| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok()).collect()
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::net::{RecvFlags, SendFlags};
    use std::os::fd::OwnedFd;

    pub(super) const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
    pub(super) const SEND: SendFlags = SendFlags::NOSIGNAL;

    /// They come so.
    pub(super) fn keep_from_children(_: &OwnedFd) {}
}

#[cfg(not(target_os = "linux"))]
mod system {
    use rustix::net::{RecvFlags, SendFlags};
    use std::os::fd::OwnedFd;

    pub(super) const RECEIVE: RecvFlags = RecvFlags::empty();
    /// The standard library has SIGPIPE ignored.
    pub(super) const SEND: SendFlags = SendFlags::empty();

    pub(super) fn keep_from_children(fd: &OwnedFd) {
        // A descriptor that was just received takes the flag.
        let _ = rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC);
    }
}
