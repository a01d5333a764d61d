//! Bodies of requests and answers, piece by piece, of whichever image makes them.

use crate::{Bytes, FilePart};
use anyproxy_module_api::{
    Error, ErrorKind, Owner,
    abi::task::{FfiContext, guard, with_ffi},
};
use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    mem::MaybeUninit,
    ptr,
    task::{Context, Poll},
};

/// A piece of a body.
#[derive(Debug)]
pub enum Segment {
    /// Bytes. None: nothing yet, and no end either; better left out.
    Bytes(Bytes),
    /// A part of a file.
    File(FilePart),
    /// Header lines behind the body, each with its CRLF. Nothing follows.
    Trailers(Bytes),
}

/// Whoever makes a body.
pub trait BodySource: 'static {
    /// The next piece. `None`: it is complete.
    ///
    /// # Errors
    /// When the rest is not to be had: what came is cut off, so that nobody takes it for the whole.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Segment>, Error>>;
}

/// How a call of `next` went.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    Pending,
    Bytes,
    File,
    Trailers,
    End,
    Failed,
}

/// What a call of `next` gives: one of these is written, as `Got` says.
#[repr(C)]
union Out {
    bytes: std::mem::ManuallyDrop<Bytes>,
    file: std::mem::ManuallyDrop<FilePart>,
    error: std::mem::ManuallyDrop<Error>,
}

/// The functions of a body. None of them unwinds; all are called on the exchange's own thread.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct BodyVtable {
    size: usize,
    next: unsafe extern "C" fn(*mut (), &FfiContext<'_>, *mut MaybeUninit<Out>) -> u32,
    drop: unsafe extern "C" fn(*mut ()),
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Out")
    }
}

/// A body: empty, or with a source.
#[repr(C)]
pub struct Body {
    data: *mut (),
    vtable: *const BodyVtable,
    length: u64,
}

const UNKNOWN: u64 = u64::MAX;

/// A source, and whose it is: whoever pulls its pieces is another module.
struct Owned<S> {
    owner: Owner,
    source: S,
}

/// Which body it is. See [`Body::id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyId {
    data: usize,
    vtable: usize,
    length: u64,
}

unsafe extern "C" fn next<S: BodySource>(data: *mut (), cx: &FfiContext<'_>, out: *mut MaybeUninit<Out>) -> u32 {
    use std::mem::ManuallyDrop;
    // SAFETY: the box of `new`, used by one caller at a time.
    let Owned { owner, source } = unsafe { &mut *data.cast::<Owned<S>>() };
    let _in = owner.enter();
    let polled = guard(|| cx.with_context(|cx| source.poll_next(cx)));
    let put = |o: Out| {
        // SAFETY: the caller's, for this call.
        unsafe { (*out).write(o) };
    };
    let got = match polled {
        None => {
            put(Out { error: ManuallyDrop::new(Error::bare(ErrorKind::Panicked)) });
            Got::Failed
        }
        Some(Poll::Pending) => Got::Pending,
        Some(Poll::Ready(Ok(None))) => Got::End,
        Some(Poll::Ready(Ok(Some(Segment::Bytes(bytes))))) => {
            put(Out { bytes: ManuallyDrop::new(bytes) });
            Got::Bytes
        }
        Some(Poll::Ready(Ok(Some(Segment::Trailers(bytes))))) => {
            put(Out { bytes: ManuallyDrop::new(bytes) });
            Got::Trailers
        }
        Some(Poll::Ready(Ok(Some(Segment::File(file))))) => {
            put(Out { file: ManuallyDrop::new(file) });
            Got::File
        }
        Some(Poll::Ready(Err(error))) => {
            put(Out { error: ManuallyDrop::new(error) });
            Got::Failed
        }
    };
    got as u32
}

unsafe extern "C" fn drop_source<S>(data: *mut ()) {
    // SAFETY: the box of `new`, given up once.
    let made = unsafe { Box::from_raw(data.cast::<Owned<S>>()) };
    let _in = made.owner.enter();
    guard(|| drop(made));
}

struct Table<S>(S);

