//! The listening sockets of the process, which outlive generations: one listener's, and the file by which clients find a Unix
//! one.

use super::{listener::Listener, prepare};
use crate::services::{net, socket_file::SocketFile};
use socket2::Socket;
use std::{collections::HashMap, path::Path};

/// Listening sockets of the process, by the listener's key.
pub type Sockets = HashMap<u64, Bound>;

/// The sockets of one listener.
#[derive(Debug)]
pub struct Bound {
    /// For messages and status.
    pub label: String,
    /// One a worker, or one for all.
    pub sockets: Vec<Socket>,
    /// The address with the port that the system chose.
    pub address: String,
    /// Of a Unix socket.
    file: Option<SocketFile>,
    /// How many were here before them.
    before: u64,
    /// Why its file, which is lost, cannot be made again, and that this was said.
    lost: bool,
}

impl Bound {
    /// What is bound at `address`, a text.
    pub fn new(label: String, address: String, sockets: Vec<Socket>) -> Self {
        let file = address.strip_prefix("unix:").map(|path| SocketFile::of(Path::new(path)));
        Self { label, sockets, address, file, before: 0, lost: false }
    }

    /// A number for the `n`th socket, which no other one of the listener has, before or after.
    pub const fn number(&self, n: usize) -> u64 {
        self.before + n as u64
    }

    /// Makes a Unix socket again whose file was removed, or is that of a socket on which nobody listens: nobody finds the one
    /// that is here any more. What waits in its queue is served by whoever accepts from it still. Whether there is a new one.
    ///
    /// # Errors
    /// Why it cannot be made, in words.
    pub fn find_again(&mut self, listener: &Listener) -> Result<bool, String> {
        let Some(file) = self.file.as_ref().filter(|file| file.is_lost()) else {
            self.lost = false;
            return Ok(false);
        };
        match net::bind_listener(&listener.address, &listener.options) {
            Ok(socket) => {
                tracing::warn!(listener = self.label, "the socket's file was lost, and is made again");
                self.file = Some(SocketFile::of(file.path()));
                self.before += self.sockets.len() as u64;
                self.sockets = vec![socket];
                self.lost = false;
                Ok(true)
            }
            Err(e) => {
                let why = prepare::explain(&e, &listener.address, false);
                let said = format!("{}: the socket's file is lost, and cannot be made again: {why}", self.label);
                if !std::mem::replace(&mut self.lost, true) {
                    tracing::error!("{said}");
                }
                Err(said)
            }
        }
    }

    /// Where the file of a Unix socket is.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(SocketFile::path)
    }

    /// Sets who may connect to a Unix socket.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_mode(&self, unix_mode: u16) -> std::io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| crate::services::socket_file::set_mode(file.path(), unix_mode))
    }

    /// Closes them here for good: the file of a Unix socket goes too.
    pub fn give_up(self) {
        if let Some(Err(e)) = self.file.map(|file| file.remove()) {
            tracing::warn!(listener = self.label, "the socket's file stays: {e}");
        }
    }
}
