//! TCP servers that know no protocol: echo, source, sink, resets, half-close, a reader that waits to be told.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Origin;
use crate::LIMIT;
use crate::pattern::{self, Checksum};

const BUFFER: usize = 64 * 1024;

impl Origin {
    /// Sends back what comes in; ends its side when the other side has ended its own.
    pub fn echo() -> Self {
        Self::start(|mut conn| {
            let mut buf = vec![0; BUFFER];
            loop {
                match conn.read(&mut buf)? {
                    0 => return conn.stream.shutdown(Shutdown::Write),
                    n => conn.write_all(&buf[..n])?,
                }
            }
        })
    }

    /// Sends `name` and a line feed, then ends: tells which of several peers was chosen.
    pub fn named(name: &str) -> Self {
        let line = format!("{name}\n");
        Self::start(move |mut conn| {
            conn.write_all(line.as_bytes())?;
            drain(&mut conn)
        })
    }

    /// Sends the first `len` bytes of [`pattern`], ends its side and reads until the client ends too.
    pub fn source(len: u64) -> Self {
        Self::start(move |mut conn| {
            let mut buf = vec![0; BUFFER];
            let mut at = 0;
            while at < len {
                let n = (len - at).min(BUFFER as u64);
                let part = &mut buf[..n as usize];
                pattern::fill(at, part);
                conn.write_all(part)?;
                at += n;
            }
            drain(&mut conn)
        })
    }

    /// Reads until the client ends its side, and only then answers: `<bytes> <checksum>\n`, see [`sink_answer`].
    /// So it also tells whether a half-close is passed on.
    pub fn sink() -> Self {
        Self::start(|mut conn| {
            let answer = receive_all(&mut conn)?;
            conn.write_all(answer.as_bytes())?;
            conn.stream.shutdown(Shutdown::Write)
        })
    }

    /// Reads `after` bytes, then resets the connection (RST instead of FIN).
    pub fn resetting(after: u64) -> Self {
        Self::start(move |mut conn| {
            io::copy(&mut (&mut conn).take(after), &mut io::sink())?;
            // Linger with time 0: closing sends RST and drops what is unsent.
            rustix::net::sockopt::set_socket_linger(&conn.stream, Some(Duration::ZERO))?;
            Ok(())
        })
    }

    /// Ends its own side at once, then goes on reading as [`Origin::sink`] does and keeps the answer in the gate: a
    /// client must still be able to send after the server's end.
    pub fn half_closed_first() -> (Self, Gate) {
        let gate = Gate::default();
        let told = gate.clone();
        let origin = Self::start(move |mut conn| {
            conn.stream.shutdown(Shutdown::Write)?;
            let answer = receive_all(&mut conn)?;
            told.put(answer);
            Ok(())
        });
        (origin, gate)
    }

    /// A slow reader: takes nothing until the gate opens; then it is a [`Origin::sink`]. Its receive buffer is the
    /// system's: a smaller one than a segment of loopback would leave the rest to the timer of window probes.
    pub fn gated() -> (Self, Gate) {
        let gate = Gate::default();
        let waiting = gate.clone();
        let origin = Self::start(move |mut conn| {
            waiting.pass();
            let answer = receive_all(&mut conn)?;
            conn.write_all(answer.as_bytes())?;
            conn.stream.shutdown(Shutdown::Write)
        });
        (origin, gate)
    }
}

/// What [`Origin::sink`] answers to these bytes.
pub fn sink_answer(bytes: &[u8]) -> String {
    format!("{} {}\n", bytes.len(), Checksum::of(bytes))
}

/// Lets a test decide when an origin goes on, and hands one text back.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    open: bool,
    text: Option<String>,
}

impl Gate {
    /// Lets everyone through, now and later.
    pub fn open(&self) {
        self.change(|state| state.open = true);
    }

    /// Waits for the text that the origin puts here. Panics at [`LIMIT`].
    #[track_caller]
    pub fn text(&self) -> String {
        let text = self.wait(|state| state.text.take());
        text.unwrap_or_else(|| panic!("the origin had nothing to tell within {LIMIT:?}"))
    }

    fn put(&self, text: String) {
        self.change(|state| state.text = Some(text));
    }

    /// Waits for the gate to open; goes on at [`LIMIT`] too, so that a failed test leaves no thread behind.
    fn pass(&self) {
        self.wait(|state| state.open.then_some(()));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
    }

    fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut value = None;
        let state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.0.1.wait_timeout_while(state, LIMIT, |state| {
            value = look(state);
            value.is_none()
        });
        value
    }
}

/// Ends this side, then reads to the end of the other one: closing with unread bytes would be a reset.
pub(super) fn drain(conn: &mut super::Conn) -> io::Result<()> {
    conn.stream.shutdown(Shutdown::Write)?;
    io::copy(conn, &mut io::sink())?;
    Ok(())
}

fn receive_all(conn: &mut super::Conn) -> io::Result<String> {
    let mut buf = vec![0; BUFFER];
    let (mut bytes, mut sum) = (0, Checksum::EMPTY);
    loop {
        match conn.read(&mut buf)? {
            0 => return Ok(format!("{bytes} {sum}\n")),
            n => {
                sum.update(&buf[..n]);
                bytes += n;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::client;

    #[test]
    fn echo_counts_and_ends_with_the_client() {
        let origin = Origin::echo();
        assert_eq!(client::exchange(origin.addr(), b"hello"), b"hello");
        assert_eq!((origin.accepted(), origin.received(), origin.sent()), (1, 5, 5));
        origin.await_idle();
    }

    #[test]
    fn source_sends_the_pattern() {
        let origin = Origin::source(300_000);
        assert_eq!(client::receive_pattern(client::connect(origin.addr())), 300_000);
    }

    #[test]
    fn sink_answers_after_the_half_close() {
        let origin = Origin::sink();
        let data = pattern::bytes(100_000);
        assert_eq!(client::exchange(origin.addr(), &data), sink_answer(&data).as_bytes());
    }

    #[test]
    fn a_reset_is_seen_as_one() {
        let origin = Origin::resetting(3);
        let mut stream = client::connect(origin.addr());
        stream.write_all(b"abc").expect("write");
        let error = stream.read(&mut [0; 8]).expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_client_can_send_after_the_servers_end() {
        let (origin, gate) = Origin::half_closed_first();
        assert_eq!(client::exchange(origin.addr(), b"late"), b"");
        assert_eq!(gate.text(), sink_answer(b"late"));
    }

    #[test]
    fn a_closed_gate_holds_the_sender_back() {
        let (origin, gate) = Origin::gated();
        let stream = client::connect(origin.addr());
        stream.set_nonblocking(true).expect("flag");
        let part = vec![7; 65536];
        let mut sent = 0;
        // Ends: the buffers between the two are finite.
        while let Ok(n) = (&stream).write(&part) {
            sent += n;
        }
        assert_eq!(origin.received(), 0);
        gate.open();
        stream.set_nonblocking(false).expect("flag");
        stream.shutdown(Shutdown::Write).expect("half-close");
        let answer = client::read_to_end(&stream);
        assert!(answer.starts_with(format!("{sent} ").as_bytes()));
    }

    #[test]
    fn a_stopped_origin_refuses_and_its_port_can_be_taken_again() {
        let origin = Origin::named("one");
        let held = client::connect(origin.addr());
        assert_eq!(client::read_to_end(&held), b"one\n");
        let addr = origin.stop();
        assert!(TcpStream::connect(addr).is_err());
        let again = Origin::start_on(addr, |_| Ok(()));
        assert_eq!(again.addr(), addr);
    }
}
