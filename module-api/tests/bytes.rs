//! Text, buffers, sinks and errors as they cross.

use anyproxy_module_api::{Addr, Buf, Cause, CloseReason, Error, ErrorKind, Sink, Slice, Stage, Str, Who};
use std::{
    fmt::Write,
    io,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

#[test]
fn a_vectors_buffer_keeps_its_memory_and_its_room() {
    let mut v = Vec::with_capacity(16);
    v.extend(b"abc");
    let at = v.as_ptr();
    let mut b = Buf::from(v);
    assert_eq!((b.as_ptr(), &b[..], b.capacity()), (at, &b"abc"[..], 16));
    assert_eq!(b.push(b"defghijklmnopqrstuvwxyz"), 13, "what fits");
    assert_eq!(b.len(), 16);
    assert_eq!(b.push(b"x"), 0);
    b.truncate(20);
    assert_eq!(b.len(), 16);
    b.truncate(2);
    b[0] = b'A';
    assert_eq!(&b[..], b"Ab");
    b.clear();
    assert_eq!((b.len(), b.capacity()), (0, 16));
}

#[test]
fn an_empty_buffer_has_no_memory_and_no_owner() {
    let mut b = Buf::new();
    assert_eq!((b.len(), b.capacity(), b.spare().1, b.push(b"x")), (0, 0, 0, 0));
    drop(Buf::from(Vec::new()));
    drop(b);
}

#[test]
fn the_unfilled_part_is_initialised() {
    let mut b = Buf::from(Vec::with_capacity(64));
    let (p, n) = b.spare();
    // SAFETY: all of a buffer is initialised.
    let rest = unsafe { std::slice::from_raw_parts(p, n) };
    assert!(rest.iter().all(|b| *b == 0) && n >= 64);
}

#[test]
fn a_buffer_goes_back_to_its_owner_once_on_whatever_thread() {
    static RELEASED: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn release(owner: *mut (), ptr: *mut u8, cap: usize) {
        RELEASED.fetch_add(cap, SeqCst);
        // SAFETY: the parts of the vector below.
        drop(unsafe { Vec::from_raw_parts(ptr, 0, cap) });
        assert!(owner.is_null());
    }
    let mut v = std::mem::ManuallyDrop::new(vec![1_u8; 8]);
    let cap = v.capacity();
    // SAFETY: the vector's memory, given back by `release`.
    let b = unsafe { Buf::from_raw(v.as_mut_ptr(), 8, cap, std::ptr::null_mut(), release) };
    std::thread::spawn(move || drop(b)).join().expect("it does not panic");
    assert_eq!(RELEASED.load(SeqCst), cap);
}

#[test]
fn text_and_slices_are_borrowed_as_they_are() {
    const NAME: Str<'_> = Str::new("naïve");
    assert_eq!((NAME.as_str(), NAME.len(), NAME.is_empty()), ("naïve", 6, false));
    assert_eq!((Str::default().as_str(), Str::EMPTY.is_empty()), ("", true));
    assert_eq!(format!("{NAME} {NAME:?}"), "naïve \"naïve\"");
    assert!(NAME.starts_with("na"), "it derefs to str");
    let s = Slice::new(&[1, 2, 3]);
    assert_eq!((s.len(), s.as_slice(), Slice::<u8>::default().len()), (3, &[1, 2, 3][..], 0));
}

#[test]
fn a_sink_appends_what_is_written() {
    let mut out = b"<".to_vec();
    let mut sink = Sink::to_vec(&mut out);
    sink.push(&[0xff, 0]);
    write!(sink, "{}", 7).expect("a sink does not fail");
    assert_eq!(out, b"<\xff\x007");
}

#[test]
fn an_error_keeps_kind_number_and_text_on_the_way_through_io() {
    let e = Error::new(ErrorKind::Limit, "too many");
    assert_eq!((e.to_string().as_str(), e.text()), ("too many", "too many"));
    let back = io::Error::from(e);
    assert_eq!(back.to_string(), "too many");

    let e = Error::from(io::Error::from_raw_os_error(111));
    assert_eq!(e.os, 111);
    assert_eq!(io::Error::from(e).raw_os_error(), Some(111));

    let e = Error::bare(ErrorKind::TimedOut);
    assert_eq!(e.to_string(), "TimedOut");
    assert_eq!(io::Error::from(e).kind(), io::ErrorKind::TimedOut);
}

#[test]
fn addresses_compare_print_and_hash_by_what_they_are() {
    let a: Addr = "192.0.2.1:80".parse::<std::net::SocketAddr>().expect("an address").into();
    let b: Addr = "192.0.2.1:81".parse::<std::net::SocketAddr>().expect("an address").into();
    assert_ne!(a, b);
    assert_eq!(a.key(), b.key(), "the port does not count");
    assert_eq!((a.to_string().as_str(), a.port()), ("192.0.2.1:80", 80));
    let six: Addr = "[2001:db8::1]:443".parse::<std::net::SocketAddr>().expect("an address").into();
    assert_eq!((six.to_string().as_str(), six.key().len()), ("[2001:db8::1]:443", 16));
    let unix = Addr::unix(Str::new("/run/x"));
    assert_eq!((unix.to_string().as_str(), unix.path(), unix.ip()), ("unix:/run/x", Some("/run/x"), None));
    assert_eq!((Addr::NONE.to_string().as_str(), Addr::NONE.socket()), ("unix:", None));
}

#[test]
fn a_reason_has_one_name_everywhere() {
    let code = CloseReason::new(Who::Client, Stage::Transfer, Cause::Done).code();
    assert_eq!(CloseReason::name(code), "client_transfer_done");
    for bad in [0, 1, 0xffff_ffff, 0x01_00_01] {
        assert_eq!(CloseReason::name(bad), "-");
    }
}
