//! The thread that writes all logs of the process. It alone waits for disks; what it cannot write is counted and told once a
//! second in the error log.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::file::{LogFile, Target};
use super::queue::{Job, Lines, Queue};

/// Most bytes of lines that wait to be written.
pub const QUEUE: usize = 16 * 1024 * 1024;
/// What a writer that is dropped may take for its last lines.
const LAST: Duration = Duration::from_secs(5);
/// How often the loss of lines is told.
const REPORT: Duration = Duration::from_secs(1);

/// Called on the writer thread with the target, the number of lines lost since the last call, and the reason.
pub(super) type Report = Box<dyn Fn(&Target, u64, &str) + Send + Sync>;

/// The thread and the targets that are open. Dropping it stops it as [`Writer::stop`] does, within five seconds.
pub struct Writer {
    queue: Arc<Queue>,
    thread: Mutex<Option<(JoinHandle<()>, Receiver<()>)>>,
    targets: Mutex<HashMap<Target, Weak<Channel>>>,
    next: AtomicU64,
    report: Arc<OnceLock<Report>>,
}

/// One open target. Closed when the last user drops it and its lines are written.
pub(super) struct Channel {
    id: u64,
    pub(super) target: Target,
    lost: Arc<AtomicU64>,
    queue: Arc<Queue>,
}

impl Writer {
    /// Starts the thread with room for [`QUEUE`] bytes.
    pub fn start() -> io::Result<Arc<Self>> {
        Self::with_limit(QUEUE)
    }

    /// Starts the thread with room for `limit` bytes of lines.
    pub fn with_limit(limit: usize) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Queue::new(limit));
        let report = Arc::new(OnceLock::new());
        let mut work = Work { queue: queue.clone(), report: report.clone(), files: HashMap::new() };
        let (ends, ended) = sync_channel(1);
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || {
            // Dropped however it ends.
            let _ends: SyncSender<()> = ends;
            work.run();
        })?;
        Ok(Arc::new(Self {
            queue,
            thread: Mutex::new(Some((thread, ended))),
            targets: Mutex::default(),
            next: AtomicU64::new(0),
            report,
        }))
    }

    /// Opens the target, or joins those who write to it already: their lines never interleave.
    pub(super) fn channel(&self, target: Target) -> io::Result<Arc<Channel>> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = targets.get(&target).and_then(Weak::upgrade) {
            return Ok(channel);
        }
        let file = LogFile::open(target.clone())?;
        let lost = Arc::new(AtomicU64::new(0));
        let id = self.next.fetch_add(1, Relaxed);
        if !self.queue.job(Job::Open { id, file, lost: lost.clone() }) {
            return Err(io::Error::other("the log writer has stopped"));
        }
        let channel = Arc::new(Channel { id, target: target.clone(), lost, queue: self.queue.clone() });
        targets.retain(|_, channel| channel.strong_count() > 0);
        targets.insert(target, Arc::downgrade(&channel));
        Ok(channel)
    }

    /// Whether the target could be opened, as far as it is not open already. A file that is not there is not made.
    ///
    /// # Errors
    /// What opening it would say.
    pub fn check(&self, target: &Target) -> io::Result<()> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        // Who writes to it may have become somebody who could not open it.
        if targets.get(target).is_some_and(|channel| channel.strong_count() > 0) { Ok(()) } else { target.check() }
    }

    /// Whether the file of a target that is open is gone, and cannot be made again: lines go nowhere, and a restart would fail.
    ///
    /// # Errors
    /// What opening it would say.
    pub fn check_open(&self, target: &Target) -> io::Result<()> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = targets.get(target).is_some_and(|channel| channel.strong_count() > 0);
        drop(targets);
        match target {
            Target::File(path) if is_open && !path.exists() => target.check(),
            _ => Ok(()),
        }
    }

    /// Sets who is told of lost lines; the first one stays.
    pub(super) fn report_to(&self, report: Report) {
        let _ = self.report.set(report);
    }

    /// Opens all files by their names again; waits until that is done, and gives those that could not be opened, whose old
    /// files stay in use. An error: not done within `timeout`.
    pub fn reopen(&self, timeout: Duration) -> io::Result<Vec<(Target, io::Error)>> {
        let (answer, done) = sync_channel(1);
        self.queue.job(Job::Reopen(answer));
        done.recv_timeout(timeout).map_err(|_| io::ErrorKind::TimedOut.into())
    }

    /// Waits until everything handed over so far is written. False: not within `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        let (answer, done) = sync_channel(1);
        self.queue.job(Job::Flush(answer)) && done.recv_timeout(timeout).is_ok()
    }

    /// Writes everything that was handed over and ends the thread. Stop the workers first: lines that come later are lost.
    /// What is not written within `limit`, to a pipe that nobody reads, is left to the thread.
    pub fn stop(&self, limit: Duration) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last owner can be the thread itself, on its way out of a report.
        if let Some((thread, ended)) = thread.filter(|(thread, _)| thread.thread().id() != std::thread::current().id())
            && ended.recv_timeout(limit) != Err(RecvTimeoutError::Timeout)
        {
            // Its panic has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop(LAST);
    }
}

