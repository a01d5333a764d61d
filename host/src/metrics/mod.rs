//! Counters, gauges and histograms: registered when the configuration is committed, counted by each worker in cells of its
//! own, summed when somebody reads. Knows no metric by name; who registers one owns it.
//!
//! A series is a name with labels. Registering one that exists gives the same id and its value goes on, so a reload keeps
//! what it does not remove. A series goes when the last [`Owner`] that registered it goes.

mod cells;
mod histogram;
mod registry;
mod render;
#[cfg(test)]
mod tests;

pub use cells::{Near, Shared, Worker};
pub use histogram::{BUCKETS, Snapshot, bucket_of, upper_bound};
pub use registry::{Owner, RegisterError, Registry};

/// Most series of one process.
pub const MAX_SERIES: usize = 100_000;

/// A value that only grows. Valid while its owner lives; counting on one that is gone goes to whoever has its cell next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Counter(u32);

/// A value that rises and falls. Validity as for [`Counter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gauge(u32);

/// A distribution of values. Validity as for [`Counter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Histogram(u32);

impl Counter {
    /// The number of its cell.
    pub const fn cell(self) -> u32 {
        self.0
    }
}

impl Gauge {
    /// The number of its cell.
    pub const fn cell(self) -> u32 {
        self.0
    }
}

impl Histogram {
    /// The number of its first cell.
    pub const fn cell(self) -> u32 {
        self.0
    }

    /// The histogram whose first cell has this number. Of another number: it counts on what is there.
    pub const fn from_cell(cell: u32) -> Self {
        Self(cell)
    }
}

/// What is counted, and in which unit it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Unit {
    /// Things.
    #[default]
    None,
    /// Bytes.
    Bytes,
    /// Time: counted in whole microseconds, shown in seconds.
    Seconds,
}

impl Unit {
    /// The unit's word in listings; empty for things.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
        }
    }
}

/// What all series of one name have in common.
#[derive(Clone, Copy, Debug)]
pub struct Desc<'a> {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`, with the module's prefix and, by custom, the unit and `_total` at the end.
    pub name: &'a str,
    /// One sentence.
    pub help: &'a str,
    /// Unit of the values.
    pub unit: Unit,
}

/// The three kinds of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// See [`Counter`].
    Counter,
    /// See [`Gauge`].
    Gauge,
    /// See [`Histogram`].
    Histogram,
}

impl Kind {
    /// Its word in the Prometheus text format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}
