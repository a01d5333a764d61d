//! Compresses the body of a response as it streams by (RFC 1952, RFC 7932, RFC 8878). Owns the state of one stream;
//! whether to compress, and with which coding, is decided elsewhere ([`super::encoding`]).
//!
//! What one [`Compressor`] holds, measured over HTML and source text, in KiB: gzip 371, zstd 497, brotli 474 at levels
//! 2 and 3 and 1361 at 4, whose table of matches alone is 512. [`cost`] has the limits. Within these, zstd and gzip
//! give smaller bodies in less time than brotli does: [`PREFERENCE`].

use super::encoding::{self, Coding};
use std::io::Write as _;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, zstd_sys};
use zstd_sys::ZSTD_EndDirective as Directive;

/// The codings in the order a server prefers them for bodies that are compressed on the fly.
pub const PREFERENCE: [Coding; 4] = [Coding::Zstd, Coding::Gzip, Coding::Brotli, Coding::Identity];

/// Content types worth compressing where a configuration names none.
pub const DEFAULT_TYPES: [&str; 13] = [
    "text/*",
    "application/javascript",
    "application/x-javascript",
    "application/json",
    "application/*+json",
    "application/xml",
    "application/*+xml",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
];

/// Whether a `Content-Type` is one of `types`, such as `text/html` or `text/*`: as [`encoding::type_matches`] has it.
#[must_use]
pub fn is_compressible<P: AsRef<str>>(content_type: &[u8], types: &[P]) -> bool {
    encoding::type_matches(content_type, types)
}

/// The lowest and the highest level of a coding that [`Compressor::new`] goes to; beyond them is the nearest one.
#[must_use]
pub fn levels(coding: Coding) -> (u8, u8) {
    match coding {
        Coding::Gzip => (1, 9),
        // Below 2, each push is packed on its own: small ones grow. From 5 on, tables of several MiB, and no gain
        // within a window that fits a proxy.
        Coding::Brotli => (2, 4),
        // From 13 on, binary trees, for which the tables here are too small.
        Coding::Zstd => (1, 12),
        Coding::Identity => (0, 0),
    }
}

/// The level where a configuration names none: about the same time for each coding.
#[must_use]
pub fn default_level(coding: Coding) -> u8 {
    match coding {
        Coding::Gzip => 4,
        Coding::Brotli | Coding::Zstd => 3,
        Coding::Identity => 0,
    }
}

/// Most bytes that one [`Compressor`] holds, for a limit on how many there may be.
#[must_use]
pub fn cost(coding: Coding, level: u8) -> usize {
    const KIB: usize = 1024;
    match (coding, level) {
        (Coding::Gzip, _) => 400 * KIB,
        (Coding::Brotli, ..=3) => 480 * KIB,
        (Coding::Brotli, _) => 1400 * KIB,
        (Coding::Zstd, _) => 510 * KIB,
        (Coding::Identity, _) => 0,
    }
}

/// A library gave up, which it does for want of memory or for a fault of its own; the body cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The coding.
    pub coding: Coding,
    /// What its library says.
    pub cause: String,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot compress with {}: {}", self.coding.name(), self.cause)
    }
}

impl std::error::Error for Error {}

impl Error {
    fn new(coding: Coding, cause: impl ToString) -> Self {
        Self { coding, cause: cause.to_string() }
    }

    fn zstd(code: usize) -> Self {
        Self::new(Coding::Zstd, zstd_safe::get_error_name(code))
    }
}

/// One body being compressed. Feed it with [`push`](Self::push), show the client what there is with
/// [`flush`](Self::flush), and end with [`finish`](Self::finish); all append to `out`, which grows by about the size of
/// the input at most. After an error it is of no more use.
pub struct Compressor {
    state: State,
    /// Something was pushed that no flush has shown yet.
    hidden: bool,
}

enum State {
    Gzip(flate2::Compress),
    Brotli(Box<Brotli>),
    Zstd(CCtx<'static>),
    Identity,
}

impl Compressor {
    /// A compressor for one body. A level beyond [`levels`] is taken as the nearest one.
    ///
    /// # Errors
    ///
    /// If a library cannot set itself up.
    pub fn new(coding: Coding, level: u8) -> Result<Self, Error> {
        let (least, most) = levels(coding);
        let level = level.clamp(least, most);
        let state = match coding {
            Coding::Gzip => State::Gzip(flate2::Compress::new_gzip(flate2::Compression::new(level.into()), 15)),
            Coding::Brotli => State::Brotli(Box::new(Brotli::new(level))),
            Coding::Zstd => State::Zstd(zstd(level)?),
            Coding::Identity => State::Identity,
        };
        Ok(Self { state, hidden: false })
    }

