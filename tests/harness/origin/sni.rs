//! A server that records the ClientHello it gets, without speaking TLS: shows that a proxy passed it on untouched.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Origin, tcp};
use crate::client::tls::server_name;

/// Reads one TLS record a connection, keeps it, and answers `<name> <server name or ->\n`.
#[derive(Debug)]
pub struct SniRecorder {
    origin: Origin,
    hellos: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl SniRecorder {
    /// `name` tells several of them apart in what clients are answered.
    pub fn start(name: &str) -> Self {
        let hellos = Arc::new(Mutex::new(Vec::new()));
        let (kept, name) = (Arc::clone(&hellos), name.to_owned());
        let origin = Origin::start(move |mut conn| {
            // RFC 8446, section 5.1: type, version, length of the fragment.
            let mut record = vec![0; 5];
            conn.read_exact(&mut record)?;
            let len = usize::from(u16::from_be_bytes([record[3], record[4]]));
            record.resize(5 + len, 0);
            conn.read_exact(&mut record[5..])?;
            let answer = format!("{name} {}\n", server_name(&record).unwrap_or_else(|| "-".to_owned()));
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(record);
            conn.write_all(answer.as_bytes())?;
            tcp::drain(&mut conn)
        });
        Self { origin, hellos }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.origin.addr()
    }

    /// The records so far, in order of arrival.
    pub fn hellos(&self) -> Vec<Vec<u8>> {
        self.hellos.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{self, tls::ClientHello};

    #[test]
    fn keeps_the_hello_and_names_its_server() {
        let recorder = SniRecorder::start("one");
        let hello = ClientHello::new().server_name("www.example.cn").record();
        assert_eq!(client::exchange(recorder.addr(), &hello), b"one www.example.cn\n");
        assert_eq!(client::exchange(recorder.addr(), &ClientHello::new().record()), b"one -\n");
        assert_eq!(recorder.hellos()[0], hello);
    }
}
