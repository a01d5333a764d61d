//! Workers as status shows them.

use serde_json::{Map, Value, json};

/// What is said of a worker as such.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Among all ever started.
    pub id: u32,
    /// Among those at work.
    pub index: u32,
    /// It goes by io_uring.
    pub ringed: bool,
    /// How many it has.
    pub sessions: usize,
    /// It accepts nothing: a limit is reached.
    pub paused: bool,
}

/// A worker that did not answer: a module holds it up, or it ends.
pub fn silent(id: u32, index: u32) -> Value {
    json!({"worker": id, "index": index, "stuck": true})
}

/// A worker, and what holds each generation there, with the generation's epoch and whether it is retired.
pub fn worker(worker: &Row, generations: &[(u32, bool, Holding)]) -> Value {
    let generations: Vec<Value> = generations
        .iter()
        .map(|(epoch, retired, h)| {
            let modules: Map<String, Value> = h.by_module.iter().map(|(id, n)| (id.clone(), (*n).into())).collect();
            json!({
                "epoch": epoch,
                "retired": retired,
                "sessions": h.sessions,
                "tasks": h.tasks,
                "jobs": h.jobs,
                "modules": modules,
            })
        })
        .collect();
    json!({
        "worker": worker.id,
        "index": worker.index,
        "io_uring": worker.ringed,
        "sessions": worker.sessions,
        "accepting_paused": worker.paused,
        "generations": generations,
    })
}

/// What holds a generation on one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Sessions.
    pub sessions: u32,
    /// Tasks of modules.
    pub tasks: usize,
    /// Jobs under way.
    pub jobs: u32,
    /// Modules whose tasks and jobs these are, with their number.
    pub by_module: Vec<(String, usize)>,
}
