//! The numbers themselves. Each worker has a block of its own and is its only writer, so counting is a load and a store
//! without any locked instruction; a reader adds the blocks up.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::histogram::{SUM, bucket_of};
use super::{Counter, Gauge, Histogram};

/// Cells of a chunk.
const CHUNK: usize = 1024;
/// Chunks of a block. All together bound the memory that metrics can take: 32 MiB a worker.
const CHUNKS: usize = 4096;
/// Most cells.
pub(super) const MAX_CELLS: usize = CHUNK * CHUNKS;

/// On a cache line boundary, so that no line belongs to two workers.
#[repr(align(64))]
struct Chunk([AtomicU64; CHUNK]);

/// The cells of one writer. Chunks are added before the ids in them are handed out.
pub(super) struct Block {
    chunks: Box<[OnceLock<Box<Chunk>>]>,
    leased: AtomicBool,
}

impl Block {
    fn new() -> Self {
        Self { chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(), leased: AtomicBool::new(false) }
    }

    /// The cell. None: this id was never handed out.
    fn cell(&self, index: u32) -> Option<&AtomicU64> {
        let index = index as usize;
        self.chunks.get(index / CHUNK)?.get().map(|chunk| &chunk.0[index % CHUNK])
    }

    fn chunk(&self, number: usize) -> Option<&Chunk> {
        self.chunks.get(number)?.get().map(|chunk| &**chunk)
    }
}

/// All blocks of the process.
#[derive(Default)]
pub(super) struct Blocks {
    blocks: Mutex<Vec<Arc<Block>>>,
    shared: OnceLock<Arc<Block>>,
}

impl Blocks {
    /// A block for one writer: one that was given back when there is one.
    pub(super) fn lease(&self, cells: usize) -> Arc<Block> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        // Acquire pairs with the release of the writer before: its last counts must be seen, or the next store drops them.
        if let Some(free) = blocks.iter().find(|block| !block.leased.swap(true, Acquire)) {
            return free.clone();
        }
        let block = Arc::new(Block::new());
        block.leased.store(true, Relaxed);
        grow(&block, cells);
        blocks.push(block.clone());
        block
    }

    /// The block that any thread may write.
    pub(super) fn shared(&self, cells: usize) -> Arc<Block> {
        let block = self.shared.get_or_init(|| Arc::new(Block::new()));
        grow(block, cells);
        block.clone()
    }

    /// Makes cells below `cells` exist in every block; those below `have` do.
    pub(super) fn grow(&self, have: usize, cells: usize) {
        if have.div_ceil(CHUNK) < cells.div_ceil(CHUNK) {
            self.for_each(|block| grow(block, cells));
        }
    }

    /// Sum of one cell over all blocks, wrapping.
    pub(super) fn sum(&self, index: u32) -> u64 {
        let mut sum = 0u64;
        self.for_each(|block| sum = sum.wrapping_add(block.cell(index).map_or(0, |cell| cell.load(Relaxed))));
        sum
    }

    /// Sums of `out.len()` cells from `index` on.
    pub(super) fn sums(&self, index: u32, out: &mut [u64]) {
        out.fill(0);
        self.for_each(|block| {
            for (offset, sum) in out.iter_mut().enumerate() {
                let cell = block.cell(index + offset as u32);
                *sum = sum.wrapping_add(cell.map_or(0, |cell| cell.load(Relaxed)));
            }
        });
    }

    /// Sets cells to zero, for the next series.
    pub(super) fn clear(&self, index: u32, count: u32) {
        self.for_each(|block| {
            for cell in (index..index + count).filter_map(|index| block.cell(index)) {
                cell.store(0, Relaxed);
            }
        });
    }

    fn for_each(&self, mut each: impl FnMut(&Block)) {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().chain(self.shared.get()).for_each(|block| each(block));
    }
}

fn grow(block: &Block, cells: usize) {
    for chunk in block.chunks.iter().take(cells.div_ceil(CHUNK)) {
        chunk.get_or_init(|| Box::new(Chunk([const { AtomicU64::new(0) }; CHUNK])));
    }
}

