//! Field sections on their way out.

use super::connection::Connection;
use super::frame::{self, END_HEADERS, END_STREAM, HEAD};
use super::hpack::BadField;

/// Writes one field section: first the pseudo headers of a request or a response, which trailers have not, then the
/// fields, then [`HeaderWriter::finish`]. Dropped before that, it has written nothing.
///
/// Fields that are specific to a connection (RFC 9113 section 8.2.2) are the caller's to leave out.
#[derive(Debug)]
pub struct HeaderWriter<'a> {
    connection: &'a mut Connection,
    out: &'a mut Vec<u8>,
    slot: usize,
    /// Where the frame begins in the output.
    start: usize,
    interim: bool,
    finished: bool,
}

impl<'a> HeaderWriter<'a> {
    #[inline]
    pub(super) fn new(connection: &'a mut Connection, slot: usize, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; HEAD]);
        connection.encoder.begin(out);
        Self { connection, out, slot, start, interim: false, finished: false }
    }

    /// `:status`, from 100 to 999. Below 200 it is an interim response, after which the final one is to come.
    ///
    /// # Errors
    /// [`BadField::Value`] for another number.
    #[inline]
    pub fn status(&mut self, status: u16) -> Result<(), BadField> {
        self.interim = status < 200;
        self.connection.encoder.status(status, self.out)
    }

    /// The pseudo headers of a request (RFC 9113 section 8.3.1). `CONNECT` has neither scheme nor path, unless it has a
    /// protocol (RFC 8441 section 4).
    ///
    /// # Errors
    /// [`BadField::Value`] for a value that is none; then the section cannot be finished well, and is to be dropped.
    pub fn request(
        &mut self,
        method: &[u8],
        scheme: Option<&[u8]>,
        authority: Option<&[u8]>,
        path: Option<&[u8]>,
        protocol: Option<&[u8]>,
    ) -> Result<(), BadField> {
        let encoder = &mut self.connection.encoder;
        encoder.method(method, self.out)?;
        if let Some(scheme) = scheme {
            encoder.scheme(scheme, self.out)?;
        }
        if let Some(authority) = authority {
            encoder.authority(authority, self.out)?;
        }
        if let Some(path) = path {
            encoder.path(path, self.out)?;
        }
        if let Some(protocol) = protocol {
            encoder.protocol(protocol, self.out)?;
        }
        let stream = self.connection.streams.at(self.slot);
        stream.is_head = method == b"HEAD";
        stream.is_connect = method == b"CONNECT";
        Ok(())
    }

    /// A field. The name may be in any case. A sensitive one gets into no table on its way (RFC 7541 section 7.1.3).
    ///
    /// # Errors
    /// [`BadField`], with nothing written, where the peer could not take it.
    #[inline]
    pub fn field(&mut self, name: &[u8], value: &[u8], sensitive: bool) -> Result<(), BadField> {
        self.connection.encoder.field(name, value, sensitive, self.out)
    }

    /// A field whose name is that of an entry of HPACK's static table, by its first index: what [`super::Field::index`]
    /// told of a received one. Saves the search for the name.
    ///
    /// # Errors
    /// [`BadField`], with nothing written, where the index is none, or a pseudo header's, or the peer could not take the
    /// value.
    #[inline]
    pub fn known(&mut self, index: u8, value: &[u8], sensitive: bool) -> Result<(), BadField> {
        self.connection.encoder.known(index, value, sensitive, self.out)
    }

    /// Ends the section, and with `end` the stream.
    #[inline]
    pub fn finish(mut self, end: bool) {
        self.finished = true;
        self.connection.encoder.end(self.out);
        let stream = self.connection.streams.at(self.slot);
        let id = stream.id;
        stream.sent_head |= !self.interim;
        let flags = if end { END_STREAM } else { 0 };
        let length = self.out.len() - self.start - HEAD;
        if length <= self.connection.peer.max_frame as usize {
            let head = frame::encode_head(length, frame::HEADERS, flags | END_HEADERS, id);
            self.out[self.start..self.start + HEAD].copy_from_slice(&head);
        } else {
            self.split(id, flags);
        }
        if end {
            self.connection.end_sent(self.slot);
        }
    }

    /// Puts what is too large for a frame in several.
    #[cold]
    fn split(&mut self, id: u32, flags: u8) {
        let block = self.out.split_off(self.start + HEAD);
        self.out.truncate(self.start);
        let most = self.connection.peer.max_frame as usize;
        let (mut kind, mut flags, mut rest) = (frame::HEADERS, flags, &block[..]);
        loop {
            let (chunk, behind) = rest.split_at(rest.len().min(most));
            let last = if behind.is_empty() { END_HEADERS } else { 0 };
            self.out.extend_from_slice(&frame::encode_head(chunk.len(), kind, flags | last, id));
            self.out.extend_from_slice(chunk);
            (kind, flags, rest) = (frame::CONTINUATION, 0, behind);
            if rest.is_empty() {
                break;
            }
        }
    }
}

impl Drop for HeaderWriter<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
            self.connection.encoder.forget();
        }
    }
}
