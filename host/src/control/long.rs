//! What takes long, one thing after another: a generation is built, prepared, started and committed off the loop, which meanwhile
//! hears whoever asks for the status or wants the process to end, whatever a file or a module does.

use super::{
    Control, Event,
    check::{For, checked},
    reload::{Built, Next, Started, built_next, off_the_loop},
    tell,
};
use crate::{config::diagnostic::Diagnostics, process::process, services::timers::within};
use serde_json::{Value, json};
use std::{collections::VecDeque, time::Duration};
use tokio::{sync::oneshot, task::JoinHandle};

/// What an operator hears.
pub(super) type Answer = Result<Value, String>;

/// So long the log's files may take to be opened again.
const REOPENING: Duration = Duration::from_secs(5);

/// So long the process's end waits for what is under way to be undone.
const GIVING_UP: Duration = Duration::from_secs(1);

/// Something that takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// The next generation; `reinit`: on new threads.
    Reload {
        reinit: bool,
    },
    Check,
}

/// What came of it, off the loop.
pub enum Done {
    /// A generation that may be started, or why there is none.
    Next(Result<Next, String>),
    /// One that may go live.
    Started(Result<Started, String>),
    /// What a check found.
    Checked(Result<Built, Diagnostics>),
}

/// Who asked. A signal hears no answer.
pub(super) struct Asker(Option<oneshot::Sender<Answer>>);

impl Asker {
    pub(super) const SIGNAL: Self = Self(None);

    pub(super) const fn new(hears: oneshot::Sender<Answer>) -> Self {
        Self(Some(hears))
    }

    /// Tells the answer; an error that nobody hears is logged.
    pub(super) fn tell(self, answer: Answer) {
        match (self.0, answer) {
            // Whoever asked may have gone.
            (Some(hears), answer) => drop(hears.send(answer)),
            (None, Err(e)) => tracing::error!("{e}"),
            (None, Ok(_)) => {}
        }
    }

    /// The same of what was logged already.
    fn tell_logged(self, answer: Answer) {
        if self.0.is_some() {
            self.tell(answer);
        }
    }
}

/// What is under way and what waits for it.
#[derive(Default)]
pub(super) struct Tasks {
    under_way: Option<(Task, Asker)>,
    /// What is done for it off the loop.
    work: Option<JoinHandle<()>>,
    waiting: VecDeque<(Task, Asker)>,
}

impl Tasks {
    fn spawn(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.work = Some(tokio::spawn(async move { tell(Event::Done(work.await)) }));
    }

    /// What is under way undoes itself once it finds that nobody goes on with it: waits for that, if it is soon.
    pub(super) async fn given_up(&mut self) {
        if let Some(work) = self.work.take() {
            within(GIVING_UP, work).await;
        }
    }
}

impl Control {
    /// Does it once everything before it is done.
    pub(super) fn later(&mut self, task: Task, asker: Asker) {
        // As the system joins signals that were not heard yet.
        let is_there = |(t, a): &(Task, Asker)| *t == task && a.0.is_none();
        if asker.0.is_some() || !self.tasks.waiting.iter().any(is_there) {
            self.tasks.waiting.push_back((task, asker));
        }
        self.begin_next();
    }

    fn begin_next(&mut self) {
        if self.tasks.under_way.is_some() {
            return;
        }
        let Some((task, asker)) = self.tasks.waiting.pop_front() else { return };
        if task != Task::Check && self.quitting.is_some() {
            let refused = self.note_reload(Err("the process is ending".to_owned()));
            asker.tell_logged(refused);
            return self.begin_next();
        }
        self.tasks.under_way = Some((task, asker));
        match task {
            Task::Check => {
                let options = self.options.clone();
                let reload = For::Reload { listens: !self.sockets.is_empty() };
                self.tasks.spawn(async move { Done::Checked(checked(&options, reload).await) });
            }
            Task::Reload { reinit } => {
                crate::systemd::reloading();
                let config = self.options.config.clone();
                let have = self.sockets.keys().copied().collect();
                let workers = (!reinit).then_some(self.workers.len());
                self.tasks.spawn(async move { Done::Next(built_next(&config, have, workers).await) });
            }
        }
    }

    /// Goes on with what was done off the loop.
    pub(super) async fn done(&mut self, done: Done) {
        let Some((task, asker)) = self.tasks.under_way.take() else { return };
        let reinit = task == Task::Reload { reinit: true };
        match done {
            Done::Checked(found) => asker.tell(self.compared(found)),
            Done::Next(next) => match next.and_then(|next| self.starting(next, reinit)) {
                Ok(starting) => {
                    self.tasks.under_way = Some((task, asker));
                    return self.tasks.spawn(async move { Done::Started(starting.await) });
                }
                Err(e) => self.reloaded(Err(e), reinit, asker),
            },
            Done::Started(Ok(started)) => {
                let result = self.switch(started, reinit).await;
                self.reloaded(result, reinit, asker);
            }
            Done::Started(Err(e)) => self.reloaded(Err(e), reinit, asker),
        }
        self.begin_next();
    }

    fn reloaded(&mut self, result: Answer, reinit: bool, asker: Asker) {
        if self.quitting.is_none() {
            crate::systemd::ready();
        }
        let result = self.note_reload(result);
        if reinit && result.is_ok() {
            tokio::spawn(async move { asker.tell(reopened().await.and(result)) });
        } else {
            asker.tell_logged(result);
        }
    }
}

/// Opens the log's files again, off the loop: where one stands still that is waited for.
pub(super) async fn reopened() -> Answer {
    let reopen = || process().writer.reopen(REOPENING);
    match off_the_loop(reopen).await.map_err(|e| e.to_string())? {
        Ok(failed) if failed.is_empty() => Ok(json!({ "reopened": true })),
        Ok(failed) => Err(failed.iter().map(|(t, e)| format!("{t}: {e}")).collect::<Vec<_>>().join("; ")),
        Err(e) => Err(format!("the log files are not reopened yet, something is slow to be written: {e}")),
    }
}
