//! One thread of a load: opens its share of the connections and carries each request to its answer. Knows nothing of how
//! the parts are put together.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::{Exchange, Load, Report};
use crate::client::{self, content_length};

pub(super) struct Worker {
    pub(super) load: Load,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) done: Arc<AtomicU64>,
    pub(super) left: Arc<AtomicU64>,
    pub(super) report: Report,
}

struct Client {
    stream: TcpStream,
    began: Instant,
    written: usize,
    received: Vec<u8>,
}

impl Worker {
    pub(super) fn run(mut self, connections: usize) -> Report {
        let end = Instant::now() + self.load.limit;
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC).expect("a descriptor for epoll");
        let mut clients: Vec<Option<Client>> = Vec::new();
        clients.resize_with(connections, || None);
        for (n, slot) in clients.iter_mut().enumerate() {
            *slot = self.open(&poller, n);
        }
        let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
        while clients.iter().any(Option::is_some) {
            if Instant::now() >= end {
                let hung = clients.iter().filter(|slot| slot.is_some()).count();
                for _ in 0..hung {
                    self.failed("no answer within the limit");
                }
                break;
            }
            events.clear();
            // Wakes now and then to see the end of its time.
            let timeout = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            let _ = epoll::wait(&poller, spare_capacity(&mut events), Some(&timeout));
            for event in &events {
                let n = event.data.u64() as usize;
                while let Some(client) = clients[n].as_mut() {
                    match step(client, &self.load.exchange) {
                        Ok(false) => break,
                        Ok(true) => {
                            self.report.done += 1;
                            self.done.fetch_add(1, Ordering::Relaxed);
                            self.report.latencies.push(client.began.elapsed());
                            if self.load.reconnect {
                                clients[n] = self.open(&poller, n);
                            } else if self.claim() {
                                client.began = Instant::now();
                                client.written = 0;
                                client.received.clear();
                            } else {
                                clients[n] = None;
                            }
                        }
                        Err(error) => {
                            self.failed(&error.to_string());
                            clients[n] = self.open(&poller, n);
                        }
                    }
                }
            }
        }
        self.report
    }

    /// Connects for one claimed request; `None` when there is none left. A failed attempt uses its request up.
    fn open(&mut self, poller: &impl std::os::fd::AsFd, n: usize) -> Option<Client> {
        while self.claim() {
            let began = Instant::now();
            let opened = client::try_connect(self.load.addr).and_then(|stream| {
                stream.set_nonblocking(true)?;
                // Edge-triggered: one registration a connection.
                let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
                epoll::add(poller, &stream, epoll::EventData::new_u64(n as u64), flags)?;
                Ok(stream)
            });
            match opened {
                Ok(stream) => {
                    return Some(Client { stream, began, written: 0, received: Vec::new() });
                }
                Err(error) => self.failed(&format!("connect: {error}")),
            }
        }
        None
    }

    fn claim(&self) -> bool {
        let taken = |left: u64| left.checked_sub(1);
        !self.stop.load(Ordering::SeqCst) && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    fn failed(&mut self, why: &str) {
        self.report.errors += 1;
        if self.report.samples.len() < 10 {
            self.report.samples.push(why.to_owned());
        }
    }
}

/// Goes on with a request as far as the socket allows; whether it is answered.
fn step(client: &mut Client, exchange: &Exchange) -> io::Result<bool> {
    let (Exchange::Echo(request) | Exchange::Http(request)) = exchange;
    loop {
        while client.written < request.len() {
            match client.stream.write(&request[client.written..]) {
                Ok(n) => client.written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let mut buf = [0; 65536];
        match client.stream.read(&mut buf) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => client.received.extend_from_slice(&buf[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        if complete(exchange, &client.received)? {
            return Ok(true);
        }
    }
}

fn complete(exchange: &Exchange, received: &[u8]) -> io::Result<bool> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    match exchange {
        Exchange::Echo(request) if received.len() < request.len() => Ok(false),
        Exchange::Echo(request) if received == request => Ok(true),
        Exchange::Echo(_) => Err(wrong("another answer than what was sent")),
        Exchange::Http(_) => {
            let Some(at) = received.windows(4).position(|text| text == b"\r\n\r\n") else {
                return Ok(false);
            };
            if !received.starts_with(b"HTTP/1.1 200 ") {
                return Err(wrong(&String::from_utf8_lossy(&received[..at.min(100)])));
            }
            let length = content_length(&received[..at + 4]).ok_or_else(|| wrong("no Content-Length"))?;
            match received.len().cmp(&(at + 4 + length)) {
                std::cmp::Ordering::Less => Ok(false),
                std::cmp::Ordering::Equal => Ok(true),
                std::cmp::Ordering::Greater => Err(wrong("bytes behind the body")),
            }
        }
    }
}
