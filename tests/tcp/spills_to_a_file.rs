//! A temporary file takes what a slow client does not, so that the server is done early: within its size, without a name,
//! and where the disk is full the server is slowed instead.

use std::process::Command;

use harness::{Origin, Proxy, client, eventually};

use crate::support::{field, local, logged, metric, settled};

const MIB: u64 = 1 << 20;

fn files(proxy: &Proxy) -> i64 {
    let status = proxy.status();
    let modules = status["modules"].as_array().expect("modules").clone();
    let tcp = modules.iter().find(|module| module["id"] == "tcp").expect("tcp");
    tcp["status"]["tmp_files"].as_i64().expect("a number")
}

/// Size of the open file that has no name any more.
fn file_size(proxy: &Proxy) -> u64 {
    let open = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("directory").flatten();
    let nameless = |path: &std::path::Path| {
        std::fs::read_link(path).is_ok_and(|to| to.starts_with("/tmp") && to.to_string_lossy().ends_with(" (deleted)"))
    };
    let sizes = open.map(|entry| entry.path()).filter(|path| nameless(path));
    sizes.filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum()
}

fn names(path: &std::path::Path) -> usize {
    std::fs::read_dir(path).expect("directory").count()
}

#[test]
fn the_server_is_done_before_the_client_reads() {
    let size = 64 * MIB;
    let origin = Origin::source(size);
    let text = "download_tmp_file_size \"128MiB\"\ntmp_file_path \"tmp\"\nproxy_pass_tcp \"@ORIGIN@\"";
    let builder = local(text).set("ORIGIN", origin.addr());
    let tmp = builder.dir().join("tmp");
    std::fs::create_dir(&tmp).expect("directory");
    let proxy = builder.start();
    let stream = client::connect(proxy.addr(0));
    stream.shutdown(std::net::Shutdown::Write).expect("half-close");
    eventually("all is sent", || (origin.sent() == size).then_some(()));
    origin.await_idle();
    assert_eq!(files(&proxy), 1);
    assert_eq!(names(&tmp), 0, "the file has no name");
    assert_eq!(client::receive_pattern(stream), size);
    let line = logged(&proxy, 0);
    assert_eq!(field(&line, "cache"), "file", "{line}");
    eventually("the file is gone", || (files(&proxy) == 0).then_some(()));
    assert!(metric(&proxy, "anyproxy_tcp_spilled_bytes") > 0);
}

#[test]
fn its_size_is_kept_to() {
    let size = 256 * MIB;
    let origin = Origin::source(size);
    let text = "download_tmp_file_size \"8MiB\"\nproxy_pass_tcp \"@ORIGIN@\"";
    let proxy = local(text).set("ORIGIN", origin.addr()).start();
    let stream = client::connect(proxy.addr(0));
    let sent = settled("the server stands still", || origin.sent());
    // What the sockets' buffers take comes on top.
    assert!(sent < 64 * MIB, "{sent} bytes");
    let file = file_size(&proxy);
    assert!((1..=8 * MIB).contains(&file), "{file} bytes in the file");
    assert_eq!(client::receive_pattern(stream), size);
}

#[test]
fn an_upload_spills_too() {
    let (origin, gate) = Origin::gated();
    let text = "upload_tmp_file_size \"64MiB\"\nproxy_pass_tcp \"@ORIGIN@\"";
    let proxy = local(text).set("ORIGIN", origin.addr()).start();
    let stream = client::connect(proxy.addr(0));
    let data = harness::pattern::bytes(32 << 20);
    // Blocking: it returns only because the proxy takes all of it.
    std::io::Write::write_all(&mut &stream, &data).expect("write");
    stream.shutdown(std::net::Shutdown::Write).expect("half-close");
    gate.open();
    assert_eq!(client::read_to_end(&stream), harness::origin::tcp::sink_answer(&data).as_bytes());
}

#[test]
fn a_full_disk_slows_the_server_instead() {
    let size = 64 * MIB;
    let origin = Origin::source(size);
    let text = "download_tmp_file_size \"128MiB\"\ntmp_file_path \"tmp\"\nproxy_pass_tcp \"@ORIGIN@\"";
    let builder = local(text).set("ORIGIN", origin.addr());
    let tmp = builder.dir().join("tmp");
    std::fs::create_dir(&tmp).expect("directory");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(&tmp).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return harness::skip("a small file system cannot be mounted here");
    }
    let _unmount = Unmount(tmp);
    let proxy = builder.start();
    let stream = client::connect(proxy.addr(0));
    let sent = settled("the server stands still", || origin.sent());
    assert!(sent < size, "{sent} bytes");
    assert_eq!(client::receive_pattern(stream), size);
    logged(&proxy, 0);
    assert!(metric(&proxy, "anyproxy_tcp_spill_errors") > 0);
    drop(proxy);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