impl Channel {
    /// Hands lines over, never waiting. What finds no room is lost and counted. `force`: takes room that is not there.
    pub(super) fn send(&self, bytes: Vec<u8>, count: u64, force: bool) {
        if !self.queue.lines(Lines { id: self.id, bytes, count, report: false }, force) {
            self.lost.fetch_add(count, Relaxed);
        }
    }

    /// Hands over a line that tells of lost ones.
    pub(super) fn send_report(&self, bytes: Vec<u8>) {
        self.queue.lines(Lines { id: self.id, bytes, count: 1, report: true }, true);
    }

    /// An empty buffer for lines.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.queue.buffer()
    }

    /// Lines lost since the target was opened.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.queue.job(Job::Close(self.id));
    }
}

/// What the thread has.
struct Work {
    queue: Arc<Queue>,
    report: Arc<OnceLock<Report>>,
    files: HashMap<u64, Open>,
}

struct Open {
    file: LogFile,
    lost: Arc<AtomicU64>,
    told: u64,
    told_at: Option<Instant>,
    /// Of the last failed write. None: lines were lost because the queue was full.
    cause: Option<String>,
}

impl Work {
    fn run(&mut self) {
        let mut jobs = VecDeque::new();
        loop {
            let wait = self.tell(Instant::now(), false);
            if !self.queue.take(&mut jobs, wait) {
                break;
            }
            for job in jobs.drain(..) {
                self.job(job);
            }
        }
        // What was lost at the end is told as well.
        self.tell(Instant::now(), true);
        self.queue.take(&mut jobs, Some(Duration::ZERO));
        for job in jobs.drain(..) {
            self.job(job);
        }
    }

    fn job(&mut self, job: Job) {
        match job {
            Job::Open { id, file, lost } => {
                self.files.insert(id, Open { file, lost, told: 0, told_at: None, cause: None });
            }
            Job::Lines(lines) => self.lines(lines),
            Job::Close(id) => {
                if self.files.contains_key(&id) {
                    self.tell(Instant::now(), true);
                    self.files.remove(&id);
                }
            }
            Job::Reopen(answer) => {
                let failed = self.files.values_mut().filter_map(|open| {
                    let error = open.file.reopen().err()?;
                    Some((open.file.target().clone(), error))
                });
                let _ = answer.send(failed.collect());
            }
            Job::Flush(answer) => {
                let _ = answer.send(());
            }
        }
    }

    fn lines(&mut self, lines: Lines) {
        let Lines { id, bytes, count, report } = lines;
        // A channel closes behind its last lines.
        if let Some(open) = self.files.get_mut(&id) {
            if let Err(error) = open.file.follow(Instant::now())
                && let Some(tell) = self.report.get()
            {
                tell(open.file.target(), 0, &format!("cannot be opened again: {error}"));
            }
            match open.file.write(&bytes) {
                Ok(()) => {}
                Err(error) => {
                    let whole = bytes[..error.written].iter().filter(|&&byte| byte == b'\n').count() as u64;
                    if !report {
                        open.lost.fetch_add(count.saturating_sub(whole), Relaxed);
                    }
                    open.cause = Some(error.cause.to_string());
                }
            }
        }
        self.queue.done(bytes);
    }

    /// Tells of lost lines, each target at most once a second unless it is the `last` time. Gives how long to wait for the
    /// next time, when something is untold.
    fn tell(&mut self, now: Instant, last: bool) -> Option<Duration> {
        let mut wait = None;
        for open in self.files.values_mut() {
            let lost = open.lost.load(Relaxed);
            if lost == open.told {
                continue;
            }
            let since = open.told_at.map_or(REPORT, |at| now.saturating_duration_since(at));
            if since < REPORT && !last {
                let left = REPORT - since;
                wait = Some(wait.map_or(left, |wait: Duration| wait.min(left)));
                continue;
            }
            if let Some(tell) = self.report.get() {
                let cause = open.cause.take();
                tell(open.file.target(), lost - open.told, cause.as_deref().unwrap_or("the queue of the log is full"));
            }
            open.told = lost;
            open.told_at = Some(now);
        }
        wait
    }
}
