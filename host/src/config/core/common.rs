//! `common { … }`: values of the whole process.

use super::{COUNT, HOUR, MILLI, SECOND, TARGETS};
use anyproxy_module_api::abi::{
    bytes::Str,
    conf::{ArgDesc, Contexts, DirectiveDesc, Kind},
};

const fn common(name: &'static str, doc: &'static str) -> DirectiveDesc {
    DirectiveDesc::new(name, doc, Contexts::COMMON)
}

pub(super) static TABLE: [DirectiveDesc; 27] = [
    common("worker_threads", "Worker threads, each with an event loop of its own.")
        .args(&[ArgDesc::new("count", Kind::Int, "0: one a core, by the CPU quota of the control group")
            .required()
            .bounds(0, 1024)])
        .needs_reinit()
        .default("0")
        .example("worker_threads 4"),
    common("worker_threads_blocking", "Threads for files and name resolution.\nStarted when needed, ended when idle.")
        .args(&[ArgDesc::new("count", Kind::Int, "most of them").required().bounds(1, 4096)])
        .needs_reinit()
        .default("64")
        .example("worker_threads_blocking 32"),
    common(
        "worker_threads_compute",
        "Threads of low priority for long computations: compiling, compressing at high levels, RSA.",
    )
    .args(&[ArgDesc::new("count", Kind::Int, "0: one a core").required().bounds(0, 1024)])
    .needs_reinit()
    .default("0")
    .example("worker_threads_compute 2"),
    common(
        "cpu_affinity",
        "Binds each worker thread to a core of its own, where there are at least as many cores as workers.\n\
         For machines that do nothing else: beside other busy processes a bound worker waits for its core while another is idle.",
    )
        .args(&[ArgDesc::new("on", Kind::Bool, "whether it does").default("#true")])
        .needs_reinit()
        .default("#false")
        .example("cpu_affinity #true"),
    common(
        "reuseport",
        "One listening socket a worker, between which the kernel shares out connections.\n\
         Without it workers share one socket and accepted connections are handed round.",
    )
    .args(&[ArgDesc::new("on", Kind::Bool, "whether it does").default("#true")])
    .needs_restart()
    .default("#true on Linux, #false elsewhere")
    .example("reuseport #false"),
    common(
        "io_uring",
        "Has workers tell the kernel in batches what is to be received and sent, by io_uring: less work for small messages and new connections.\n\
         Where the kernel has none (Linux 6.1), or it is not allowed, as in many containers, readiness is waited for (epoll), and the log says so.",
    )
    .args(&[ArgDesc::new("on", Kind::Bool, "whether it does").default("#true")])
    .needs_reinit()
    .default("#true on Linux, #false elsewhere")
    .example("io_uring #false"),
    common("max_connections", "Sessions of the whole process at one time.\nAt the limit accepting pauses.")
        .args(&[ArgDesc::new("count", Kind::Int, "0: no limit").required().bounds(0, COUNT)])
        .default("0: what the limit of open files allows")
        .example("max_connections 100000"),
    common(
        "max_connections_per_client",
        "Sessions of one client address at one time.\nMore are closed at once and counted.",
    )
    .args(&[ArgDesc::new("count", Kind::Int, "0: no limit").required().bounds(0, COUNT)])
    .default("0")
    .example("max_connections_per_client 200"),
    common(
        "memory_limit",
        "Memory of the buffer pools together.\n\
         At the limit accepting pauses and idle connections go first.",
    )
    .args(&[ArgDesc::new("size", Kind::Size, "0: no limit").required()])
    .default("0")
    .example("memory_limit \"512MiB\""),
    common("shutdown_timeout", "How long sessions may go on after quit and reinit.\nThen they are closed.")
        .args(&[ArgDesc::new("time", Kind::Time, "0: closed at once").required().bounds(0, 24 * HOUR)])
        .default("30s")
        .example("shutdown_timeout \"1m\""),
    common("reload_timeout", "How long sessions may go on under the configuration that a reload replaced.")
        .args(&[ArgDesc::new("time", Kind::Time, "after it they are closed").required().bounds(SECOND, 30 * 24 * HOUR)])
        .default("a reload cuts no session")
        .example("reload_timeout \"12h\""),
    common("max_open_file_limit", "Open files to ask the system for, more or fewer than it gives by itself.\nRefused or lowered: a warning, not an error.")
        .args(&[ArgDesc::new("count", Kind::Int, "0: as many as the hard limit").required().bounds(0, 1 << 30)])
        .default("0")
        .example("max_open_file_limit 102400"),
    common("memlock_rlimit", "Locked memory to ask the system for.\nRefused or lowered: a warning, not an error.")
        .args(&[ArgDesc::new("size", Kind::Size, "bytes").required()])
        .needs_restart()
        .default("the process's limit as it is")
        .example("memlock_rlimit \"128MiB\""),
    common(
        "ipv6_only",
        "An IPv6 listening address takes IPv6 clients only.\nOff: `[::]` takes IPv4 clients too, as mapped addresses.",
    )
    .args(&[ArgDesc::new("on", Kind::Bool, "whether it does").default("#true")])
    .needs_restart()
    .default("#true")
    .example("ipv6_only #true"),
    common("pid", "File that holds the number of the process while it runs.")
        .args(&[ArgDesc::new("file", Kind::Path, "path").required()])
        .needs_restart()
        .default("no file")
        .example("pid \"logs/anyproxy.pid\""),
    common("control", "Unix socket (mode 0600) that `-s` and `ctl` speak to.")
        .args(&[ArgDesc::new("file", Kind::Path, "path").required()])
        .needs_restart()
        .default("`anyproxy.sock` beside the pid file; without one, beside the configuration")
        .example("control \"logs/anyproxy.sock\""),
    common("error_log", "Where the process says what happens to it.\nSeveral are written side by side.")
        .args(&[ArgDesc::new("file", Kind::Path, "file, `stderr` or `stdout`").required().choices(TARGETS)])
        .props(&[ArgDesc::new("level", Kind::Choice, "least important level written")
            .choices(&[Str::new("error"), Str::new("warn"), Str::new("info"), Str::new("debug"), Str::new("trace")])
            .default("info")])
        .append()
        .default("stderr, level info")
        .example("error_log \"logs/error.log\" level=\"warn\""),
    common("modules_path", "Directories where `load_module` by id looks, after the executable's own.")
        .args(&[ArgDesc::new("dir", Kind::Path, "path").required().repeated()])
        .append()
        .default("only the executable's directory")
        .example("modules_path \"/usr/lib/anyproxy\""),
    common("user", "User that the process becomes once its sockets are bound.")
        .args(&[ArgDesc::new("name", Kind::Text, "name or number").required()])
        .needs_restart()
        .default("the user that started it")
        .example("user \"nobody\""),
    common("group", "Group that the process becomes once its sockets are bound.")
        .args(&[ArgDesc::new("name", Kind::Text, "name or number").required()])
        .needs_restart()
        .default("the main group of `user`")
        .example("group \"nogroup\""),
    common("stop_signal", "What SIGTERM does.")
        .args(&[ArgDesc::new("how", Kind::Choice, "`graceful`: as quit; `now`: at once")
            .required()
            .choices(&[Str::new("now"), Str::new("graceful")])])
        .default("now; graceful when the process has number 1")
        .example("stop_signal \"graceful\""),
    common("resolver", "Name servers, asked in order.")
        .args(&[ArgDesc::new("address", Kind::Address, "`ip:port`, or `system`")
            .required()
            .repeated()
            .choices(&[Str::new("system")])])
        .default("system: what the machine is configured to ask")
        .example("resolver \"127.0.0.1:53\" \"[2001:db8::53]:53\""),
    common("resolver_timeout", "How long one resolution may take.")
        .args(&[ArgDesc::new("time", Kind::Time, "time").required().bounds(MILLI, 5 * 60 * SECOND)])
        .default("5s")
        .example("resolver_timeout \"2s\""),
    common(
        "preread_timeout",
        "How long a client may take over what is read before a server is chosen: headers in front of the stream, TLS \
         ClientHello, head of an HTTP request.\nThen it is closed, without any peer having been asked; where all servers of the \
         address have `http`, one that has begun is answered by that, in the time of `http_header_timeout`.",
    )
    .args(&[ArgDesc::new("time", Kind::Time, "time").required().bounds(MILLI, HOUR)])
    .default("10s")
    .example("preread_timeout \"5s\""),
    common(
        "watchdog",
        "A worker that does not return to its loop for so long is reported, with the module that it runs.",
    )
    .args(&[ArgDesc::new("time", Kind::Time, "0: off").required().bounds(0, HOUR)])
    .default("10s")
    .example("watchdog \"5s\""),
    common(
        "metrics_per_local",
        "Counts for each local what ended there, by class of status, its bytes and how long it took.\n\
         Nine series a local, of which a process has 100,000 in all; about 200 instructions a request.",
    )
    .args(&[ArgDesc::new("on", Kind::Bool, "whether it does").default("#true")])
    .default("#false: listeners, servers and peers are counted")
    .example("metrics_per_local"),
    common(
        "log_level",
        "Level of the error log for one module alone, more or less than its own.\n\
         A level set for one client holds over it.",
    )
    .args(&[
        ArgDesc::new("target", Kind::Text, "module's id, `host`, or the name of a library within a module").required(),
        ArgDesc::new("level", Kind::Choice, "least important level written").required().choices(&[
            Str::new("error"),
            Str::new("warn"),
            Str::new("info"),
            Str::new("debug"),
            Str::new("trace"),
        ]),
    ])
    .append()
    .default("the level of each error_log")
    .example("log_level \"tcp\" \"debug\""),
];
