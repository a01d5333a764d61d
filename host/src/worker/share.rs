//! Accepting without `reuseport`: one loop on the process's own thread, which hands connections round to the workers.

use super::{
    Worker,
    accept::{Held, PAUSE, begin, say_limit, shed_at_another},
    door::{Accepted, Door, is_clients_fault},
    seat::{Seat, seat},
};
use crate::{
    cycle::listener::Listener,
    process::process,
    services::rt::{self, TaskHandle},
};
use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// The process's loop is no worker, and has no sessions of its own.
const NOBODY: u32 = u32::MAX;

/// One accept loop for all workers, on the process's loop. Dropping it ends the loop as dropping
/// [`Accepting`](super::accept::Accepting) does.
#[derive(Debug)]
pub struct Sharing {
    /// What the serving generation says of the listener.
    plan: Rc<RefCell<Arc<Listener>>>,
    door: Rc<Door>,
    held: Held,
    task: TaskHandle,
}

impl Drop for Sharing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sharing {
    /// Without reuseport: accepts on the process's loop, which is one thread, and hands connections round.
    ///
    /// # Errors
    /// When the socket cannot be registered.
    pub fn start(listener: &Arc<Listener>, socket: socket2::Socket) -> io::Result<Self> {
        let door = Door::new(socket)?;
        door.defer(listener.options.defer_accept);
        let plan = Rc::new(RefCell::new(Arc::clone(listener)));
        let held = Held::default();
        let (seen, at, holds) = (Rc::clone(&plan), Rc::clone(&door), Rc::clone(&held));
        let task = rt::spawn(async move { share_loop(&seen, &at, &holds).await });
        Ok(Self { plan, door, held, task })
    }

    /// From now on this is what the listener is.
    pub fn switch_to(&self, listener: &Arc<Listener>) {
        self.door.defer(listener.options.defer_accept);
        *self.plan.borrow_mut() = Arc::clone(listener);
    }

    /// As `Accepting::drain`. To be called before the workers leave the generation that knows the listener.
    pub fn drain(self) {
        let (mut round, key) = (Round::default(), self.plan.borrow().key);
        self.door.drain(|accepted| drop(round.hand_on(key, accepted, Seat::force())));
        self.hand_over();
    }

    /// As `Accepting::hand_over`.
    pub fn hand_over(self) {
        self.task.abort();
        if let Some(accepted) = self.held.take() {
            drop(Round::default().hand_on(self.plan.borrow().key, accepted, Seat::force()));
        }
    }
}

async fn share_loop(plan: &RefCell<Arc<Listener>>, door: &Door, held: &RefCell<Option<Accepted>>) {
    let (mut round, mut turn) = (Round::default(), 0);
    loop {
        match door.accept().await {
            Ok(accepted) => {
                held.replace(Some(accepted));
                let seat = loop {
                    let place = seat(Some(&plan.borrow()));
                    match place {
                        Ok(seat) => break seat,
                        Err(limit) => {
                            shed_at_another(NOBODY, &mut turn, limit.of);
                            say_limit(limit, None);
                            rt::sleep(PAUSE).await;
                        }
                    }
                };
                if let Some(accepted) = held.take() {
                    let (key, limited) = {
                        let plan = plan.borrow();
                        (plan.key, plan.max_connections != 0)
                    };
                    let begun = round.hand_on(key, accepted, seat);
                    if limited {
                        // The listener's count is known once the worker has begun; one that has ended drops the word.
                        let _ = begun.await;
                    }
                }
            }
            Err(e) if is_clients_fault(&e) => {}
            Err(e) => {
                plan.borrow().stats.accept_errors.fetch_add(1, Relaxed);
                shed_at_another(NOBODY, &mut turn, None);
                if let Some(more) = process().error_log.once_a_second("accept") {
                    tracing::error!(more, "accept: {e}; accepting pauses");
                }
                rt::sleep(PAUSE).await;
            }
        }
    }
}

/// Whose turn it is.
#[derive(Debug, Default)]
struct Round(u32);

impl Round {
    /// Hands a connection to the next worker. The result ends when the session has begun there.
    fn hand_on(&mut self, listener: u64, accepted: Accepted, seat: Seat) -> tokio::sync::oneshot::Receiver<()> {
        let (tell, begun) = tokio::sync::oneshot::channel();
        self.0 = self.0.wrapping_add(1);
        let next = self.0 % crate::control::worker_count().max(1);
        let Some(mailbox) = crate::control::worker_mailbox(next) else { return begun };
        let begin_there = move |w: &Rc<Worker>| {
            begin(w, listener, accepted, seat);
            // Nobody listens for a listener without a limit.
            let _ = tell.send(());
        };
        // A worker that has ended drops the message, and with it the connection and its place.
        let _ = mailbox.send(Box::new(begin_there));
        begun
    }
}
