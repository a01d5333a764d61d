//! What differs between systems about descriptors and sockets. Everything else of the host is the same everywhere.

use anyproxy_module_api::abi::{bytes::IoVec, fd::BorrowedFile, net::SocketOptions};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
};

#[cfg(unix)]
mod imp {
    use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

    pub(crate) fn borrowed(s: &impl AsRawFd) -> BorrowedFd<'_> {
        // SAFETY: whoever has one keeps it open for as long as it is borrowed.
        unsafe { BorrowedFd::borrow_raw(s.as_raw_fd()) }
    }
    pub(crate) fn owned(s: impl IntoRawFd) -> OwnedFd {
        // SAFETY: it was given up.
        unsafe { OwnedFd::from_raw_fd(s.into_raw_fd()) }
    }

    pub(crate) fn raw_fd(s: &impl AsRawFd) -> i64 {
        s.as_raw_fd().into()
    }
    pub(crate) fn socket_from_raw_fd(fd: i64) -> std::io::Result<socket2::Socket> {
        let fd = i32::try_from(fd).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        // SAFETY: the caller gives the descriptor up; a number that is none fails at the first call on it.
        Ok(unsafe { socket2::Socket::from_raw_fd(fd) })
    }
}

#[cfg(windows)]
mod imp {
    use std::os::windows::io::{AsRawSocket, BorrowedSocket, FromRawSocket, IntoRawSocket, OwnedSocket};

    pub(crate) fn borrowed(s: &impl AsRawSocket) -> BorrowedSocket<'_> {
        // SAFETY: whoever has one keeps it open for as long as it is borrowed.
        unsafe { BorrowedSocket::borrow_raw(s.as_raw_socket()) }
    }
    pub(crate) fn owned(s: impl IntoRawSocket) -> OwnedSocket {
        // SAFETY: it was given up.
        unsafe { OwnedSocket::from_raw_socket(s.into_raw_socket()) }
    }

    pub(crate) fn raw_fd(s: &impl AsRawSocket) -> i64 {
        s.as_raw_socket().cast_signed()
    }
    pub(crate) fn socket_from_raw_fd(fd: i64) -> std::io::Result<socket2::Socket> {
        let socket = u64::try_from(fd).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        // SAFETY: the caller gives the socket up; a number that is none fails at the first call on it.
        Ok(unsafe { socket2::Socket::from_raw_socket(socket) })
    }
}

pub(crate) use imp::{borrowed, owned, raw_fd, socket_from_raw_fd};

