//! How large the heads of peers' answers may be.

use crate::h1::{Bad, Limits};
use anyproxy_module_api::*;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering::Relaxed};

directive! {
    /// Most bytes of the head of a peer's answer. A longer one is answered with 502. One line has 65,535 bytes at most.
    "http_response_header_size", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "bytes").required().bounds(1 << 10, 1 << 20)])
    .default("64KiB")
    .example("http_response_header_size \"256KiB\"")
}

directive! {
    /// Most header lines of a peer's answer. One with more is answered with 502.
    "http_response_header_count", Contexts::MSL,
    .args(&[ArgDesc::new("count", Kind::Int, "lines").required().bounds(8, 1000)])
    .default("200")
    .example("http_response_header_count 500")
}

/// Most bytes of a status line: reasons are short.
const LINE: u32 = 8 << 10;

/// What a block says.
pub(crate) fn limits<C>(scope: &Scope<'_, C>) -> Limits {
    let number = |name: &str, default: i64| scope.node(name).and_then(|n| n.arg(0)).map_or(default, |v| v.num);
    let head = number("http_response_header_size", 64 << 10) as u32;
    Limits { line: LINE.min(head), head, headers: number("http_response_header_count", 200) as u16 }
}

/// What is wrong with a head of so many bytes and lines.
pub(crate) fn too_much(limits: &Limits, bytes: usize, lines: usize) -> Option<Bad> {
    match () {
        () if bytes > limits.head as usize => Some(Bad::HeadTooLarge),
        () if lines > usize::from(limits.headers) => Some(Bad::TooManyHeaders),
        () => None,
    }
}

/// The most that any block allows: so much do connections of HTTP/2, which the blocks share.
#[derive(Debug, Default)]
pub(crate) struct Most(AtomicU32, AtomicU16);

impl Most {
    /// Takes in what a block allows.
    pub(crate) fn note(&self, limits: &Limits) {
        self.0.fetch_max(limits.head, Relaxed);
        self.1.fetch_max(limits.headers, Relaxed);
    }

    /// Bytes and lines.
    pub(crate) fn get(&self) -> (u32, u16) {
        (self.0.load(Relaxed), self.1.load(Relaxed))
    }
}
