//! The process's start: configuration, sockets, pid file, privileges, workers, in this order.

use super::{
    Control, Options, channel, exit,
    long::Tasks,
    names::Names,
    publish,
    reload::{built, off_the_loop, prepared},
    socket,
    starting::{committed, mailboxes, note_bound, start_workers, started, take_back},
};
use crate::{
    cli::output::err,
    config::diagnostic::{Diagnostics, Style},
    cycle::{prepare::Failure, settings::Settings, sockopts},
    log,
    process::process,
    services::{buffers, dns, jobs, platform, priority},
    worker::WorkerHandle,
};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

impl Control {
    /// Reads, prepares and starts; the exit code when it cannot.
    pub(super) async fn start(options: Options) -> Result<Self, i32> {
        let built = match built(&options.config).await {
            Ok(b) => b,
            Err(d) => {
                report(&d);
                return Err(exit::CONFIG);
            }
        };
        if !built.warnings.is_empty() {
            report(&built.warnings);
        }
        let cycle = built.cycle;
        let settings = &cycle.settings;
        if let Err(e) = apply(settings) {
            err(format_args!("anyproxy: error_log: {e}\n"));
            return Err(exit::CONFIG);
        }
        let inherited = crate::upgrade::inherited(&options, &cycle).await.map_err(|e| {
            err(format_args!("anyproxy: {e}\n"));
            exit::RUNNING
        })?;
        let have = inherited.keys().copied().collect();
        let sources = built.warnings.sources().clone();
        // What it warns of is in the log.
        let (mut new, _) = match prepared(&cycle, sources, have, settings.worker_threads).await {
            Ok(s) => s,
            Err(Failure::Bind(text)) => {
                err(format_args!("anyproxy: {text}\n"));
                return Err(exit::BIND);
            }
            Err(Failure::Module(d)) => {
                report(&d);
                return Err(exit::CONFIG);
            }
        };
        let (names, control, workers) = match found_and_at_work(&options, settings).await {
            Ok(all) => all,
            Err(text) => {
                err(format_args!("anyproxy: {text}\n"));
                return Err(exit::RUNNING);
            }
        };
        publish(&workers);
        note_bound(&cycle, &inherited);
        note_bound(&cycle, new.sockets());
        let mailboxes = mailboxes(&workers);
        if let Err(e) = started(&mailboxes, &cycle).await {
            process().error_log.flush(Duration::from_secs(2));
            err(format_args!("anyproxy: {e}\n"));
            take_back(&mailboxes, cycle.epoch).await;
            drop(new);
            return Err(exit::RUNNING);
        }
        // Only now: until here the process that made them goes on with them if something fails.
        for what in sockopts::follow_inherited(&inherited, &cycle) {
            tracing::warn!("not applied: {what}");
        }
        let mut sockets = inherited;
        committed(&mut new).await;
        sockets.extend(new.keep());
        let mut me = Self {
            options,
            cycle: Arc::clone(&cycle),
            workers,
            leaving: Vec::new(),
            sockets,
            retired: HashMap::new(),
            shared_accepts: HashMap::new(),
            names,
            tasks: Tasks::default(),
            standing: built.standing,
            reloads: 0,
            failed_reloads: 0,
            last_error: None,
            quitting: None,
            stop_now: false,
            look_at: Instant::now(),
        };
        me.go_live(&cycle).await;
        me.names.serve(control);
        me.announce();
        me.warn_of_what_stays();
        crate::upgrade::taken_over(&me.options).await;
        crate::systemd::ready();
        Ok(me)
    }

    fn announce(&self) {
        let modules: Vec<_> = self.cycle.modules().map(|(_, i)| i.image.facts.id.clone()).collect();
        let listeners: Vec<_> = self
            .cycle
            .listeners
            .iter()
            .map(|l| self.sockets.get(&l.key).map_or_else(|| l.label.clone(), |b| b.address.clone()))
            .collect();
        tracing::info!(
            "anyproxy {} configuration {:016x}, modules {}, {} workers, listening on {}",
            env!("CARGO_PKG_VERSION"),
            self.cycle.hash,
            modules.join(" "),
            self.workers.len(),
            if listeners.is_empty() { "nothing".to_owned() } else { listeners.join(" ") },
        );
    }
}

/// Takes the names, becomes the user, starts the workers.
async fn found_and_at_work(
    options: &Options,
    settings: &Settings,
) -> Result<(Names, channel::Listener, Vec<WorkerHandle>), String> {
    // First: who is taken over is to be found until nothing can fail any more.
    crate::privileges::check(settings)?;
    // As who started it: the user that it becomes may not write there. Off the loop, as all that waits for files: a start that
    // is stuck hears who ends it.
    let (control, pid) = (socket::path(options, settings), settings.pid.clone());
    let taken = off_the_loop(move || Names::take(control, pid)).await;
    let (names, control) = taken.map_err(|e| e.to_string())??;
    crate::privileges::drop_to(settings)?;
    let workers = start_workers(settings).map_err(|e| format!("cannot start workers: {e}"))?;
    Ok((names, control, workers))
}

pub(super) fn report(diagnostics: &Diagnostics) {
    err(format_args!("{}", diagnostics.render(Style::of_stderr())));
}

pub(super) fn apply(settings: &Settings) -> std::io::Result<()> {
    let targets: Vec<_> = settings.error_log.iter().map(|(t, l)| (log::Target::new(t), *l)).collect();
    process().error_log.set_targets(&targets)?;
    process().error_log.set_module_levels(settings.log_level.iter().cloned());
    crate::services::log::refresh();
    buffers::set_limit(settings.memory_limit);
    dns::configure(&settings.resolver, settings.resolver_timeout);
    jobs::configure(settings.worker_threads_blocking, settings.worker_threads_compute);
    priority::allow_hurry();
    let files = platform::limit_open_files(settings.max_open_file_limit);
    if settings.max_open_file_limit > files {
        tracing::warn!(
            wanted = settings.max_open_file_limit,
            got = files,
            "max_open_file_limit: the system allows less"
        );
    }
    if let Some(bytes) = settings.memlock_rlimit
        && !platform::raise_locked_memory(bytes)
    {
        tracing::warn!(wanted = bytes, "memlock_rlimit: the system refused");
    }
    // A session that is passed on needs two descriptors; a few stay for files and logs.
    let by_files = u32::try_from((files.saturating_sub(64) / 2).max(1)).unwrap_or(u32::MAX);
    let max = if settings.max_connections == 0 { by_files } else { settings.max_connections };
    process().max_sessions.store(max, Relaxed);
    Ok(())
}
