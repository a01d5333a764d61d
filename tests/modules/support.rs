//! Where modules of other people's making lie, and files made from them.

#![allow(dead_code, reason = "shared by two targets, each of which needs a part")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use harness::{Builder, Proxy, TempDir, eventually, skip};

/// The workspace of modules as other people write them.
pub(crate) fn third_party() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("third-party")
}

fn file_name(name: &str) -> String {
    format!("{}anyproxy_{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// The file of module `name`; without one the test is skipped. Of those that are built twice: version 1.
pub(crate) fn module(name: &str) -> Option<PathBuf> {
    if matches!(name, "swap" | "zone_counter" | "http_stamp") {
        return versions(name).map(|[one, _]| one);
    }
    built(name)
}

fn built(name: &str) -> Option<PathBuf> {
    let path = third_party().join("target/debug").join(file_name(name));
    if path.exists() {
        return Some(path);
    }
    skip(&format!("module {name} is not built: cargo +nightly build in tests/third-party"));
    None
}

/// A module of the product, beside the executable under test.
pub(crate) fn shipped(name: &str) -> PathBuf {
    harness::binary().with_file_name(file_name(name))
}

/// `swap` or `zone_counter` as versions 1 and 2; without a compiler for them the test is skipped.
pub(crate) fn versions(name: &str) -> Option<[PathBuf; 2]> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let plain = built(name)?;
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let paths = ["1", "2"].map(|n| third_party().join("target/versions").join(n).join(file_name(name)));
    let age = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    if paths.iter().all(|path| age(path) > age(&plain)) {
        return Some(paths);
    }
    // The second first: what is built last stays where everybody looks for it.
    for (path, version) in paths.iter().zip(["1", "2"]).rev() {
        if let Err(why) = build(&["-p", &name.replace('_', "-")], version) {
            skip(&format!("version {version} of {name} cannot be built: {why}"));
            return None;
        }
        fs::create_dir_all(path.parent().expect("a directory of its own")).expect("below target");
        // Written beside and renamed: another test process may do the same now.
        let beside = path.with_extension(format!("{}", std::process::id()));
        fs::copy(&plain, &beside).and_then(|_| fs::rename(&beside, path)).expect("below target");
    }
    Some(paths)
}

/// Builds these packages of the third parties as they would: by another compiler if there is one.
pub(crate) fn build(what: &[&str], version: &str) -> Result<(), String> {
    let nightly = Command::new("rustup").args(["toolchain", "list"]).output();
    let nightly = nightly.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("nightly"));
    let mut command = if nightly { Command::new("rustup") } else { Command::new("cargo") };
    if nightly {
        command.args(["run", "nightly", "cargo"]);
    }
    command.args(["build", "--offline", "--quiet"]).args(what).current_dir(third_party());
    // What cargo set for this test is not meant for another workspace.
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy().into_owned();
        if name.starts_with("CARGO_") && name != "CARGO_HOME" || name == "RUSTUP_TOOLCHAIN" || name == "RUSTFLAGS" {
            command.env_remove(key);
        }
    }
    command.env_remove("SWAP_VERSION").env("CARGO_TARGET_DIR", "target");
    if version != "1" {
        command.env("SWAP_VERSION", version);
    }
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Puts `with` in place of every `what` in a file's bytes; both have one length.
pub(crate) fn patched(path: &Path, what: &str, with: &str) -> Vec<u8> {
    assert_eq!(what.len(), with.len());
    let mut bytes = fs::read(path).expect("the module is there");
    let (what, with) = (what.as_bytes(), with.as_bytes());
    let mut at = 0;
    let mut count = 0;
    while let Some(n) = bytes[at..].windows(what.len()).position(|w| w == what) {
        bytes[at + n..at + n + what.len()].copy_from_slice(with);
        at += n + what.len();
        count += 1;
    }
    assert!(count > 0, "no {what:?} in {}", path.display());
    bytes
}

/// Writes a module's file that only its owner may write, whatever the umask.
pub(crate) fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.write(name, bytes);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("own file");
    path
}

/// A file takes another's place at once, as an installation does.
pub(crate) fn replace(path: &Path, with: &Path) {
    let beside = path.with_extension("new");
    fs::copy(with, &beside).and_then(|_| fs::rename(&beside, path)).expect("own directory");
}

/// Starts a builder whose configuration loads `module` by path; `@LOCAL@` in a local.
pub(crate) fn serving(module: &Path, local: &str) -> Builder {
    Proxy::builder().config(&text(&[module], &[local]))
}

/// A configuration that loads these modules and has a server for each of `locals`.
pub(crate) fn text(modules: &[&Path], locals: &[&str]) -> String {
    let load: String = modules.iter().map(|m| format!(" {:?}", m.display().to_string())).collect();
    let server = |local: &&str| format!("    server {{ port_listen_tcp \"127.0.0.1:0\"; local {{ {local}; }}; }}\n");
    let servers: String = locals.iter().map(server).collect();
    format!("load_module \"tcp\"{load}\ncommon {{ worker_threads 2; }}\nnet {{\n{servers}}}\n")
}

/// Sends `data` and reads as much back.
#[track_caller]
pub(crate) fn echo(mut stream: &TcpStream, data: &[u8]) {
    let mut back = vec![0; data.len()];
    stream.write_all(data).expect("write");
    stream.read_exact(&mut back).expect("an echo");
    assert_eq!(back, data);
}

/// Reads a line.
#[track_caller]
pub(crate) fn line(mut stream: &TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    loop {
        stream.read_exact(&mut byte).expect("a line");
        if byte == *b"\n" {
            return String::from_utf8(text).expect("text");
        }
        text.push(byte[0]);
    }
}

/// Waits until only the serving generation is left.
#[track_caller]
pub(crate) fn await_one_generation(proxy: &Proxy) {
    eventually("older generations have ended", || {
        proxy.status()["retired"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
}

/// What status counts of a module's faults.
pub(crate) fn faults(proxy: &Proxy, module: &str, what: &str) -> u64 {
    let status = proxy.status();
    let all = status["faults"].as_array().expect("a list");
    all.iter().find(|f| f["module"] == module).map_or(0, |f| f[what].as_u64().expect("a number"))
}
