//! Which series exist, who owns them, and which cells they have.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cells::{Blocks, MAX_CELLS, Shared, Worker};
use super::histogram::{BUCKETS, CELLS, Snapshot};
use super::{Counter, Desc, Gauge, Histogram, Kind, MAX_SERIES, Unit};

/// All metrics of the process. Clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    blocks: Blocks,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) families: BTreeMap<Box<str>, Family>,
    series: usize,
    /// Cells in use or free; the next new one.
    end: u32,
    free_single: Vec<u32>,
    free_histogram: Vec<u32>,
}

/// All series of one name.
pub(super) struct Family {
    pub(super) kind: Kind,
    pub(super) help: Box<str>,
    pub(super) unit: Unit,
    pub(super) series: BTreeMap<Labels, Series>,
}

/// Sorted by name.
pub(super) type Labels = Box<[(Box<str>, Box<str>)]>;

pub(super) struct Series {
    pub(super) cell: u32,
    owners: usize,
}

/// Why a series cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterError {
    /// The name breaks the rule of [`Desc::name`].
    Name(String),
    /// A label's name breaks `[a-zA-Z_][a-zA-Z0-9_]*`, begins with `__`, is given twice, or is `le` on a histogram.
    Label(String),
    /// The name is there with another kind or unit.
    Conflict(String),
    /// The bound on series or cells is reached.
    Full,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?} cannot be the name of a metric"),
            Self::Label(name) => write!(f, "{name:?} cannot be a label of a metric here"),
            Self::Conflict(name) => {
                write!(f, "the metric {name:?} exists with another kind or unit")
            }
            Self::Full => write!(f, "there are {MAX_SERIES} metric series already, or their memory is used up"),
        }
    }
}

impl std::error::Error for RegisterError {}

impl Registry {
    /// Without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Something that owns series: the process, a listener, a peer, a generation.
    pub fn owner(&self) -> Owner {
        Owner { registry: self.clone(), owned: Mutex::default() }
    }

    /// Cells for one worker thread. Drop it when the thread ends, and the next worker goes on with its values.
    pub fn worker(&self) -> Worker {
        let state = self.state();
        Worker::new(self.inner.blocks.lease(state.end as usize))
    }

    /// Cells for all threads that are no workers.
    pub fn shared(&self) -> Shared {
        let state = self.state();
        Shared::new(self.inner.blocks.shared(state.end as usize))
    }

    /// The sum over all workers.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.inner.blocks.sum(counter.0)
    }

    /// The sum over all workers.
    pub fn gauge(&self, gauge: Gauge) -> i64 {
        self.inner.blocks.sum(gauge.0) as i64
    }

    /// The sums over all workers. Taken while they count, so count and sum may be a few values apart.
    pub fn histogram(&self, histogram: Histogram) -> Snapshot {
        self.snapshot(histogram.0)
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.state().series
    }

    /// True: there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn sum(&self, cell: u32) -> u64 {
        self.inner.blocks.sum(cell)
    }

    pub(super) fn snapshot(&self, cell: u32) -> Snapshot {
        let mut cells = [0; BUCKETS + 1];
        self.inner.blocks.sums(cell, &mut cells);
        let mut counts = [0; BUCKETS];
        counts.copy_from_slice(&cells[..BUCKETS]);
        Snapshot { counts, sum: cells[BUCKETS] }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, name: &str, labels: &Labels) {
        let mut state = self.state();
        let Some(family) = state.families.get_mut(name) else {
            return;
        };
        let Some(series) = family.series.get_mut(labels) else {
            return;
        };
        series.owners -= 1;
        if series.owners > 0 {
            return;
        }
        let (cell, kind) = (series.cell, family.kind);
        family.series.remove(labels);
        if family.series.is_empty() {
            state.families.remove(name);
        }
        state.series -= 1;
        match kind {
            Kind::Histogram => state.free_histogram.push(cell),
            _ => state.free_single.push(cell),
        }
    }
}

