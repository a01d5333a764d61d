//! No io_uring on this platform: readiness is waited for. None of these can be made.
#![allow(missing_docs, reason = "they are those of the ring")]

use super::slots::Seen;
use std::{
    convert::Infallible,
    io::{ErrorKind, IoSlice, Result},
    task::{Context, Poll},
    time::Duration,
};

#[cfg(unix)]
type Owned = std::os::fd::OwnedFd;
#[cfg(unix)]
type Borrowed<'a> = std::os::fd::BorrowedFd<'a>;
#[cfg(windows)]
type Owned = std::os::windows::io::OwnedSocket;
#[cfg(windows)]
type Borrowed<'a> = std::os::windows::io::BorrowedSocket<'a>;
type SockRef<'a> = socket2::SockRef<'a>;

/// No connection waits for room once it is over.
pub fn lingering() -> u32 {
    0
}

pub(super) struct Ring(Infallible);

impl Ring {
    pub(super) fn new(_: &mio::Poll) -> Result<Self> {
        Err(ErrorKind::Unsupported.into())
    }
    pub(super) fn wait(&self, _: Option<Duration>) -> Result<()> {
        match self.0 {}
    }
    pub(super) fn lingers(&self) -> bool {
        match self.0 {}
    }
    pub(super) fn dispatch(&self) -> bool {
        match self.0 {}
    }
}

#[derive(Debug)]
pub struct Ringed(Infallible);

impl Ringed {
    pub fn new(socket: Owned, _fresh: bool, _connecting: bool) -> std::result::Result<Self, Owned> {
        Err(socket)
    }
    #[cfg(unix)]
    pub fn lent(_: &impl std::os::fd::AsRawFd) -> Option<Self> {
        None
    }
    pub fn seen(&self) -> Seen {
        match self.0 {}
    }
    pub fn direct(&self) -> Option<Borrowed<'_>> {
        match self.0 {}
    }
    pub fn clear(&self, _: u8) {
        match self.0 {}
    }
    pub fn take_now(self) -> std::result::Result<(Owned, Vec<u8>, Vec<u8>), Self> {
        match self.0 {}
    }
    pub fn poll_ready(&self, _: &Context<'_>, _: u8) -> Poll<()> {
        match self.0 {}
    }
    pub fn rest(&self) {
        match self.0 {}
    }
    pub fn watch(&self, _: &Context<'_>) {
        match self.0 {}
    }
    pub fn poll_read(&self, _: &Context<'_>, _: &mut [u8]) -> Poll<Result<usize>> {
        match self.0 {}
    }
    pub fn poll_write(&self, _: &Context<'_>, _: &[u8], _more: bool) -> Poll<Result<usize>> {
        match self.0 {}
    }
    pub fn poll_writev(&self, _: &Context<'_>, _: &[IoSlice<'_>], _len: usize) -> Poll<Result<usize>> {
        match self.0 {}
    }
    pub fn poll_direct(
        &self,
        _: &Context<'_>,
        _: Option<usize>,
        _: impl FnMut(&SockRef<'_>) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        match self.0 {}
    }
    pub fn poll_flush(&self, _: &Context<'_>) -> Poll<Result<()>> {
        match self.0 {}
    }
    pub fn shutdown(&self) -> Result<()> {
        match self.0 {}
    }
    pub fn set_reset(&self) {
        match self.0 {}
    }
    pub fn with_socket<R>(&self, _: impl FnOnce(&SockRef<'_>) -> Result<R>) -> Result<R> {
        match self.0 {}
    }
}
