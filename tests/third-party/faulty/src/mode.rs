//! The ways to misbehave, and their words in the configuration.

use anyproxy_module_api::Str;

/// One way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// None: echoes, and allocates nothing for a read or a write.
    Echo,
    /// The handler panics at the first bytes.
    Panic,
    /// The handler's future panics when it is dropped.
    PanicDrop,
    /// A waker that the host calls panics at each piece.
    PanicWaker,
    /// `worker_stop` panics.
    PanicWorkerStop,
    /// `prepare` panics.
    PanicPrepare,
    /// `prepare` reports an error.
    ErrorPrepare,
    /// `prepare` takes half a second.
    SlowPrepare,
    /// Each piece blocks the worker for 50 ms.
    Block,
    /// Each worker and session holds a task, a timer and a job without end.
    Hold,
    /// A task keeps the session beyond its end, and looks at what it made in its slot before.
    KeepSlot,
    /// The same, and it makes that after the end.
    LateSlot,
    /// Once this is in force, `create` of the next generation panics.
    PanicCreate,
    /// `worker_start` panics on every worker but the first, which holds a task, a timer and a job without end.
    PanicWorkerStart,
    /// The same, after longer than anybody waits for a worker.
    LateWorkerStart,
}

/// The words, in the order of `Mode`.
pub(crate) const MODES: &[Str] = &[
    Str::new("echo"),
    Str::new("panic"),
    Str::new("panic_drop"),
    Str::new("panic_waker"),
    Str::new("panic_worker_stop"),
    Str::new("panic_prepare"),
    Str::new("error_prepare"),
    Str::new("slow_prepare"),
    Str::new("block"),
    Str::new("hold"),
    Str::new("keep_slot"),
    Str::new("late_slot"),
    Str::new("panic_create"),
    Str::new("panic_worker_start"),
    Str::new("late_worker_start"),
];

impl Mode {
    const ALL: [Self; 15] = [
        Self::Echo,
        Self::Panic,
        Self::PanicDrop,
        Self::PanicWaker,
        Self::PanicWorkerStop,
        Self::PanicPrepare,
        Self::ErrorPrepare,
        Self::SlowPrepare,
        Self::Block,
        Self::Hold,
        Self::KeepSlot,
        Self::LateSlot,
        Self::PanicCreate,
        Self::PanicWorkerStart,
        Self::LateWorkerStart,
    ];

    /// The n-th word's.
    pub(crate) fn of(n: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(n).ok()?).copied()
    }

    /// Its bit in a set.
    pub(crate) const fn bit(self) -> u32 {
        1 << self as u32
    }
}
