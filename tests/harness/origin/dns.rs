//! A tiny authoritative DNS server over UDP whose records a test changes while it runs. Knows A, AAAA and NXDOMAIN.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::udp::UdpServer;

const A: u16 = 1;
const AAAA: u16 = 28;

/// Answers what it was told; names that it does not know get NXDOMAIN.
#[derive(Debug)]
pub struct Dns {
    server: UdpServer,
    zone: Arc<Mutex<Zone>>,
}

#[derive(Debug, Default)]
struct Zone {
    records: HashMap<String, (Vec<IpAddr>, Duration)>,
    queries: HashMap<String, u64>,
    silent: bool,
}

impl Dns {
    /// On a port of the system's choice of 127.0.0.1, with no names.
    pub fn start() -> Self {
        let zone = Arc::new(Mutex::new(Zone::default()));
        let asked = Arc::clone(&zone);
        let server = UdpServer::start(move |query| lock(&asked).answer(query));
        Self { server, zone }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    /// From now on `name` (no final dot, any case) has these addresses. The time to live counts whole seconds.
    pub fn set(&self, name: &str, addresses: impl IntoIterator<Item = IpAddr>, ttl: Duration) {
        let addresses = addresses.into_iter().collect();
        lock(&self.zone).records.insert(name.to_ascii_lowercase(), (addresses, ttl));
    }

    /// From now on `name` does not exist.
    pub fn remove(&self, name: &str) {
        lock(&self.zone).records.remove(&name.to_ascii_lowercase());
    }

    /// While silent it reads queries and answers none.
    pub fn silent(&self, silent: bool) {
        lock(&self.zone).silent = silent;
    }

    /// Queries for `name` so far, of any type.
    pub fn queries(&self, name: &str) -> u64 {
        lock(&self.zone).queries.get(&name.to_ascii_lowercase()).copied().unwrap_or_default()
    }
}

impl Zone {
    /// RFC 1035, section 4: one question; its name is repeated by a pointer to it.
    fn answer(&mut self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = question_name(query)?;
        let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
        let question = query.get(12..end + 4)?;
        *self.queries.entry(name.clone()).or_default() += 1;
        if self.silent {
            return None;
        }
        let known = self.records.get(&name);
        let mut count = 0_u16;
        let mut records = Vec::new();
        for address in known.iter().flat_map(|(addresses, _)| addresses) {
            let data = match (kind, address) {
                (A, IpAddr::V4(ip)) => ip.octets().to_vec(),
                (AAAA, IpAddr::V6(ip)) => ip.octets().to_vec(),
                _ => continue,
            };
            let ttl = known.map_or(0, |(_, ttl)| u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX));
            // Pointer to offset 12, type, class IN.
            records.extend([0xc0, 12]);
            records.extend(kind.to_be_bytes());
            records.extend([0, 1]);
            records.extend(ttl.to_be_bytes());
            records.extend((data.len() as u16).to_be_bytes());
            records.extend(data);
            count += 1;
        }
        let mut answer = query[..2].to_vec();
        // Response, authoritative, recursion as asked and available; code 3: no such name.
        answer.extend([0x84 | (query[2] & 1), 0x80 | if known.is_some() { 0 } else { 3 }]);
        answer.extend([0, 1]);
        answer.extend(count.to_be_bytes());
        answer.extend([0, 0, 0, 0]);
        answer.extend(question);
        answer.extend(records);
        Some(answer)
    }
}

/// The lower-case name of the first question, and where it ends. `None` for what is no query.
fn question_name(query: &[u8]) -> Option<(String, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1;
        match len {
            0 => return Some((labels.join("."), at)),
            1..64 => labels.push(String::from_utf8_lossy(query.get(at..at + len)?).to_ascii_lowercase()),
            _ => return None,
        }
        at += len;
    }
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(dns: &Dns, name: &str, kind: u16) -> Option<Vec<u8>> {
        let socket = crate::client::udp(dns.addr());
        let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(label.len() as u8);
            query.extend(label.as_bytes());
        }
        query.extend([0, 0, kind as u8, 0, 1]);
        socket.send(&query).expect("send");
        socket
            .set_read_timeout(Some(Duration::from_millis(if dns.is_silent() { 50 } else { 10_000 })))
            .expect("timeout");
        let mut buf = [0; 512];
        socket.recv(&mut buf).ok().map(|n| buf[..n].to_vec())
    }

    impl Dns {
        fn is_silent(&self) -> bool {
            lock(&self.zone).silent
        }
    }

    #[test]
    fn answers_change_at_run_time() {
        let dns = Dns::start();
        let missing = ask(&dns, "o.test", A).expect("answer");
        assert_eq!((missing[3] & 15, missing[7]), (3, 0));
        dns.set("O.test", ["127.0.0.2".parse().expect("ip"), "::1".parse().expect("ip")], Duration::from_secs(7));
        let found = ask(&dns, "o.TEST", A).expect("answer");
        assert_eq!((found[3] & 15, found[7]), (0, 1));
        assert!(found.ends_with(&[0, 0, 0, 7, 0, 4, 127, 0, 0, 2]));
        assert!(
            ask(&dns, "o.test", AAAA)
                .expect("answer")
                .ends_with(&[0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
        );
        dns.remove("o.test");
        assert_eq!(ask(&dns, "o.test", A).expect("answer")[3] & 15, 3);
        assert_eq!(dns.queries("o.test"), 4);
    }

    #[test]
    fn silent_means_no_answer() {
        let dns = Dns::start();
        dns.silent(true);
        assert_eq!(ask(&dns, "o.test", A), None);
        assert_eq!(dns.queries("o.test"), 1);
    }

    #[test]
    fn nonsense_is_ignored() {
        assert_eq!(Zone::default().answer(b"x"), None);
        assert_eq!(Zone::default().answer(&[0xff; 40]), None);
    }
}
