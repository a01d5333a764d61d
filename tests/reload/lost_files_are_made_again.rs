//! Files by which clients find the process, removed by somebody else: Unix sockets of listeners, the control socket and the pid
//! file are made again, by themselves and at a reload; what is in their place is left alone.

use std::fs::{read_to_string, remove_file, write};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use harness::{LIMIT, Origin, Proxy, eventually};

use crate::support::{BOTH, relay, text};

fn server(origin: &Origin, common: &str, socket: &str, listens: &str) -> String {
    let server = format!("server {{ port_listen_tcp {listens}; local {{ proxy_pass_tcp \"{}\"; }}; }}", origin.addr());
    format!("{}\nsocket {{ {socket}; }}\n", text(origin, common, &server))
}

fn connect(path: &Path) -> Option<UnixStream> {
    let stream = UnixStream::connect(path).ok()?;
    stream.set_read_timeout(Some(LIMIT)).expect("a limit above zero");
    Some(stream)
}

fn echoes(mut stream: &UnixStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut byte).is_ok() && byte == *b"x"
}

#[test]
fn a_listeners_socket() {
    for how in BOTH {
        let origin = Origin::echo();
        let builder = Proxy::builder();
        let path = builder.dir().join("s.sock");
        let config =
            server(&origin, how, "tcp \"x\"", "\"unix:s.sock\"").replace("s.sock", &path.display().to_string());
        let proxy = builder.config(&config).start();
        let held = connect(&path).expect("it listens");
        assert!(echoes(&held));
        // By itself, however often.
        for _ in 0..2 {
            remove_file(&path).expect("it is there");
            let found = eventually("it is there again", || connect(&path));
            assert!(echoes(&found) && echoes(&held), "{how}");
        }
        proxy.await_log("the socket's file was lost, and is made again", LIMIT);
        // By a reload at once.
        for what in ["reload", "reinit"] {
            remove_file(&path).expect("it is there");
            proxy.send(what).assert(0, &[]);
            assert!(echoes(&connect(&path).expect("it is there")) && echoes(&held), "{how} {what}");
        }
        // What somebody put there is not ours to remove.
        remove_file(&path).expect("it is there");
        write(&path, "precious").expect("own directory");
        proxy.reload().assert(0, &["the socket's file is lost, and cannot be made again"]);
        proxy.await_log("cannot be made again", LIMIT);
        assert_eq!(read_to_string(&path).expect("a file"), "precious");
        remove_file(&path).expect("it is there");
        assert!(echoes(&eventually("it is there again", || connect(&path))));
        let said = proxy.log().matches("cannot be made again").count();
        assert!(said <= 2, "once by the look, once as not applied: {}", proxy.log());
        // It goes with its listener.
        proxy.reload_with(&text(&origin, how, "")).assert(0, &[]);
        assert!(!path.exists());
    }
}

#[test]
fn the_control_socket_and_the_pid_file() {
    let origin = Origin::echo();
    let mut proxy = relay(&origin, "pid \"a.pid\"").start();
    let (control, pid) = (proxy.dir().join("control.sock"), proxy.dir().join("a.pid"));
    for path in [&control, &pid] {
        remove_file(path).expect("it is there");
        eventually("it is there again", || path.exists().then_some(()));
    }
    assert_eq!(std::fs::metadata(&control).expect("there").permissions().mode() & 0o777, 0o600);
    eventually("it is whole", || (proxy.read("a.pid").trim() == proxy.pid().to_string()).then_some(()));
    proxy.await_log("removed, and is made again", LIMIT);
    proxy.send("quit").assert(0, &[]);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    assert!(!control.exists() && !pid.exists());
}

/// Whoever may enter the directory may connect, unless the profile says otherwise; and a reload changes it.
#[test]
fn who_may_connect_is_said() {
    let origin = Origin::echo();
    let builder = Proxy::builder();
    let path = builder.dir().join("s.sock");
    let config = |profile: &str| {
        let text = server(&origin, "", &format!("tcp \"x\" {profile}"), "\"unix:s.sock\"; tcp_config_name \"x\"");
        text.replace("s.sock", &path.display().to_string())
    };
    let mode = || std::fs::metadata(&path).expect("there").permissions().mode() & 0o777;
    let proxy = builder.config(&config("")).start();
    assert_eq!(mode(), 0o666);
    proxy.reload_with(&config("mode=\"0620\"")).assert(0, &[]);
    assert_eq!(mode(), 0o620);
    remove_file(&path).expect("it is there");
    proxy.reload().assert(0, &[]);
    assert_eq!(mode(), 0o620);
    proxy.reload_with(&config("")).assert(0, &[]);
    assert_eq!(mode(), 0o666);
}
