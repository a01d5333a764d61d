//! What a block of the configuration says, read once into numbers that the data path uses as they are.

mod access;
mod carry;
mod endpoint;
mod header;
mod socket;
mod spill;

pub(crate) use access::Access;
pub(crate) use carry::{Close, Times};
pub(crate) use header::{Headers, SendProxy};
pub(crate) use socket::Profile;
pub(crate) use spill::Spill;

use crate::core::{delay, rate::Limit};
use anyproxy_module_api::{Problems, Scope, Session, Span};
use std::sync::{Arc, LazyLock};

/// The values of one block.
#[derive(Debug)]
pub struct Conf {
    profiles: socket::Profiles,
    /// Options of sockets.
    pub(crate) socket: Profile,
    /// Who may connect.
    pub(crate) access: Option<Arc<Access>>,
    access_lines: Lines,
    /// Headers and domains.
    pub(crate) headers: Headers,
    /// Limits of time.
    pub(crate) times: Times,
    /// How streams end.
    pub(crate) close: Close,
    /// Size of a buffer at first, bytes.
    pub(crate) read_buffer: usize,
    /// Size that it grows to, bytes.
    pub(crate) write_buffer: usize,
    /// Whether long transfers are spliced.
    pub(crate) splice: bool,
    /// Bytes in one go after which a direction is spliced.
    pub(crate) splice_after: u64,
    /// From the client to the upstream.
    pub(crate) upload: Shape,
    /// From the upstream to the client.
    pub(crate) download: Shape,
    /// Joining of small writes.
    pub(crate) delay: delay::Settings,
    /// Where temporary files are made; `None`: the system's directory.
    pub(crate) tmp_path: Option<Box<str>>,
}

/// What slows or stores one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Rate limit; rate 0: none.
    pub(crate) limit: Limit,
    /// Temporary file; size 0: none.
    pub(crate) spill: Spill,
}

const NO_SHAPE: Shape =
    Shape { limit: Limit { rate: 0, burst: 0, after: 0 }, spill: Spill { size: 0, reopen_size: 0, rate: 0 } };

impl Default for Conf {
    fn default() -> Self {
        Self {
            profiles: Arc::default(),
            socket: Profile::default(),
            access: None,
            access_lines: Lines::default(),
            headers: Headers::default(),
            times: Times::default(),
            close: Close::default(),
            read_buffer: 16 << 10,
            write_buffer: 64 << 10,
            splice: true,
            splice_after: 64 << 10,
            upload: NO_SHAPE,
            download: NO_SHAPE,
            delay: delay::Settings { delay_ms: 0, nodelay_size: 0, nopush: false, buffer_size: 0 },
            tmp_path: None,
        }
    }
}

/// Which lines a list was made of: nested blocks that add none share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    count: usize,
    first: (u32, u32),
    last: (u32, u32),
}

impl Conf {
    /// Of a block's effective directives.
    pub(crate) fn new(scope: &Scope<'_, Self>, problems: &mut Problems<'_>) -> Self {
        let mut c = Self::default();
        let parent = scope.parent();
        c.profiles = match parent {
            Some(p) => Arc::clone(&p.profiles),
            None => socket::profiles(scope.all("tcp"), problems),
        };
        c.read_access(scope, problems);
        for node in scope.nodes() {
            match node.name.as_str() {
                "tcp_config_name" => {
                    c.socket = socket::named(node, &c.profiles, problems);
                }
                name if carry::set(&mut c, name, node) || spill::set(&mut c, parent, name, node, problems) => {}
                _ => c.headers.set(node, problems),
            }
        }
        // A directive beats the profile, wherever either stands.
        let said = |name: &str| scope.node(name).is_some();
        if !said("recv_timeout") {
            c.times.recv_ms = c.socket.recv_ms;
        }
        if !said("send_timeout") && c.socket.send_ms != 0 {
            c.times.send_ms = c.socket.send_ms;
        }
        c.write_buffer = c.write_buffer.max(c.read_buffer);
        c.delay.buffer_size = c.write_buffer;
        c
    }

    fn read_access(&mut self, scope: &Scope<'_, Self>, problems: &mut Problems<'_>) {
        let lines = || scope.nodes().iter().filter(|n| matches!(n.name.as_str(), "ip_allow" | "ip_deny"));
        let place = |s: &Span<'_>| (s.line, s.offset);
        self.access_lines = Lines {
            count: lines().count(),
            first: lines().next().map_or((0, 0), |n| place(&n.span)),
            last: lines().next_back().map_or((0, 0), |n| place(&n.span)),
        };
        self.access = match scope.parent() {
            Some(p) if p.access_lines == self.access_lines => p.access.clone(),
            _ => Access::new(lines(), problems).map(Arc::new),
        };
    }

    /// Whether sessions need the slower relay that limits, joins and stores.
    pub(crate) const fn is_shaped(&self) -> bool {
        const fn any(s: &Shape) -> bool {
            s.limit.rate != 0 || s.spill.size != 0
        }
        any(&self.upload) || any(&self.download) || self.delay.delay_ms != 0
    }
}

/// The values of a session's block: the defaults where no directive of this module holds.
pub(crate) fn of(session: &Session<crate::Tcp>) -> &Conf {
    static DEFAULT: LazyLock<Conf> = LazyLock::new(Conf::default);
    session.try_conf().unwrap_or_else(|| &DEFAULT)
}
