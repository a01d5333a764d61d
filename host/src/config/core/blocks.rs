//! The blocks of the tree and what loads modules into it.

use anyproxy_module_api::abi::conf::{ArgDesc, Contexts, DirectiveDesc, Inherit, Kind};

pub(super) static TABLE: [DirectiveDesc; 9] = [
    DirectiveDesc::new(
        "load_module",
        "Loads modules, before anything else is read.\n\
         By id (`\"tcp\"`: the file `libanyproxy_tcp.so` beside the executable, then in `modules_path`), or by path when \
         the text contains a `/`. A file that others may write is refused.",
        Contexts::MAIN,
    )
    .args(&[ArgDesc::new("module", Kind::Text, "id or path").required().repeated()])
    .append()
    .inherit(Inherit::Never)
    .default("no module: the host alone knows no protocol")
    .example("load_module \"tcp\" \"balancer\""),
    DirectiveDesc::new("common", "Values of the whole process: threads, limits, files.", Contexts::MAIN)
        .append()
        .inherit(Inherit::Never)
        .default("every value has its default")
        .example("common { worker_threads 2; }"),
    DirectiveDesc::new(
        "socket",
        "Named socket profiles; modules say which kinds there are.",
        Contexts::MAIN,
    )
    .append()
    .inherit(Inherit::Never)
    .default("no profile")
    .example("socket {}"),
    DirectiveDesc::new(
        "upstream",
        "A named pool of peers, one `proxy_pass_…` each.\n\
         Without peers it answers that none is available; one that no local uses is a warning.",
        Contexts::MAIN,
    )
    .args(&[ArgDesc::new("name", Kind::Text, "what `proxy_pass_upstream` calls it; unique").required()])
    .append()
    .inherit(Inherit::Never)
    .default("no pool: peers may stand in a local")
    .example("upstream \"origin\" { balancer \"round_robin\"; }"),
    DirectiveDesc::new("tunnel", "Values of tunnels; modules say which.", Contexts::MAIN)
        .append()
        .inherit(Inherit::Never)
        .default("as the module says")
        .example("tunnel {}"),
    DirectiveDesc::new("ebpf", "Values of the kernel relay; modules say which.", Contexts::MAIN)
        .append()
        .inherit(Inherit::Never)
        .default("as the module says")
        .example("ebpf {}"),
    DirectiveDesc::new(
        "net",
        "A group of servers and the values that they inherit.",
        Contexts::MAIN,
    )
    .append()
    .inherit(Inherit::Never)
    .default("nothing is served")
    .example("net {}"),
    DirectiveDesc::new(
        "server",
        "One service: where it listens, which domains it answers for, and its locals.",
        Contexts::NET,
    )
    .append()
    .inherit(Inherit::Never)
    .default("nothing is served"),
    DirectiveDesc::new(
        "local",
        "What happens to a session that was chosen by rules.\n\
         Locals are tried in file order; one after a local without rules can never be reached and is an error.",
        Contexts::SERVER,
    )
    .args(&[ArgDesc::new("name", Kind::Text, "what status and metrics call it; absent: file and line").bounds(1, 128)])
    .append()
    .inherit(Inherit::Never)
    .default("sessions of the server are closed")
    .example("local { rule \"${domain}\" text=\"a.example\"; }"),
];