    /// Takes more of the body. What it appends to `out` may be nothing for a while.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if input.is_empty() {
            return Ok(());
        }
        self.hidden = true;
        match &mut self.state {
            State::Gzip(state) => run_gzip(state, input, flate2::FlushCompress::None, out),
            State::Brotli(state) => state.push(input, out),
            State::Zstd(state) => run_zstd(state, input, Directive::ZSTD_e_continue, out),
            State::Identity => {
                out.extend_from_slice(input);
                Ok(())
            }
        }
    }

    /// Appends whatever is needed for a client to decode all that was pushed so far. It costs a few bytes, and does
    /// nothing if nothing was pushed since the last time.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if !std::mem::take(&mut self.hidden) {
            return Ok(());
        }
        match &mut self.state {
            State::Gzip(state) => run_gzip(state, &[], flate2::FlushCompress::Sync, out),
            State::Brotli(state) => state.flush(out),
            State::Zstd(state) => run_zstd(state, &[], Directive::ZSTD_e_flush, out),
            State::Identity => Ok(()),
        }
    }

    /// Ends the body and gives the memory back. A body into which nothing was pushed is valid too.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self.state {
            State::Gzip(mut state) => run_gzip(&mut state, &[], flate2::FlushCompress::Finish, out),
            State::Brotli(state) => {
                out.extend_from_slice(&state.writer.into_inner());
                Ok(())
            }
            State::Zstd(mut state) => run_zstd(&mut state, &[], Directive::ZSTD_e_end, out),
            State::Identity => Ok(()),
        }
    }
}

#[cfg(test)]
impl Compressor {
    /// What a library in C says that it holds, which no allocator of Rust sees.
    pub(super) fn held_by_c(&self) -> usize {
        if let State::Zstd(state) = &self.state { state.sizeof() } else { 0 }
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let coding = match self.state {
            State::Gzip(_) => Coding::Gzip,
            State::Brotli(_) => Coding::Brotli,
            State::Zstd(_) => Coding::Zstd,
            State::Identity => Coding::Identity,
        };
        f.debug_struct("Compressor").field("coding", &coding).field("hidden", &self.hidden).finish_non_exhaustive()
    }
}

/// Room to make in `out` before a step. Text shrinks to a fourth; what does not fit takes another step.
fn room(input: usize) -> usize {
    (input / 4).clamp(256, 32 << 10)
}

fn run_gzip(
    state: &mut flate2::Compress,
    mut input: &[u8],
    flush: flate2::FlushCompress,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    loop {
        out.reserve(room(input.len()));
        let (read, written) = (state.total_in(), state.total_out());
        let status = state.compress_vec(input, out, flush).map_err(|error| Error::new(Coding::Gzip, error))?;
        let (read, written) = (state.total_in() - read, state.total_out() - written);
        input = usize::try_from(read).ok().and_then(|read| input.get(read..)).unwrap_or_default();
        let done = match flush {
            flate2::FlushCompress::None => input.is_empty(),
            flate2::FlushCompress::Finish => status == flate2::Status::StreamEnd,
            _ => input.is_empty() && out.len() < out.capacity(),
        };
        if done {
            return Ok(());
        }
        if read == 0 && written == 0 {
            return Err(Error::new(Coding::Gzip, "no progress"));
        }
    }
}

fn zstd(level: u8) -> Result<CCtx<'static>, Error> {
    let mut state = CCtx::try_create().ok_or_else(|| Error::new(Coding::Zstd, "out of memory"))?;
    // A window of 128 KiB; input and output are held as blocks of 32 instead of 128 KiB; tables of 128 and 32 KiB.
    for parameter in [
        CParameter::CompressionLevel(level.into()),
        CParameter::WindowLog(17),
        CParameter::MaxBlockSize(32 << 10),
        CParameter::HashLog(15),
        CParameter::ChainLog(13),
    ] {
        state.set_parameter(parameter).map_err(Error::zstd)?;
    }
    Ok(state)
}

fn run_zstd(state: &mut CCtx<'static>, input: &[u8], directive: Directive, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut source = InBuffer::around(input);
    loop {
        out.reserve(room(input.len() - source.pos()));
        let length = out.len();
        let mut target = OutBuffer::around_pos(&mut *out, length);
        let left = state.compress_stream2(&mut target, &mut source, directive).map_err(Error::zstd)?;
        let done = match directive {
            Directive::ZSTD_e_continue => source.pos() == input.len(),
            _ => left == 0,
        };
        if done {
            return Ok(());
        }
    }
}

/// A brotli stream that is cut into blocks, for its library holds up to eight times a block as commands.
struct Brotli {
    writer: brotli::CompressorWriter<Vec<u8>>,
    /// Most bytes of a block.
    block: usize,
    /// Bytes in the block that is open.
    filled: usize,
}

impl Brotli {
    fn new(level: u8) -> Self {
        let (lgwin, block) = match level {
            2 | 3 => (15, 8 << 10),
            _ => (18, 16 << 10),
        };
        let writer = brotli::CompressorWriter::new(Vec::new(), 4096, level.into(), lgwin);
        Self { writer, block, filled: 0 }
    }

    fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        while !input.is_empty() {
            let take = input.len().min(self.block - self.filled);
            let (now, later) = input.split_at_checked(take).unwrap_or((input, &[]));
            self.writer.write_all(now).map_err(|error| Error::new(Coding::Brotli, error))?;
            self.filled += take;
            if self.filled == self.block {
                self.flush(out)?;
            }
            input = later;
        }
        out.append(self.writer.get_mut());
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.filled = 0;
        self.writer.flush().map_err(|error| Error::new(Coding::Brotli, error))?;
        out.append(self.writer.get_mut());
        Ok(())
    }
}
