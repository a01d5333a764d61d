//! What a connection allows its peer, and what the peer allows.

use super::code::Fatal;
use super::frame::{self, HEAD, MOST};

/// What a connection allows its peer.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Streams that the peer may have open at once.
    pub max_streams: u32,
    /// Bytes of DATA that the peer may send on a stream before they are released; at most 2^31-1.
    pub window: u32,
    /// The same for all streams together; at most 2^31-1, at least 65535, with which every connection begins.
    pub connection_window: u32,
    /// Bytes of payload in a frame of the peer, from 2^14 to 2^24-1.
    pub max_frame: u32,
    /// Bytes of a field section, 32 for each field included (RFC 9113 section 6.5.2).
    pub header_list: u32,
    /// Fields of a section, pseudo headers not counted.
    pub header_count: u16,
    /// Bytes of the peer's HPACK table.
    pub header_table: u32,
    /// A server takes extended `CONNECT` (RFC 8441).
    pub extended_connect: bool,
    /// Streams that may end in a reset by the peer, or in one that the peer provoked, for which none that was completed
    /// makes up. CVE-2023-44487 and CVE-2025-8671 are such resets without end. One by the peer counts at a server, where the
    /// answer has not begun. So many at once, and as many again within ten seconds of `clock`; so with `idle_frames`.
    pub resets: u32,
    /// Frames that do nothing for a message, for which none that does makes up.
    pub idle_frames: u32,
    /// Bytes of unsent output from which on few answers to control frames are added.
    pub unsent: u32,
    /// Monotonic time in milliseconds. Asked at the beginning, and then only where the peer has used up what it may.
    pub clock: fn() -> u64,
}

impl Default for Config {
    /// What servers usually announce; no time passes.
    fn default() -> Self {
        Self {
            max_streams: 128,
            window: 64 << 10,
            connection_window: 1 << 20,
            max_frame: 1 << 14,
            header_list: 32 << 10,
            header_count: 100,
            header_table: 4096,
            extended_connect: false,
            resets: 200,
            idle_frames: 1000,
            unsent: 256 << 10,
            clock: || 0,
        }
    }
}

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
const NO_RFC7540_PRIORITIES: u16 = 0x9;

/// The window of a stream and of the connection before anything is said (RFC 9113 section 6.9.2).
pub(super) const INITIAL_WINDOW: u32 = 65_535;
const MIN_FRAME: u32 = 1 << 14;
const MAX_FRAME: u32 = (1 << 24) - 1;

/// How many bytes of DATA are sent in a frame at most, whatever the peer allows: others wait behind a frame.
pub(super) const SENT_FRAME: u32 = 1 << 14;

impl Config {
    /// With every number within what the protocol has for it.
    pub(super) fn bounded(mut self) -> Self {
        self.window = self.window.min(MOST);
        self.connection_window = self.connection_window.clamp(INITIAL_WINDOW, MOST);
        self.max_frame = self.max_frame.clamp(MIN_FRAME, MAX_FRAME);
        // An HPACK integer that is longer is not read.
        self.header_table = self.header_table.min(1 << 24);
        self
    }

    /// Appends SETTINGS (RFC 9113 section 6.5).
    pub(super) fn announce(&self, client: bool, out: &mut Vec<u8>) {
        let head = out.len();
        out.extend_from_slice(&[0; HEAD]);
        let mut setting = |id: u16, value: u32| {
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        };
        if self.header_table != 4096 {
            setting(HEADER_TABLE_SIZE, self.header_table);
        }
        if client {
            setting(ENABLE_PUSH, 0);
        } else {
            setting(MAX_CONCURRENT_STREAMS, self.max_streams);
            if self.extended_connect {
                setting(ENABLE_CONNECT_PROTOCOL, 1);
            }
        }
        setting(INITIAL_WINDOW_SIZE, self.window);
        if self.max_frame != MIN_FRAME {
            setting(MAX_FRAME_SIZE, self.max_frame);
        }
        setting(MAX_HEADER_LIST_SIZE, self.header_list);
        // PRIORITY is neither sent nor looked at (RFC 9218 section 2.1).
        setting(NO_RFC7540_PRIORITIES, 1);
        let length = out.len() - head - HEAD;
        out[head..head + HEAD].copy_from_slice(&frame::encode_head(length, frame::SETTINGS, 0, 0));
    }
}

/// What the peer allows: what its SETTINGS said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) header_table: u32,
    pub(super) max_streams: u32,
    pub(super) window: u32,
    pub(super) max_frame: u32,
    pub(super) header_list: u32,
    pub(super) extended_connect: bool,
    /// It has no use for PRIORITY: nor has anybody here, but it must not change its mind.
    no_rfc7540_priorities: bool,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            header_table: 4096,
            // What a server is to allow at least (RFC 9113 section 6.5.2), until it says what it does.
            max_streams: 100,
            window: INITIAL_WINDOW,
            max_frame: MIN_FRAME,
            header_list: u32::MAX,
            extended_connect: false,
            no_rfc7540_priorities: false,
        }
    }
}

impl Peer {
    /// Takes in the payload of SETTINGS (RFC 9113 section 6.5.2), the `first` or a later one. `table` is called for each
    /// size of the table, since also one that does not last empties it.
    pub(super) fn update(
        &mut self,
        payload: &[u8],
        server: bool,
        first: bool,
        mut table: impl FnMut(u32),
    ) -> Result<(), Fatal> {
        for &[a, b, c, d, e, f] in payload.as_chunks::<6>().0 {
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                HEADER_TABLE_SIZE => {
                    self.header_table = value;
                    table(value);
                }
                // A client must never hear a 1 (section 6.5.2).
                ENABLE_PUSH if value > 1 || (!server && value == 1) => {
                    return Err(Fatal::protocol("invalid SETTINGS_ENABLE_PUSH"));
                }
                MAX_CONCURRENT_STREAMS => self.max_streams = value,
                INITIAL_WINDOW_SIZE if value > MOST => {
                    return Err(Fatal::flow("SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1"));
                }
                INITIAL_WINDOW_SIZE => self.window = value,
                MAX_FRAME_SIZE if !(MIN_FRAME..=MAX_FRAME).contains(&value) => {
                    return Err(Fatal::protocol("invalid SETTINGS_MAX_FRAME_SIZE"));
                }
                MAX_FRAME_SIZE => self.max_frame = value,
                MAX_HEADER_LIST_SIZE => self.header_list = value,
                // Once allowed, it stays so (RFC 8441 section 3).
                ENABLE_CONNECT_PROTOCOL if value > 1 || (value == 0 && self.extended_connect) => {
                    return Err(Fatal::protocol("invalid SETTINGS_ENABLE_CONNECT_PROTOCOL"));
                }
                ENABLE_CONNECT_PROTOCOL => self.extended_connect = value == 1,
                // What the first one says, or leaves out, stays so (RFC 9218 section 2.1.1).
                NO_RFC7540_PRIORITIES if value > 1 || (!first && self.no_rfc7540_priorities != (value == 1)) => {
                    return Err(Fatal::protocol("invalid SETTINGS_NO_RFC7540_PRIORITIES"));
                }
                NO_RFC7540_PRIORITIES => self.no_rfc7540_priorities = value == 1,
                _ => {}
            }
        }
        Ok(())
    }
}
