//! Who listens on a port, for the message that it cannot be bound. Asks the system's tables; knows nothing of listeners.

use std::net::SocketAddr;

/// A process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// The name of its program, as the system keeps it.
    pub name: String,
}

/// The processes that listen on the port of `at`, or receive datagrams there, whatever the address: what is needed is a
/// hint. Empty when nobody does,
/// when it belongs to somebody whose descriptors we may not see, and on systems without `/proc`.
#[cfg(target_os = "linux")]
pub fn holders(at: SocketAddr, datagram: bool) -> Vec<Holder> {
    // A datagram socket without a peer is in the state that is "close" for TCP.
    let (tables, state) = match datagram {
        false => (["/proc/net/tcp", "/proc/net/tcp6"], "0A"),
        true => (["/proc/net/udp", "/proc/net/udp6"], "07"),
    };
    let sockets: Vec<String> = tables
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| in_state(&table, at.port(), state))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|p| p.file_name().to_str()?.parse::<u32>().ok());
    let holds = |pid: &u32| {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .any(|link| sockets.iter().any(|s| link.as_os_str() == s.as_str()))
    };
    let name = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    numbers.filter(holds).map(|pid| Holder { pid, name: name(pid) }).collect()
}

/// Elsewhere unknown.
#[cfg(not(target_os = "linux"))]
pub fn holders(_: SocketAddr, _: bool) -> Vec<Holder> {
    Vec::new()
}

/// Inodes of the sockets of a table of `/proc/net` that are in `state` on `port` (proc(5)).
#[cfg(target_os = "linux")]
fn in_state(table: &str, port: u16, state: &str) -> Vec<u64> {
    let of_line = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let local = fields.get(1)?.rsplit_once(':')?.1;
        let here = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == state;
        here.then(|| fields.get(9)?.parse().ok())?
    };
    table.lines().skip(1).filter_map(of_line).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("bound");
        let found = holders(at, false);
        assert!(found.iter().any(|h| h.pid == std::process::id() && !h.name.is_empty()), "{found:?}");
        drop(listener);
        assert!(!holders(at, false).iter().any(|h| h.pid == std::process::id()));
    }

    #[test]
    fn this_process_is_found_by_its_datagram_port() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let found = holders(socket.local_addr().expect("bound"), true);
        assert!(found.iter().any(|h| h.pid == std::process::id()), "{found:?}");
    }

    #[test]
    fn a_table_gives_listening_sockets_of_the_port_only() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0\n\
            1: 0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0\n\
            2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0\n\
            broken line\n";
        assert_eq!(in_state(table, 8080, "0A"), [11]);
    }
}
