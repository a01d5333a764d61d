//! The one table of the host's functions that every image gets.

use super::{
    buffers, contracts, current::current, datagram, dns, faults, file_watch, files, log, metrics, module_jobs, net,
    session, tasks, timers, udp, upstream, watch, zones,
};
use crate::worker;
use anyproxy_module_api::abi::{
    bytes::{Buf, Str},
    host::HostVtable,
    note::ABI_MINOR,
    task::{Closure, FfiContext, guard, host_primary},
};
use std::sync::atomic::AtomicU32;

/// Sessions of the process: a page that modules read.
pub static SESSIONS: AtomicU32 = AtomicU32::new(0);

/// The table; the same for all images, for as long as the process lives.
pub fn host_table() -> &'static HostVtable {
    static HOST: HostVtable = HostVtable {
        size: size_of::<HostVtable>(),
        abi_minor: ABI_MINOR as u32,
        reserved: 0,
        primary: std::ptr::from_ref(host_primary()),

        worker,
        workers,
        clock: timers::clock,
        intern: net::intern,

        log_level: &raw const log::LEVEL,
        log: log::log,

        buf,
        buf_wait,

        spawn: tasks::spawn,
        spawn_process: tasks::spawn_process,
        task_abort: tasks::task_abort,
        task_poll: tasks::task_poll,
        task_drop: tasks::task_drop,
        post,
        job: module_jobs::job,

        timer: timers::timer,
        timer_reset: timers::timer_reset,
        timer_poll: timers::timer_poll,
        timer_drop: timers::timer_drop,

        connect: net::connect_thunk,
        adopt: net::adopt,
        listen: net::listen,
        listener_accept: net::listener_accept,
        listener_addr: net::listener_addr,
        listener_drop: net::listener_drop,
        udp: udp::udp,
        udp_addr: udp::udp_addr,
        udp_segments: udp::udp_segments,
        udp_recv: udp::udp_recv,
        udp_send: udp::udp_send,
        udp_writable: udp::udp_writable,
        last_error: net::last_error,
        udp_drop: udp::udp_drop,
        watch: watch::watch,
        watch_poll: watch::watch_poll,
        watch_clear: watch::watch_clear,
        watch_drop: watch::watch_drop,

        resolve: dns::resolve_thunk,
        resolved: dns::resolved,
        resolved_drop: dns::resolved_drop,

        file_open: files::file_open,
        file_read: files::file_read,
        file_write: files::file_write,
        file_sync: files::file_sync,
        file_len: files::file_len,
        file_fd: files::file_fd,
        file_drop: files::file_drop,
        file_watch: file_watch::file_watch,
        file_watch_poll: file_watch::file_watch_poll,
        file_watch_drop: file_watch::file_watch_drop,

        metric: metrics::metric,
        metric_cell: metrics::metric_cell,
        metric_observe: metrics::metric_observe,

        zone: zones::zone,
        zone_drop: zones::zone_drop,

        publish: contracts::publish,
        shared: contracts::shared,
        contract: contracts::contract,

        session_retain: session::retain,
        session_release: session::release,
        session_domain: session::domain,
        session_set_domain: session::set_domain,
        session_request_id: session::request_id,
        session_set_request_id: session::set_request_id,
        session_stage: session::stage,
        session_slot: session::slot,
        session_set_slot: session::set_slot,
        session_render: session::render,
        session_variable: session::variable,
        session_place: session::place,
        exchange_begin: session::exchange_begin,
        exchange_route: session::exchange_route,
        exchange_hooks: session::exchange_hooks,
        exchange_end: session::exchange_end,
        session_renew: session::renew,
        session_accept: upstream::session_accept,

        connect_upstream: upstream::connect_upstream,
        lease_pick: upstream::lease_pick,
        lease_pick_now: upstream::lease_pick_now,
        lease_connect: upstream::lease_connect,
        lease_info: upstream::lease_info,
        lease_conf: upstream::lease_conf,
        lease_done: upstream::lease_done,
        relay: upstream::relay,

        datagram_send: datagram::datagram_send,
        epoch: datagram::epoch,
        sessions: &raw const SESSIONS,

        stopped: faults::stopped,
        defer: faults::defer,
        names,
        session_capture: session::capture,

        session_exchanges: session::exchanges,
        lease_peer: upstream::lease_peer,
        lease_instead: upstream::lease_instead,

        running: contracts::running,
        run_as: contracts::run_as,
    };
    &HOST
}

unsafe extern "C" fn worker() -> u32 {
    let of_generation = current().worker().map(|g| g.worker);
    of_generation.or_else(|| worker::here().map(|w| w.index)).unwrap_or(u32::MAX)
}

unsafe extern "C" fn workers() -> u32 {
    crate::control::worker_count()
}

unsafe extern "C" fn names(name: Str<'_>) -> bool {
    let who = current();
    guard(|| who.cycle().is_none_or(|cycle| cycle.names(name.as_str()))).unwrap_or(true)
}

unsafe extern "C" fn buf(size: usize) -> Buf {
    // Not guarded: it does not panic, and the buffer would be copied twice more for it.
    buffers::take(size)
}

unsafe extern "C" fn buf_wait(cx: &FfiContext<'_>) {
    guard(|| cx.with_context(|cx| buffers::wait(cx.waker())));
}

unsafe extern "C" fn post(to: u32, f: Closure) -> bool {
    let posted = move || {
        let who = current();
        let (Some(epoch), module) = (who.cycle().map(|c| c.epoch), who.module) else { return false };
        let Some(mailbox) = crate::control::worker_mailbox(to) else { return false };
        let message = move |w: &std::rc::Rc<worker::Worker>| {
            let generations = w.generations();
            // Ended here meanwhile: the function is only dropped.
            let Some(g) = generations.iter().find(|g| g.cycle.epoch == epoch && !g.has_ended()) else { return };
            let _who = super::current::enter(super::current::Current::on_worker(g, module));
            // Should it panic, its image says so.
            let _ = f.call();
        };
        mailbox.send(Box::new(message)).is_ok()
    };
    guard(posted).unwrap_or(false)
}
