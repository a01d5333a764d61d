//! Temporary files for a slow side.

use super::{Pair, pattern, say};
use anyproxy_module_api::testing::{Block, FakeHost, ModuleUnderTest, WINDOW};

fn spill(size: &str) -> Pair {
    Pair::with_files([say("download_tmp_file_size", size)])
}

fn metric(p: &Pair, name: &str) -> u64 {
    p.module.host().metric(name, "").map_or(0, |m| m.value)
}

#[test]
fn a_fast_upstream_is_done_while_the_client_takes_nothing() {
    let mut p = spill("8MiB");
    let all = pattern(3 << 20);
    p.upstream.send(&all);
    p.upstream.finish();
    p.client().finish();
    p.go();
    assert_eq!(p.run.session.upstream_received.get(), 3 << 20);
    assert_eq!(p.client().waiting(), WINDOW);
    assert!(metric(&p, "spilled_bytes") > 2 << 20);
    assert!(p.module.host().memory_used() <= 5 * (65 << 10));
    assert!(p.module.action("", "").expect("status").contains("\"tmp_files\":1"));
    // It has no name.
    assert_eq!(std::fs::read_dir(p.module.host().dir()).expect("the directory is there").count(), 0);
    assert!(p.drain() == all);
    assert!(p.client().is_finished());
    assert!(p.run.result().expect("it ended").is_ok());
    assert_eq!(p.module.variable("buffer_cache", &p.run.session).as_deref(), Some("file"));
    assert!(p.module.action("", "").expect("status").contains("\"tmp_files\":0"));
    p.stop();
}

#[test]
fn the_file_is_bounded_and_its_ring_keeps_the_order() {
    let p = spill("256KiB");
    let all = pattern(4 << 20);
    p.upstream.send(&all);
    p.go();
    let read = p.run.session.upstream_received.get() as usize;
    // The window, the file, and at most four blocks in memory.
    assert!(read <= WINDOW + (256 << 10) + 4 * (65 << 10), "{read}");
    assert!(read > 256 << 10);
    // In pieces that are no multiple of anything.
    let mut got = Vec::new();
    p.client().window(9_999);
    loop {
        p.go();
        let more = p.client().received();
        if more.is_empty() {
            break;
        }
        got.extend(more);
    }
    assert!(got == all);
    p.stop();
}

#[test]
fn a_client_that_keeps_up_needs_no_file() {
    let p = spill("8MiB");
    let all = pattern(1 << 20);
    let mut got = Vec::new();
    for piece in all.chunks(10_000) {
        p.upstream.send(piece);
        p.go();
        got.extend(p.client().received());
    }
    assert!(got == all);
    assert_eq!(metric(&p, "spilled_bytes"), 0);
    assert_eq!(p.module.host().memory_used(), 0);
    p.stop();
}

#[test]
fn a_file_that_cannot_be_made_slows_the_upstream_and_is_told_once() {
    let host = FakeHost::new();
    // It was there when the configuration was read.
    let dir = host.dir().join("gone");
    std::fs::create_dir(&dir).expect("ours");
    let path = dir.to_str().expect("a plain name").to_owned();
    let block = Block::local().with(say("download_tmp_file_size", "8MiB")).with(say("tmp_file_path", path));
    let module = ModuleUnderTest::start_on(host, &[block]);
    std::fs::remove_dir(&dir).expect("ours");
    let p = Pair::of("shaped", module);
    let all = pattern(2 << 20);
    p.upstream.send(&all);
    p.go();
    assert!(p.run.session.upstream_received.get() <= (WINDOW + 4 * (65 << 10)) as u64);
    assert!(p.drain() == all);
    assert_eq!(metric(&p, "spill_errors"), 1);
    let warnings: Vec<_> = p.module.host().logged().into_iter().filter(|r| r.level == 2).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].message.contains("slowed instead"), "{warnings:?}");
    p.stop();
}

#[test]
fn an_emptied_file_that_grew_is_made_anew() {
    let p = Pair::with_files([say("download_tmp_file_size", "8MiB"), say("download_tmp_file_reopen_size", "512KiB")]);
    for _ in 0..3 {
        let all = pattern(2 << 20);
        p.upstream.send(&all);
        p.go();
        assert!(p.module.action("", "").expect("status").contains("\"tmp_files\":1"));
        assert!(p.drain() == all);
        assert!(p.module.action("", "").expect("status").contains("\"tmp_files\":0"));
    }
    p.stop();
}

#[test]
fn writing_keeps_its_rate() {
    let p = Pair::with_files([say("download_tmp_file_size", "64MiB"), say("download_tmp_file_rate", "640KiB/s")]);
    let all = pattern(4 << 20);
    p.upstream.send(&all);
    p.pass(2_000);
    let written = metric(&p, "spilled_bytes");
    assert!((1 << 20..=(1_280 << 10) + (128 << 10)).contains(&written), "{written}");
    let mut got = Vec::new();
    while got.len() < all.len() {
        p.pass(100);
        got.extend(p.client().received());
    }
    assert!(got == all);
    p.stop();
}

#[test]
fn the_worker_goes_on_while_the_disk_is_busy() {
    let p = spill("8MiB");
    p.module.host().hold_jobs(true);
    let all = pattern(1 << 20);
    p.upstream.send(&all);
    p.go();
    p.client().send(b"the other way");
    p.go();
    assert_eq!(p.upstream.received(), b"the other way");
    // The client takes what is in memory before the file was ever opened.
    assert!(p.drain().len() >= WINDOW);
    p.module.host().hold_jobs(false);
    p.stop();
}

#[test]
fn a_session_that_ends_meanwhile_leaves_no_file() {
    let p = spill("8MiB");
    p.module.host().hold_jobs(true);
    p.upstream.send(&pattern(1 << 20));
    p.go();
    p.run.abort();
    p.module.host().hold_jobs(false);
    p.go();
    assert_eq!(std::fs::read_dir(p.module.host().dir()).expect("the directory is there").count(), 0);
    p.stop();
}

#[test]
fn a_disk_that_fills_up_costs_no_byte() {
    let p = spill("8MiB");
    p.module.host().disk_room(300_000);
    let all = pattern(4 << 20);
    p.upstream.send(&all);
    p.go();
    // Four blocks found room.
    assert_eq!(metric(&p, "spilled_bytes"), 4 * 65_536);
    assert!(p.run.session.upstream_received.get() <= (WINDOW + 8 * (65 << 10)) as u64);
    assert!(p.drain() == all);
    assert_eq!(metric(&p, "spill_errors"), 1);
    let warnings: Vec<_> = p.module.host().logged().into_iter().filter(|r| r.level == 2).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    p.stop();
}
