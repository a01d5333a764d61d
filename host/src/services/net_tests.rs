use super::*;
use std::path::PathBuf;
use tokio::net::TcpStream;

/// A directory that is gone with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("anyproxy-net-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn unix(&self, name: &str) -> Address {
        Address::Unix(self.0.join(name).into())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn loopback() -> Address {
    Address::Ip(SocketAddr::from(([127, 0, 0, 1], 0)))
}

#[test]
fn equal_texts_are_kept_once() {
    let text = String::from("kept by the test of the interner");
    let (a, b) = (interned(Str::new(&text)), interned(Str::new(&text.clone())));
    assert_eq!(a.as_str(), text);
    assert!(std::ptr::eq(a.as_str(), b.as_str()));
}

#[test]
fn the_last_error_is_told_once() {
    assert_eq!(failed(Error::bare(ErrorKind::Refused)), -2);
    // SAFETY: no arguments.
    let told = unsafe { [last_error(), last_error()] };
    assert_eq!(told.map(|e| e.kind), [ErrorKind::Refused, ErrorKind::Other]);
}

#[test]
fn several_sockets_share_an_address_only_when_asked_to() {
    let shared = SocketOptions { reuseport: true, ..SocketOptions::default() };
    let first = bind_listener(&loopback(), &shared).unwrap();
    let at = Address::Ip(first.local_addr().unwrap().as_socket().unwrap());
    bind_listener(&at, &shared).unwrap();
    let e = bind_listener(&at, &SocketOptions::default()).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::AddrInUse);
}

#[cfg(target_os = "linux")]
#[test]
fn what_listeners_pass_on_is_set_on_them() {
    let o = SocketOptions { defer_accept: true, fastopen: true, ..SocketOptions::default() };
    let socket = bind_listener(&loopback(), &o).unwrap();
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.nonblocking().unwrap());
    assert!(socket.is_listener().unwrap());
}

#[cfg(unix)]
#[test]
fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new("stale");
    let at = dir.unix("s");
    let first = bind_listener(&at, &SocketOptions::default()).unwrap();
    let mode = std::fs::metadata(dir.0.join("s")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0);
    let e = bind_listener(&at, &SocketOptions::default()).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::AddrInUse);
    drop(first);
    bind_listener(&at, &SocketOptions::default()).unwrap();
}

#[cfg(unix)]
#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let dir = Dir::new("file");
    std::fs::write(dir.0.join("f"), "precious").unwrap();
    bind_listener(&dir.unix("f"), &SocketOptions::default()).unwrap_err();
    assert_eq!(std::fs::read_to_string(dir.0.join("f")).unwrap(), "precious");
}

#[tokio::test]
async fn a_modules_listener_accepts_what_a_module_connects() {
    crate::services::rt::for_test();
    let at: Addr = SocketAddr::from(([127, 0, 0, 1], 0)).into();
    // SAFETY: the options are absent; the object is given up once, below.
    unsafe {
        let Outcome::Ok(l) = listen(at, std::ptr::null()) else { panic!("cannot listen") };
        let to = listener_addr(l);
        assert_ne!(to.port(), 0);
        let (mut here, mut there): (Stream, Stream) = {
            let accepted = listener_accept(l);
            let connected = connect_thunk(to, std::ptr::null());
            // The object is given up while the accept waits.
            listener_drop(l);
            let (a, c) = tokio::join!(accepted, connected);
            let (a, c): (Result<_, Error>, Result<_, Error>) = (a.into(), c.into());
            (a.unwrap(), c.unwrap())
        };
        there.write_all(b"hello").await.unwrap();
        let mut got = [0; 5];
        here.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_of_a_modules_unix_listener_goes_with_it() {
    crate::services::rt::for_test();
    let dir = Dir::new("module");
    let path = dir.0.join("m");
    let at = Addr::unix(interned(Str::new(path.to_str().unwrap())));
    let l = Listener::bind(at, &SocketOptions::default()).unwrap();
    assert!(path.exists());
    let o = SocketOptions::default();
    let (client, accepted) = tokio::join!(connect(at, &o), l.accept());
    client.unwrap();
    accepted.unwrap();
    drop(l);
    assert!(!path.exists());
}

#[tokio::test]
async fn errors_say_what_is_wrong() {
    crate::services::rt::for_test();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = free.local_addr().unwrap();
    drop(free);
    let e = connect(at.into(), &SocketOptions::default()).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Refused);
    let e = connect(Addr::NONE, &SocketOptions::default()).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Invalid);
    // SAFETY: -1 is no descriptor.
    assert!(matches!(unsafe { adopt(i64::MIN) }, Outcome::Err(_)));
}

#[tokio::test]
async fn a_connected_socket_is_adopted() {
    crate::services::rt::for_test();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let fd = std::os::fd::IntoRawFd::into_raw_fd(client.into_std().unwrap()).into();
    // SAFETY: the descriptor is given away.
    let adopted: Result<Stream, Error> = unsafe { adopt(fd) }.into();
    let mut adopted = adopted.unwrap();
    io::Write::write_all(&mut server, b"x").unwrap();
    let mut got = [0; 1];
    adopted.read_exact(&mut got).await.unwrap();
}