impl State {
    /// Cells for one series, zeroed and present in every block.
    fn cells(&mut self, kind: Kind, blocks: &Blocks) -> Option<u32> {
        let (free, count) = match kind {
            Kind::Histogram => (&mut self.free_histogram, CELLS),
            _ => (&mut self.free_single, 1),
        };
        if let Some(cell) = free.pop() {
            blocks.clear(cell, count);
            return Some(cell);
        }
        let cell = self.end.next_multiple_of(count);
        if (cell + count) as usize > MAX_CELLS {
            return None;
        }
        // What alignment skips is left to single cells.
        self.free_single.extend(self.end..cell);
        blocks.grow(self.end as usize, (cell + count) as usize);
        self.end = cell + count;
        Some(cell)
    }
}

/// Keeps the series that were registered through it. When it is dropped, those that nobody else registered too are
/// removed and their cells given to the next series; nothing may count on their ids any more.
pub struct Owner {
    registry: Registry,
    owned: Mutex<HashSet<(Box<str>, Labels)>>,
}

impl Owner {
    /// Registers a counter, or gives the id of the one that exists.
    pub fn counter(&self, desc: &Desc<'_>, labels: &[(&str, &str)]) -> Result<Counter, RegisterError> {
        self.register(Kind::Counter, desc, labels).map(Counter)
    }

    /// Registers a gauge, or gives the id of the one that exists.
    pub fn gauge(&self, desc: &Desc<'_>, labels: &[(&str, &str)]) -> Result<Gauge, RegisterError> {
        self.register(Kind::Gauge, desc, labels).map(Gauge)
    }

    /// Registers a histogram, or gives the id of the one that exists.
    pub fn histogram(&self, desc: &Desc<'_>, labels: &[(&str, &str)]) -> Result<Histogram, RegisterError> {
        self.register(Kind::Histogram, desc, labels).map(Histogram)
    }

    fn register(&self, kind: Kind, desc: &Desc<'_>, labels: &[(&str, &str)]) -> Result<u32, RegisterError> {
        if !is_name(desc.name, true) {
            return Err(RegisterError::Name(desc.name.to_owned()));
        }
        let labels = sorted(kind, labels)?;
        let mut state = self.registry.state();
        if let Some(family) = state.families.get_mut(desc.name) {
            if family.kind != kind || family.unit != desc.unit {
                return Err(RegisterError::Conflict(desc.name.to_owned()));
            }
            if let Some(series) = family.series.get_mut(&labels) {
                let cell = series.cell;
                if self.owned().insert((desc.name.into(), labels)) {
                    series.owners += 1;
                }
                return Ok(cell);
            }
        }
        if state.series >= MAX_SERIES {
            return Err(RegisterError::Full);
        }
        let cell = state.cells(kind, &self.registry.inner.blocks).ok_or(RegisterError::Full)?;
        state.series += 1;
        let family = state.families.entry(desc.name.into()).or_insert_with(|| Family {
            kind,
            help: desc.help.into(),
            unit: desc.unit,
            series: BTreeMap::new(),
        });
        family.series.insert(labels.clone(), Series { cell, owners: 1 });
        self.owned().insert((desc.name.into(), labels));
        Ok(cell)
    }

    fn owned(&self) -> MutexGuard<'_, HashSet<(Box<str>, Labels)>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let owned = std::mem::take(&mut *self.owned());
        for (name, labels) in owned {
            self.registry.release(&name, &labels);
        }
    }
}

fn sorted(kind: Kind, labels: &[(&str, &str)]) -> Result<Labels, RegisterError> {
    let mut sorted: Vec<(Box<str>, Box<str>)> =
        labels.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    sorted.sort();
    for (at, (name, _)) in sorted.iter().enumerate() {
        let twice = at > 0 && sorted[at - 1].0 == *name;
        let taken = kind == Kind::Histogram && &**name == "le";
        if twice || taken || !is_name(name, false) || name.starts_with("__") {
            return Err(RegisterError::Label(name.to_string()));
        }
    }
    Ok(sorted.into())
}

fn is_name(name: &str, colon: bool) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || (colon && byte == b':'))
}
