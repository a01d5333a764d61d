//! Tasks, timers and jobs of a module end with their generation; until then status names the module that holds it.

use std::io::Write;

use harness::{Proxy, client, eventually};

use crate::support::{await_one_generation, echo, module, serving};

#[test]
fn is_named_and_ended() {
    let Some(faulty) = module("faulty") else { return };
    let proxy = serving(&faulty, "faulty \"hold\"").start();
    let addr = proxy.addr(0);
    // A worker without a session would end its part of the generation at once: the kernel deals the connections out.
    let mut streams = Vec::new();
    while sessions(&proxy).contains(&0) {
        assert!(streams.len() < 64, "{:?}", sessions(&proxy));
        streams.push(client::connect(addr));
        streams.iter().for_each(|s| echo(s, b"x"));
    }
    // A task and a job for each worker and each session.
    let all = streams.len() as u64 + 2;
    eventually("all are counted", || (held(&proxy, 1) == (all, all, 2 * all)).then_some(()));
    proxy.reload().assert(0, &[]);
    // Sessions go on, so what they hold does.
    assert_eq!(held(&proxy, 1), (all, all, 2 * all));
    assert_eq!(proxy.status()["retired"][0]["epoch"], 1);
    for stream in &streams {
        echo(stream, b"y");
    }
    drop(streams);
    await_one_generation(&proxy);
    assert_eq!(held(&proxy, 1), (0, 0, 0));
    eventually("the worker objects of the serving generation hold theirs", || {
        (held(&proxy, 2) == (2, 2, 4)).then_some(())
    });
    assert_eq!(proxy.status()["generation"]["panics"], 0);
}

#[test]
fn ends_when_only_cancelled_jobs_are_left() {
    let Some(faulty) = module("faulty") else { return };
    let mut proxy = serving(&faulty, "faulty \"hold\"").start();
    for _ in 0..3 {
        proxy.reload().assert(0, &[]);
    }
    await_one_generation(&proxy);
    proxy.send("reinit").assert(0, &[]);
    await_one_generation(&proxy);
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(b"x").expect("write");
    assert_eq!(client::read_exact(&stream, 1), b"x");
    drop(stream);
    proxy.send("quit").assert(0, &[]);
    assert_eq!(proxy.wait_exit(harness::LIMIT), Some(0));
}

/// Sessions on each worker.
fn sessions(proxy: &Proxy) -> Vec<u64> {
    let status = proxy.status();
    let workers = status["workers"].as_array().expect("a list").iter();
    workers.map(|w| w["sessions"].as_u64().expect("a number")).collect()
}

/// Tasks, jobs, and how many of both are under the module's name, of a generation on all workers.
fn held(proxy: &Proxy, epoch: u64) -> (u64, u64, u64) {
    let status = proxy.status();
    let mut sum = (0, 0, 0);
    for worker in status["workers"].as_array().expect("a list") {
        for g in worker["generations"].as_array().expect("a list").iter().filter(|g| g["epoch"] == epoch) {
            sum.0 += g["tasks"].as_u64().expect("a number");
            sum.1 += g["jobs"].as_u64().expect("a number");
            sum.2 += g["modules"]["faulty"].as_u64().unwrap_or(0);
        }
    }
    sum
}
