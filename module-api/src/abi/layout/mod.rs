//! The layout of every type that crosses, as text: what `tests/layout.rs` compares with what was released.
//!
//! Each field is named with its type. A list that misses a field or names another type does not compile.

mod objects;
mod table;
mod values;

use super::{
    error::{Error, ErrorKind, Outcome},
    task::{FfiPoll, SendFuture},
    upstream::Pick,
};

/// The types that borrow, as the lists write them: for how long they do is nothing that crosses.
mod lasting {
    use crate::abi::{bytes, conf, host, module, stream, upstream};

    pub(super) type Str = bytes::Str<'static>;
    pub(super) type Sink = bytes::Sink<'static>;
    pub(super) type Slice<T> = bytes::Slice<'static, T>;
    pub(super) type Span = conf::Span<'static>;
    pub(super) type Value = conf::Value<'static>;
    pub(super) type Prop = conf::Prop<'static>;
    pub(super) type Node = conf::Node<'static>;
    pub(super) type ScopeView = conf::ScopeView<'static>;
    pub(super) type MetricDesc = host::MetricDesc<'static>;
    pub(super) type ZoneDesc = host::ZoneDesc<'static>;
    pub(super) type PeerInfo = host::PeerInfo<'static>;
    pub(super) type ConnectRequest = module::ConnectRequest<'static>;
    pub(super) type StreamInfo = stream::StreamInfo<'static>;
    pub(super) type PickCx = upstream::PickCx<'static>;
    pub(super) type PeerRef = upstream::PeerRef<'static>;
    pub(super) type IoVec = bytes::IoVec<'static>;
    pub(super) type Transmit = host::Transmit<'static>;
}

/// One line a type (`name size align`), then one a field (`  name offset size type`) or value (`  name number`).
pub fn lines() -> Vec<String> {
    let mut out = Vec::new();
    values::list(&mut out);
    objects::list(&mut out);
    table::list(&mut out);
    of::<super::conf::Contexts>(&mut out, "Contexts");
    of::<lasting::PeerRef>(&mut out, "PeerRef");
    of::<SendFuture<()>>(&mut out, "SendFuture<()>");
    of::<Outcome<u64>>(&mut out, "Outcome<u64>");
    out.push(format!("  Ok {}", tag(&Outcome::Ok(0_u64))));
    out.push(format!("  Err {}", tag(&Outcome::<u64>::Err(Error::bare(ErrorKind::Other)))));
    of::<FfiPoll<u64>>(&mut out, "FfiPoll<u64>");
    out.push(format!("  Ready {}", tag(&FfiPoll::Ready(0_u64))));
    out.push(format!("  Pending {}", tag(&FfiPoll::<u64>::Pending)));
    out.push(format!("  Panicked {}", tag(&FfiPoll::<u64>::Panicked)));
    of::<Pick>(&mut out, "Pick");
    out.push(format!("  Peer {}", tag(&Pick::Peer(0))));
    out.push(format!("  Wait {}", tag(&Pick::Wait)));
    out.push(format!("  None {}", tag(&Pick::None)));
    out
}

fn of<T>(out: &mut Vec<String>, name: &str) {
    out.push(format!("{name} {} {}", size_of::<T>(), align_of::<T>()));
}

/// The tag of a `repr(C)` enum with fields.
fn tag<T>(value: &T) -> u32 {
    assert!(size_of::<T>() >= 4 && align_of::<T>() >= 4);
    // SAFETY: `repr(C)` puts a C enum's number first, which is an `int` on every target we have.
    unsafe { *std::ptr::from_ref(value).cast::<u32>() }
}

/// A type with spaces only between words: a compiler may print others.
fn plain(text: &str) -> String {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '"');
    let mut out = String::new();
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() {
            gap = true;
            continue;
        }
        if gap && word(out.chars().last()) && (word(Some(c)) || c == '*') {
            out.push(' ');
        }
        gap = false;
        out.push(c);
    }
    out.replace(",)", ")")
}

macro_rules! structs {
    // In brackets: a field without bytes that says for how long is borrowed.
    ($out:ident: $($name:ident $(<$g:ty>)? $([$marker:ident])? { $($field:ident: $ty:ty,)* })*) => {$({
        type T = structs!(@type $name $($g)?);
        #[allow(dead_code, reason = "it only has to compile")]
        fn check(v: &T) {
            let $name { $($field: _,)* $($marker: _)? } = v;
            $(let _: &$ty = &v.$field;)*
        }
        super::of::<T>($out, stringify!($name));
        $($out.push(format!(
            "  {} {} {} {}",
            stringify!($field),
            std::mem::offset_of!(T, $field),
            size_of::<$ty>(),
            super::plain(stringify!($ty)),
        ));)*
    })*};
    (@type $name:ident) => { $name };
    (@type $name:ident $g:ty) => { $name<$g> };
}

macro_rules! enums {
    ($out:ident: $($name:ident { $($variant:ident),* })*) => {$({
        #[allow(dead_code, reason = "it only has to compile")]
        fn check(v: $name) {
            match v { $($name::$variant => {})* }
        }
        super::of::<$name>($out, stringify!($name));
        $($out.push(format!("  {} {}", stringify!($variant), $name::$variant as u32));)*
    })*};
}

use {enums, structs};
