//! Streams as ordinary async code: `read`, `write_all`, `flush`, `shutdown`; and with feature `tokio` the plain
//! `AsyncRead` and `AsyncWrite` traits that hyper, rustls and others build on. No runtime comes with them.

use crate::{Buf, Error, ErrorKind, Stream};
use std::future::poll_fn;

impl Stream {
    /// Reads what is there, or waits for it; 0: end of stream.
    ///
    /// # Errors
    /// What the stream says.
    pub async fn read(&mut self, to: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.poll_read(cx, to)).await
    }

    /// Reads into the spare room of a buffer; 0: end of stream, or no room.
    ///
    /// # Errors
    /// What the stream says.
    pub async fn read_buf(&mut self, to: &mut Buf) -> Result<usize, Error> {
        poll_fn(|cx| self.poll_read_buf(cx, to)).await
    }

    /// Fills `to`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the stream ends before.
    pub async fn read_exact(&mut self, mut to: &mut [u8]) -> Result<(), Error> {
        while !to.is_empty() {
            match self.read(to).await? {
                0 => return Err(Error::bare(ErrorKind::UnexpectedEof)),
                n => to = &mut to[n..],
            }
        }
        Ok(())
    }

    /// Writes all of `from`; accepted, not yet sent: see `flush`.
    ///
    /// # Errors
    /// What the stream says.
    pub async fn write_all(&mut self, mut from: &[u8]) -> Result<(), Error> {
        while !from.is_empty() {
            match poll_fn(|cx| self.poll_write(cx, from)).await? {
                0 => return Err(Error::bare(ErrorKind::BrokenPipe)),
                n => from = &from[n..],
            }
        }
        Ok(())
    }

    /// Hands all that was accepted to the system.
    ///
    /// # Errors
    /// What the stream says, also of earlier writes.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Ends the write side behind what was accepted.
    ///
    /// # Errors
    /// What the stream says.
    pub async fn shutdown(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_shutdown(cx)).await
    }
}

#[cfg(feature = "tokio")]
mod tokio_traits {
    use crate::{IoVec, Stream};
    use std::{
        io,
        pin::Pin,
        task::{Context, Poll},
    };
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    impl AsyncRead for Stream {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let n = Self::poll_read(&mut self, cx, to.initialize_unfilled());
            n.map_ok(|n| to.advance(n)).map_err(Into::into)
        }
    }

    impl AsyncWrite for Stream {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
            Self::poll_write(&mut self, cx, from).map_err(Into::into)
        }
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Self::poll_flush(&mut self, cx).map_err(Into::into)
        }
        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Self::poll_shutdown(&mut self, cx).map_err(Into::into)
        }
        fn is_write_vectored(&self) -> bool {
            true
        }
        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            from: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut pieces = [IoVec::new(&[]); 64];
            let n = from.len().min(pieces.len());
            for (to, from) in pieces.iter_mut().zip(from) {
                *to = IoVec::new(from);
            }
            self.poll_writev(cx, &pieces[..n]).map_err(Into::into)
        }
    }
}