/// Counts for one thread. Given back when dropped, values included, and taken over by the next worker.
pub struct Worker {
    block: Arc<Block>,
    /// Two threads with one block would lose counts: it may move to its thread, and not be shared.
    one_thread: PhantomData<Cell<()>>,
}

impl Worker {
    pub(super) fn new(block: Arc<Block>) -> Self {
        Self { block, one_thread: PhantomData }
    }

    /// Adds to a counter.
    pub fn add(&self, counter: Counter, n: u64) {
        self.near(counter).add(counter, n);
    }

    /// To count on several that were registered together: those in one chunk are found by one look.
    #[inline]
    pub fn near(&self, counter: Counter) -> Near<'_> {
        let number = counter.0 as usize / CHUNK;
        Near { block: &self.block, number, chunk: self.block.chunk(number) }
    }

    /// Adds to this worker's share of a gauge; may be negative.
    pub fn shift(&self, gauge: Gauge, by: i64) {
        self.bump(gauge.0, by as u64);
    }

    /// Sets this worker's share of a gauge. Reading sums all shares.
    pub fn set(&self, gauge: Gauge, value: i64) {
        if let Some(cell) = self.block.cell(gauge.0) {
            cell.store(value as u64, Relaxed);
        }
    }

    /// Counts one value: microseconds for times.
    pub fn observe(&self, histogram: Histogram, value: u64) {
        self.near(Counter(histogram.0)).observe(histogram, value);
    }

    /// A cell by number: it stays where it is as long as the process lives.
    pub fn cell(&self, index: u32) -> Option<&AtomicU64> {
        self.block.cell(index)
    }

    fn bump(&self, index: u32, n: u64) {
        if let Some(cell) = self.block.cell(index) {
            bump(cell, n);
        }
    }
}

/// Counts for one thread, around one place.
pub struct Near<'a> {
    block: &'a Block,
    number: usize,
    chunk: Option<&'a Chunk>,
}

impl Near<'_> {
    /// As [`Worker::add`].
    #[inline]
    pub fn add(&mut self, counter: Counter, n: u64) {
        if let Some(chunk) = self.of(counter.0) {
            bump(&chunk.0[counter.0 as usize % CHUNK], n);
        }
    }

    /// As [`Worker::observe`].
    #[inline]
    pub fn observe(&mut self, histogram: Histogram, value: u64) {
        // Its cells never lie in two chunks.
        if let Some(chunk) = self.of(histogram.0) {
            let at = histogram.0 as usize % CHUNK;
            bump(&chunk.0[(at + bucket_of(value)) % CHUNK], 1);
            bump(&chunk.0[(at + SUM as usize) % CHUNK], value);
        }
    }

    #[inline]
    fn of(&mut self, index: u32) -> Option<&Chunk> {
        let number = index as usize / CHUNK;
        if number != self.number {
            (self.number, self.chunk) = (number, self.block.chunk(number));
        }
        self.chunk
    }
}

/// By the cell's only writer.
#[inline]
fn bump(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.block.leased.store(false, Release);
    }
}

/// Counts for threads that have no block of their own (pools, control). Costs a locked instruction each.
#[derive(Clone)]
pub struct Shared {
    block: Arc<Block>,
}

impl Shared {
    pub(super) fn new(block: Arc<Block>) -> Self {
        Self { block }
    }

    /// As [`Worker::add`].
    pub fn add(&self, counter: Counter, n: u64) {
        self.bump(counter.0, n);
    }

    /// As [`Worker::shift`].
    pub fn shift(&self, gauge: Gauge, by: i64) {
        self.bump(gauge.0, by as u64);
    }

    /// Sets the share of all threads without a block.
    pub fn set(&self, gauge: Gauge, value: i64) {
        if let Some(cell) = self.block.cell(gauge.0) {
            cell.store(value as u64, Relaxed);
        }
    }

    /// As [`Worker::observe`].
    pub fn observe(&self, histogram: Histogram, value: u64) {
        self.bump(histogram.0 + bucket_of(value) as u32, 1);
        self.bump(histogram.0 + SUM, value);
    }

    fn bump(&self, index: u32, n: u64) {
        if let Some(cell) = self.block.cell(index) {
            cell.fetch_add(n, Relaxed);
        }
    }
}