impl<S: BodySource> Table<S> {
    const VTABLE: BodyVtable = BodyVtable { size: size_of::<BodyVtable>(), next: next::<S>, drop: drop_source::<S> };
}

/// Pieces that are there already.
struct Pieces(VecDeque<Segment>);

impl BodySource for Pieces {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Segment>, Error>> {
        Poll::Ready(Ok(self.0.pop_front()))
    }
}

impl Body {
    /// No body.
    pub const EMPTY: Self = Self { data: ptr::null_mut(), vtable: ptr::null(), length: 0 };

    /// What a source makes. `length`: its bytes, where they are known. It frames the message: what is too much is cut off, and
    /// what is too little, or too much, ends the connection (HTTP/2: the stream) and is in the error log.
    pub fn new<S: BodySource>(source: S, length: Option<u64>) -> Self {
        Self {
            data: Box::into_raw(Box::new(Owned { owner: Owner::running(), source })).cast(),
            vtable: ptr::from_ref(const { &Table::<S>::VTABLE }),
            length: length.unwrap_or(UNKNOWN),
        }
    }

    /// Pieces that are there already.
    pub fn of(pieces: impl IntoIterator<Item = Segment>) -> Self {
        let pieces: VecDeque<_> = pieces.into_iter().collect();
        let length = pieces.iter().map(|p| match p {
            Segment::Bytes(bytes) => bytes.len() as u64,
            Segment::File(part) => part.len,
            Segment::Trailers(_) => 0,
        });
        let length = length.sum();
        Self::new(Pieces(pieces), Some(length))
    }

    /// Its length in bytes, where that is known.
    pub fn length(&self) -> Option<u64> {
        (self.length != UNKNOWN).then_some(self.length)
    }

    /// There is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.data.is_null()
    }

    /// Whether `other` is this very body, or was it before it was given away.
    pub fn is(&self, other: &BodyId) -> bool {
        self.id() == *other
    }

    /// What tells it from all others that there are while it is.
    pub fn id(&self) -> BodyId {
        BodyId { data: self.data as usize, vtable: self.vtable as usize, length: self.length }
    }

    /// The next piece. `None`: it is complete. Not to be called again after that.
    ///
    /// # Errors
    /// When the rest is not to be had.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Segment>, Error>> {
        if self.data.is_null() {
            return Poll::Ready(Ok(None));
        }
        let mut out = MaybeUninit::uninit();
        // SAFETY: data and table belong together; `out` is lent for the call.
        let got = with_ffi(cx, |f| unsafe { ((*self.vtable).next)(self.data, f, &raw mut out) });
        // SAFETY: what was written is as the number says, and is taken once.
        unsafe {
            use std::mem::ManuallyDrop;
            Poll::Ready(match got {
                n if n == Got::Pending as u32 => return Poll::Pending,
                n if n == Got::End as u32 => Ok(None),
                n if n == Got::Bytes as u32 => {
                    Ok(Some(Segment::Bytes(ManuallyDrop::into_inner(out.assume_init().bytes))))
                }
                n if n == Got::Trailers as u32 => {
                    Ok(Some(Segment::Trailers(ManuallyDrop::into_inner(out.assume_init().bytes))))
                }
                n if n == Got::File as u32 => Ok(Some(Segment::File(ManuallyDrop::into_inner(out.assume_init().file)))),
                n if n == Got::Failed as u32 => Err(ManuallyDrop::into_inner(out.assume_init().error)),
                _ => Err(Error::bare(ErrorKind::Unsupported)),
            })
        }
    }

    /// The next piece, as [`Body::poll_next`].
    ///
    /// # Errors
    /// When the rest is not to be had.
    pub async fn next(&mut self) -> Result<Option<Segment>, Error> {
        poll_fn(|cx| self.poll_next(cx)).await
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() { Self::EMPTY } else { Self::of([Segment::Bytes(bytes.into())]) }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if !self.data.is_null() {
            // SAFETY: data and table belong together; given up once.
            unsafe { ((*self.vtable).drop)(self.data) }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length() {
            Some(n) => write!(f, "Body({n} bytes)"),
            None => f.write_str("Body(until its end)"),
        }
    }
}