/// The pieces as the system takes them; at most 64, the rest is for the next write.
pub(crate) fn io_slices<'a>(from: &'a [IoVec<'_>]) -> super::stream::Slices<'a> {
    let mut slices = [IoSlice::new(&[]); 64];
    for (to, v) in slices.iter_mut().zip(from) {
        *to = IoSlice::new(v);
    }
    slices
}

/// A stream socket with its options set, not yet bound or connected.
pub(crate) fn stream_socket(addr: &SocketAddr, o: &SocketOptions) -> io::Result<Socket> {
    let socket = nonblocking(Domain::for_address(*addr), Type::STREAM, Protocol::TCP)?;
    apply(&socket, o)?;
    Ok(socket)
}

/// A socket that never blocks, in one system call.
#[cfg(target_os = "linux")]
fn nonblocking(domain: Domain, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    Socket::new(domain, kind.nonblocking(), Some(protocol))
}

/// Elsewhere in two.
#[cfg(not(target_os = "linux"))]
fn nonblocking(domain: Domain, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sets what the options say; a number of 0 leaves the system's value.
pub(crate) fn apply(s: &Socket, o: &SocketOptions) -> io::Result<()> {
    if o.nodelay {
        s.set_tcp_nodelay(true)?;
    }
    if o.send_buffer > 0 {
        s.set_send_buffer_size(o.send_buffer as usize)?;
    }
    if o.recv_buffer > 0 {
        s.set_recv_buffer_size(o.recv_buffer as usize)?;
    }
    if o.keepalive_s > 0 {
        let time = std::time::Duration::from_secs(o.keepalive_s.into());
        s.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(time))?;
    }
    if o.tos > 0 {
        s.set_tos_v4(o.tos)?;
    }
    #[cfg(target_os = "linux")]
    {
        if o.user_timeout_ms > 0 {
            s.set_tcp_user_timeout(Some(std::time::Duration::from_millis(o.user_timeout_ms.into())))?;
        }
        if o.mark > 0 {
            s.set_mark(o.mark)?;
        }
        if o.transparent {
            s.set_ip_transparent_v4(true)?;
        }
    }
    Ok(())
}

/// Receives. By the system call itself: the C library's function is a point where threads may be cancelled, and prepares
/// for that each time.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) fn recv(fd: i64, to: &mut [u8]) -> io::Result<usize> {
    let nobody = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: as many bytes as are lent.
    let n = unsafe { libc::syscall(libc::SYS_recvfrom, fd, to.as_mut_ptr(), to.len(), 0, nobody, nobody) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Sends, as [`recv`] receives.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) fn send(fd: i64, from: &[u8]) -> io::Result<usize> {
    let (nobody, flags) = (std::ptr::null::<libc::c_void>(), libc::MSG_NOSIGNAL);
    // SAFETY: as many bytes as are lent.
    let n = unsafe { libc::syscall(libc::SYS_sendto, fd, from.as_ptr(), from.len(), flags, nobody, 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Sends; what does not fill a packet may wait for what follows (MSG_MORE).
pub(crate) fn send_more(s: &SockRef<'_>, from: &[u8]) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    let flags = libc::MSG_MORE | libc::MSG_NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    let flags = 0;
    s.send_with_flags(from, flags)
}

/// Joins small writes until it is set back (TCP_CORK).
pub(crate) fn set_cork(s: &SockRef<'_>, on: bool) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return s.set_tcp_cork(on);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (s, on);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Whether the system hands out a listener's connections with their first bytes. A client that is silent is handed out a
/// second later all the same. Not everywhere there: nothing is done then.
#[cfg(target_os = "linux")]
pub(crate) fn set_defer_accept(s: &SockRef<'_>, on: bool) {
    use std::os::fd::AsRawFd;
    let seconds = libc::c_int::from(on);
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // Only a hint: what is not a TCP socket has no such option.
    // SAFETY: a number of this size is lent for the call.
    unsafe {
        libc::setsockopt(
            s.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            std::ptr::from_ref(&seconds).cast(),
            len,
        )
    };
}

/// Nothing is done.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn set_defer_accept(_: &SockRef<'_>, _: bool) {}

/// Sends from a file to a socket without a copy through this process.
#[cfg(target_os = "linux")]
pub(crate) fn sendfile(to: i64, file: BorrowedFile<'_>, offset: u64, len: usize) -> io::Result<usize> {
    let mut at = offset.cast_signed();
    // SAFETY: plain numbers; `at` is ours for the call.
    let n = unsafe { libc::sendfile(to as i32, raw_fd(&file) as i32, &raw mut at, len) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n.unsigned_abs()) }
}

/// Elsewhere the caller reads and writes.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sendfile(_: i64, _: BorrowedFile<'_>, _: u64, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Sends from a pipe to a socket without a copy. What does not fill a packet does not wait for more.
#[cfg(target_os = "linux")]
pub(crate) fn splice(to: i64, pipe: BorrowedFile<'_>, len: usize) -> io::Result<usize> {
    let (nowhere, flags) = (std::ptr::null_mut(), libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK);
    // SAFETY: plain numbers.
    let n = unsafe { libc::splice(raw_fd(&pipe) as i32, nowhere, to as i32, nowhere, len, flags) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Elsewhere the caller reads and writes.
#[cfg(not(target_os = "linux"))]
pub(crate) fn splice(_: i64, _: BorrowedFile<'_>, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Name of this machine, where the system has a call for it.
#[cfg(unix)]
pub(crate) fn host_name() -> Option<String> {
    let mut name = [0_u8; 256];
    // SAFETY: the bytes are ours for the call; the last one stays zero whatever the system writes.
    let answer = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let ends = name.iter().position(|b| *b == 0)?;
    let text = std::str::from_utf8(&name[..ends]).ok()?;
    (answer == 0 && !text.is_empty()).then(|| text.to_owned())
}

/// Elsewhere the environment tells.
#[cfg(not(unix))]
pub(crate) fn host_name() -> Option<String> {
    std::env::var("COMPUTERNAME").ok().filter(|n| !n.is_empty())
}

/// Keeps the running thread on one processor.
#[cfg(target_os = "linux")]
pub(crate) fn pin_thread(cpu: usize) {
    // SAFETY: a zeroed set is an empty one; the macro's bounds hold for `cpu` below its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if cpu < libc::CPU_SETSIZE as usize {
            libc::CPU_SET(cpu, &mut set);
            // A refusal (a narrower cgroup) leaves the thread where the system likes it.
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
        }
    }
}

/// Elsewhere threads stay where the system likes them.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin_thread(_: usize) {}

/// Processors that this process may run on, in order.
#[cfg(target_os = "linux")]
pub(crate) fn cpus() -> Vec<usize> {
    // SAFETY: the set is ours for the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return Vec::new();
        }
        (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect()
    }
}

/// Elsewhere unknown.
#[cfg(not(target_os = "linux"))]
pub(crate) fn cpus() -> Vec<usize> {
    Vec::new()
}

/// Asks for a limit of open files, also for a lower one than there is; what holds afterwards. 0: as many as the hard limit.
#[cfg(unix)]
pub(crate) fn limit_open_files(want: u64) -> u64 {
    // SAFETY: the structure is ours for the calls.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 0;
        }
        let want = if want == 0 { limit.rlim_max } else { want };
        if want > limit.rlim_max {
            // Root may raise the hard limit; others get what there is.
            let more = libc::rlimit { rlim_cur: want, rlim_max: want };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const more) == 0 {
                return want;
            }
        }
        limit.rlim_cur = want.min(limit.rlim_max);
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur
    }
}

/// Elsewhere memory is the only limit.
#[cfg(not(unix))]
pub(crate) fn limit_open_files(_: u64) -> u64 {
    1 << 24
}

/// Asks for locked memory; false: refused.
#[cfg(unix)]
pub(crate) fn raise_locked_memory(bytes: u64) -> bool {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: the structure is ours for the call.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) == 0 }
}

/// Elsewhere nobody asks for it.
#[cfg(not(unix))]
pub(crate) fn raise_locked_memory(_: u64) -> bool {
    false
}

/// Takes the groups of a user, and `gid`.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn init_groups(user: &std::ffi::CStr, gid: u32) -> io::Result<()> {
    // SAFETY: the name is valid for the call.
    let r = unsafe { libc::initgroups(user.as_ptr(), gid.cast_signed()) };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How large a piece the allocator takes from the system and gives back by itself, bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 1 << 20;

/// Lets the allocator give large pieces back as soon as they are freed. Left alone, glibc raises this limit to the
/// largest piece ever freed (a configuration, a module's file), and from then on keeps that much in each arena.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn keep_no_large_memory() {
    // SAFETY: plain numbers. Refused ones change nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * LARGE);
    }
}

/// Gives memory that was freed back to the system: building a generation takes much for a moment.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_memory_back() {
    // SAFETY: plain number; it only concerns memory that nobody uses.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Elsewhere the allocator does as it likes.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn keep_no_large_memory() {}

/// Elsewhere the allocator does as it likes.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_memory_back() {}
