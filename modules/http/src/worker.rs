//! What a worker keeps between requests, and what is counted.

use crate::{
    Http,
    access::Known,
    buffer::Memory,
    exchange::{Request, Spare},
    files::Files,
    http2::peers::Peers,
    spare_buf::SpareBuf,
    totals::Totals,
    upstream::Idle,
    variables::TO_PEER,
};
use anyproxy_module_api::{Action, is_named, now_ms, pipe::Pipes, sleep, spawn};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// One worker's own.
#[derive(Debug)]
pub struct Worker {
    pub(crate) stats: Arc<Stats>,
    totals: Rc<Totals>,
    /// Memory of requests that are over.
    pub(crate) spare: Rc<Spare>,
    /// Connections to peers without a request.
    pub(crate) idle: Rc<Idle>,
    /// Connections of HTTP/2 to peers.
    pub(crate) peers: Rc<Peers>,
    /// Files that were asked for lately.
    pub(crate) files: Rc<Files>,
    /// Memory of the message that was read last.
    pub(crate) spare_buf: Rc<SpareBuf>,
    /// Memory of answers that are sent.
    lent: RefCell<Vec<Vec<u8>>>,
    /// Memory of compressors, bytes.
    pub(crate) compressing: Rc<Cell<usize>>,
    /// Pipes for long answers.
    pub(crate) pipes: Pipes,
    /// Bodies that are kept on their way.
    pub(crate) buffers: Rc<Memory>,
    /// Passwords that were verified.
    pub(crate) known: Known,
    /// A variable may show what peers got.
    pub(crate) shows_heads: bool,
    /// A variable may show the stages of a request.
    pub(crate) shows_stages: bool,
    /// When it was last said that nobody is there to be asked.
    no_peer_ms: Cell<u64>,
}

/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// Answers whose memory is kept.
const LENT: usize = 64;
/// Pipes that are in use at a time: each is a megabyte of others' memory, for a client that does not take it.
const PIPES: usize = 64;

impl Worker {
    /// `response_heads`: bytes and lines that peers of HTTP/2 may send of one.
    pub(crate) fn start(stats: Arc<Stats>, response_heads: (u32, u16)) -> Self {
        let idle = Rc::<Idle>::default();
        let files = Rc::<Files>::default();
        let peers = Rc::new(Peers::new(response_heads));
        let totals = Rc::new(Totals::new());
        let spare_buf = Rc::<SpareBuf>::default();
        let swept = (Rc::clone(&idle), Rc::clone(&files), Rc::clone(&peers), Rc::clone(&spare_buf));
        let told = (Rc::clone(&totals), Arc::clone(&stats));
        // Ends with the generation.
        drop(spawn(async move {
            for turn in 1_u64.. {
                sleep(SWEEP).await;
                swept.0.sweep();
                swept.2.sweep();
                swept.3.sweep();
                told.0.tell(&told.1);
                if turn % 20 == 0 {
                    swept.1.sweep();
                }
            }
        }));
        Self {
            stats,
            totals,
            spare: Rc::default(),
            idle,
            peers,
            files,
            spare_buf,
            lent: RefCell::default(),
            compressing: Rc::default(),
            pipes: Pipes::new(PIPES),
            buffers: Rc::default(),
            known: Known::default(),
            shows_heads: is_named(TO_PEER),
            shows_stages: is_named("stream_work_times"),
            no_peer_ms: Cell::new(0),
        }
    }

    /// Whether it is to be said again that nobody is there to be asked: once a second, however many ask.
    pub(crate) fn tells_no_peer(&self) -> bool {
        let (now, told) = (now_ms(), &self.no_peer_ms);
        let due = told.get() == 0 || now >= told.get() + 1000;
        if due {
            told.set(now);
        }
        due
    }

    /// Says the last of what was counted.
    pub(crate) fn stop(&self) {
        self.totals.tell(&self.stats);
    }

    /// Memory of an answer, for the next one. Empty.
    pub(crate) fn lend(&self) -> Vec<u8> {
        self.lent.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes it back.
    pub(crate) fn take_back(&self, memory: &mut Vec<u8>) {
        let mut memory = std::mem::take(memory);
        let lent = &mut *self.lent.borrow_mut();
        if lent.len() < LENT {
            memory.clear();
            lent.push(memory);
        }
    }

    /// An empty request, mostly with the memory of an earlier one.
    pub(crate) fn request(&self) -> Rc<RefCell<Request>> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }
}

/// What one worker counts: alone, so that no other waits for the same line of memory.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Stats {
    pub(crate) requests: Count,
    pub(crate) refused: Count,
    pub(crate) upstream_new: Count,
    pub(crate) upstream_reused: Count,
    pub(crate) upstream_retried: Count,
    /// Bytes of answers.
    pub(crate) spliced: Count,
    /// Answers by class of status: 1xx to 5xx.
    answers: [Count; 5],
}

/// Counted by one thread, read by all.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// One more. Not to be called by two threads.
    pub(crate) fn add(&self) {
        self.add_some(1);
    }

    /// So many more. As [`Count::add`].
    pub(crate) fn add_some(&self, n: u64) {
        self.0.store(self.0.load(Relaxed) + n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Stats {
    pub(crate) fn answered(&self, status: u16) {
        if let Some(n) = self.answers.get(usize::from(status / 100).wrapping_sub(1)) {
            n.add();
        }
    }

    /// Answers of a class, 1 to 5.
    pub(crate) fn of_class(&self, class: usize) -> u64 {
        self.answers[class - 1].get()
    }
}

/// The module's entry in `anyproxy ctl status`.
pub(crate) struct Status;

impl Action<Http> for Status {
    const NAME: &'static str = "";
    const DOC: &'static str = "Requests, answers by class, and connections to peers.";

    fn run(module: &Http, _: &str) -> Result<String, String> {
        let all = module.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |of: fn(&Stats) -> &Count| all.iter().map(|s| of(s).get()).sum::<u64>();
        let [a, b, c, d, e] = [1, 2, 3, 4, 5].map(|class| all.iter().map(|s| s.of_class(class)).sum::<u64>());
        Ok(format!(
            "{{\"requests\":{},\"refused\":{},\"1xx\":{a},\"2xx\":{b},\"3xx\":{c},\"4xx\":{d},\"5xx\":{e},\
             \"spliced_bytes\":{},\"upstream\":{{\"new\":{},\"reused\":{},\"retried\":{}}}}}",
            sum(|s| &s.requests),
            sum(|s| &s.refused),
            sum(|s| &s.spliced),
            sum(|s| &s.upstream_new),
            sum(|s| &s.upstream_reused),
            sum(|s| &s.upstream_retried),
        ))
    }
}
