//! Relaying allocates nothing: the host and its modules run in this process, whose allocator counts what each thread asks
//! for, while exchanges go over one pair of connections that is already open. What carries them is the worker's thread.
#![cfg(target_os = "linux")]

use harness::{LIMIT, TempDir, eventually};
use serde_json::{Value, json};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ffi::OsString,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    thread,
};

/// Exchanges that are counted, by their size; and those before them that fill what is kept.
const COUNTED: [(usize, u64); 2] = [(64, 10_000), (100 * 1024, 2_000)];
const WARM: u64 = 1_000;
/// What a worker may allocate beside, in so many exchanges: its sweep looks for idle sessions every 100 ms, however long
/// the machine takes. One allocation an exchange would be fifty times as many.
const fn beside(exchanges: u64) -> u64 {
    64 + exchanges / 50
}

/// The system's allocator, with every call that may hand out memory counted, a thread at a time.
struct Counting;

/// Of each thread that ever allocated: its number in the system, and its allocations.
static THREADS: [(AtomicU64, AtomicU64); 256] = [const { (AtomicU64::new(0), AtomicU64::new(0)) }; 256];
static SLOTS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn count() {
    let slot = SLOT.get();
    if let Some((_, allocations)) = THREADS.get(slot) {
        allocations.fetch_add(1, Relaxed);
        return;
    }
    let slot = SLOTS.fetch_add(1, Relaxed);
    if let Some((thread, allocations)) = THREADS.get(slot) {
        SLOT.set(slot);
        thread.store(rustix::thread::gettid().as_raw_nonzero().get() as u64, Relaxed);
        allocations.fetch_add(1, Relaxed);
    }
}

/// Allocations of the host's workers until now.
fn allocations_of_workers() -> u64 {
    let worker = |thread: u64| {
        let name = std::fs::read_to_string(format!("/proc/self/task/{thread}/comm")).unwrap_or_default();
        name.starts_with("worker-")
    };
    let taken = SLOTS.load(Relaxed);
    assert!(taken <= THREADS.len(), "{taken} threads: some were not counted");
    let of = THREADS[..taken].iter().filter(|(thread, _)| worker(thread.load(Relaxed)));
    of.map(|(_, allocations)| allocations.load(Relaxed)).sum()
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

#[test]
fn exchanges_over_open_connections_allocate_nothing() {
    let dir = TempDir::new();
    let origin = echo();
    // One listener a way of carrying: by copy as shipped, by copy alone, by splice from the first byte.
    let config = dir.write(
        "main.kdl",
        format!(
            r#"
            load_module "tcp" "balancer"
            common {{ worker_threads 1; control "control.sock"; error_log "error.log" level="warn"; }}
            upstream "pool" {{ balancer "weight"; proxy_pass_tcp "{origin}"; }}
            net {{
                server {{ port_listen_tcp "127.0.0.1:0"; local {{ proxy_pass_tcp "{origin}"; }}; }}
                server {{ port_listen_tcp "127.0.0.1:0"; local {{ proxy_pass_upstream "pool"; splice #false; }}; }}
                server {{ port_listen_tcp "127.0.0.1:0"; local {{ proxy_pass_tcp "{origin}"; splice_after "0"; }}; }}
            }}
            "#
        ),
    );
    let host =
        thread::spawn(move || anyproxy_static::main([OsString::from("-c"), config.into_os_string()].into_iter()));
    let socket = dir.join("control.sock");
    eventually("the host answers", || (host.is_finished() || UnixStream::connect(&socket).is_ok()).then_some(()));
    assert!(!host.is_finished(), "the host ended: {:?}", host.join());

    let status = ask(&socket, &json!({ "cmd": "status" }));
    for (listener, way) in ["as shipped", "copied, from a pool", "spliced"].into_iter().enumerate() {
        let address = status["listeners"][listener]["address"].as_str().expect("the status lists its listeners");
        for (size, count) in COUNTED {
            let before = allocations_of_workers();
            let mut connection = connect(address.parse().expect("an address"));
            exchanges(&mut connection, WARM, size);
            let first = allocations_of_workers();
            exchanges(&mut connection, count, size);
            let (opened, carried) = (first - before, allocations_of_workers() - first);
            println!("{way}, {size} bytes: {opened} allocations to open and warm up, {carried} in {count} exchanges");
            assert!(opened > 0, "the worker is counted");
            assert!(carried <= beside(count), "{way}, {size} bytes: {carried} allocations in {count} exchanges");
        }
    }
    let answer = ask(&socket, &json!({ "cmd": "stop" }));
    assert_eq!(host.join().expect("the host does not panic"), 0, "{answer}");
}

/// `count` times `size` bytes there and back, without an allocation of its own.
fn exchanges(connection: &mut TcpStream, count: u64, size: usize) {
    static SENT: [u8; 128 * 1024] = [b'x'; 128 * 1024];
    let mut received = [0; 128 * 1024];
    for _ in 0..count {
        connection.write_all(&SENT[..size]).expect("the relay takes what is sent");
        connection.read_exact(&mut received[..size]).expect("the relay brings it back");
    }
    assert_eq!(received[..size], SENT[..size]);
}

fn connect(to: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect(to).expect("the relay accepts");
    connection.set_nodelay(true).expect("nodelay");
    connection.set_read_timeout(Some(LIMIT)).expect("a limit");
    connection.set_write_timeout(Some(LIMIT)).expect("a limit");
    connection
}

/// Sends back what it gets, on one connection a time, without an allocation between two reads.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        for mut connection in listener.incoming().flatten() {
            connection.set_nodelay(true).expect("nodelay");
            loop {
                match connection.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) if connection.write_all(&buffer[..n]).is_ok() => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    _ => break,
                }
            }
        }
    });
    address
}

fn ask(socket: &Path, command: &Value) -> Value {
    let mut stream = UnixStream::connect(socket).expect("the control socket");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream.write_all(format!("{command}\n").as_bytes()).expect("the host takes the command");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("the host answers");
    let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
    assert_eq!(answer["ok"], true, "{line}");
    answer["result"].take()
}
