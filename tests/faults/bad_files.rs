//! Files that are no modules, or not for this host: one clear line before anything in them runs, exit 1, never a crash. In a
//! running process a reload refuses them and changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::{Proxy, client};

use crate::support::{build, module, patched, text, third_party, write};

/// `-t` refuses the file in one line that holds all of `texts`.
#[track_caller]
fn refused(name: &str, bytes: &[u8], mode: u32, texts: &[&str]) {
    let builder = Proxy::builder();
    let file = write(builder.dir(), "libanyproxy_bad.so", bytes);
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("own file");
    let output = builder.config(&text(&[&file], &["swap"])).check();
    assert_eq!(output.code, Some(1), "{name}: {}\n{}", output.reason, output.stderr);
    let about =
        output.stderr.lines().filter(|l| l.contains("libanyproxy_bad.so") || texts.iter().any(|t| l.contains(t)));
    assert!(about.count() >= 1, "{name}: {}", output.stderr);
    for t in texts {
        assert!(output.stderr.contains(t), "{name}: no {t:?} in\n{}", output.stderr);
    }
    for never in ["panicked", "crash", "unknown directive"] {
        assert!(!output.stderr.contains(never), "{name}: {never}\n{}", output.stderr);
    }
}

#[test]
fn one_clear_line_each() {
    let Some(swap) = module("swap") else { return };
    let good = fs::read(&swap).expect("built");
    refused("empty", b"", 0o755, &["is empty"]);
    refused("text", b"#!/bin/sh\necho no module\n", 0o755, &["is not a module"]);
    refused(
        "another ABI",
        &patched(&swap, "abi 1.0\n", "abi 9.0\n"),
        0o755,
        &["ABI 9.0 required, host offers 1.0", "rebuild"],
    );
    refused("a newer minor", &patched(&swap, "abi 1.0\n", "abi 1.9\n"), 0o755, &["ABI 1.9 required"]);
    refused("panic=abort", &patched(&swap, "\npanic unwind\n", "\npanic abort\n\0"), 0o755, &["panic=abort"]);
    refused("world-writable", &good, 0o757, &["written by others", "chmod o-w"]);
    refused("no header", &patched(&swap, ".note.anyproxy", ".note.anyother"), 0o755, &["no anyproxy header"]);
    let mut other = good.clone();
    // e_machine of an ELF header (System V ABI): EM_AARCH64, or EM_X86_64 where that is this one.
    let machine: u16 = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    other[18..20].copy_from_slice(&machine.to_le_bytes());
    refused("another architecture", &other, 0o755, &["is built for"]);
}

/// Not only by what its header says: the header says it where a module is built so.
#[test]
fn one_that_was_built_to_abort() {
    let Some(swap) = module("swap") else { return };
    if let Err(why) = build(&["-p", "swap", "--profile", "aborts"], "1") {
        return harness::skip(&format!("swap cannot be built with panic=abort: {why}"));
    }
    let built = third_party().join("target/aborts").join(swap.file_name().expect("a file"));
    refused("panic=abort", &fs::read(built).expect("built"), 0o755, &["panic=abort", "rebuild with panic=unwind"]);
}

/// Modules are copied before they are mapped; where is said when that fails.
#[test]
fn a_directory_for_copies_that_is_not_there_or_runs_nothing() {
    let config = text(&[], &[]);
    let dir = harness::TempDir::new();
    let check = |tmp: &std::path::Path| Proxy::builder().config(&config).env("TMPDIR", tmp).check();
    check(&dir.join("nowhere")).assert(1, &["cannot be copied to", "TMPDIR"]);
    let mounted =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "noexec", "none"]).arg(dir.path()).output();
    if !mounted.is_ok_and(|m| m.status.success()) {
        return harness::skip("no tmpfs can be mounted: not root, or not allowed");
    }
    let said = check(dir.path());
    let _ = std::process::Command::new("umount").arg(dir.path()).status();
    said.assert(1, &["noexec", "TMPDIR"]);
}

#[test]
fn cut_short_anywhere() {
    let Some(swap) = module("swap") else { return };
    let good = fs::read(&swap).expect("built");
    for percent in (5..=95).step_by(5) {
        refused(&format!("{percent} %"), &good[..good.len() * percent / 100], 0o755, &["cut short"]);
    }
    for len in [1, 4, 16, 63, 64, 65, 120] {
        refused(&format!("{len} bytes"), &good[..len], 0o755, &["libanyproxy_bad.so"]);
    }
}

#[test]
fn two_of_one_id() {
    let Some(swap) = module("swap") else { return };
    let builder = Proxy::builder();
    let mut bytes = fs::read(&swap).expect("built");
    bytes.push(0);
    let second = write(builder.dir(), "libanyproxy_second.so", &bytes);
    let output = builder.config(&text(&[&swap, &second], &["swap"])).check();
    output.assert(1, &["swap"]);
    assert!(output.stderr.contains("libanyproxy_second.so") || output.stderr.contains("main.kdl"), "{}", output.stderr);
}

#[test]
fn a_header_that_lies_about_its_code() {
    let Some(swap) = module("swap") else { return };
    let builder = Proxy::builder();
    let file = write(builder.dir(), "libanyproxy_bad.so", &patched(&swap, "\nid swap\n", "\nid spaw\n"));
    builder.config(&text(&[&file], &["swap"])).check().assert(1, &["spaw", "swap"]);
}

#[test]
fn a_reload_refuses_them_and_changes_nothing() {
    let Some(swap) = module("swap") else { return };
    let builder = Proxy::builder();
    let good = fs::read(&swap).expect("built");
    let file = write(builder.dir(), "libanyproxy_swap.so", &good);
    let mut proxy = builder.config(&text(&[&file], &["swap"])).start();
    let addr = proxy.addr(0);
    for bytes in [&good[..0], &good[..good.len() / 3], &patched(&swap, "abi 1.0\n", "abi 2.0\n")] {
        write(proxy.dir(), "libanyproxy_swap.so", bytes);
        proxy.reload().assert(1, &["libanyproxy_swap.so"]);
        assert_eq!(client::exchange(addr, b"x"), b"1\nx");
    }
    assert!(proxy.alive());
    assert_eq!(proxy.status()["failed_reloads"], 3);
}
