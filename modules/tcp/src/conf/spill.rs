//! Temporary files for the bytes of a side that is faster than the other.

use super::Conf;
use anyproxy_module_api::*;
use std::path::Path;

const MOST: i64 = 1 << 40;

directive! {
    /// Most bytes of a download that wait in a temporary file for a slow client, so that the peer is done early.
    /// The file is written in blocks of 64 KiB, off the worker's thread, and has no name. When it cannot be written (a
    /// full disk) the peer is slowed instead, which is logged and counted.
    "download_tmp_file_size", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "0: no file").required().bounds(0, MOST)])
    .default("0: the peer is slowed to the client's pace")
    .example("download_tmp_file_size \"64MiB\"")
}

directive! {
    /// When a download's temporary file was emptied and has grown to this size, its space is given back.
    "download_tmp_file_reopen_size", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "0: only at the session's end").required().bounds(0, MOST)])
    .default("0")
    .example("download_tmp_file_reopen_size \"32MiB\"")
}

directive! {
    /// Most bytes a second that a download writes to its temporary file.
    "download_tmp_file_rate", Contexts::MSL,
    .args(&[ArgDesc::new("rate", Kind::Rate, "0: no limit").required().bounds(0, MOST)])
    .default("no limit")
    .example("download_tmp_file_rate \"50MiB/s\"")
}

directive! {
    /// Most bytes of an upload that wait in a temporary file for a slow peer; as `download_tmp_file_size`.
    "upload_tmp_file_size", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "0: no file").required().bounds(0, MOST)])
    .default("0: the client is slowed to the peer's pace")
    .example("upload_tmp_file_size \"16MiB\"")
}

directive! {
    /// When an upload's temporary file was emptied and has grown to this size, its space is given back.
    "upload_tmp_file_reopen_size", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "0: only at the session's end").required().bounds(0, MOST)])
    .default("0")
    .example("upload_tmp_file_reopen_size \"8MiB\"")
}

directive! {
    /// Most bytes a second that an upload writes to its temporary file.
    "upload_tmp_file_rate", Contexts::MSL,
    .args(&[ArgDesc::new("rate", Kind::Rate, "0: no limit").required().bounds(0, MOST)])
    .default("no limit")
    .example("upload_tmp_file_rate \"50MiB/s\"")
}

directive! {
    /// Directory of temporary files. They are removed as soon as they are open. One that is not there is a mistake.
    "tmp_file_path", Contexts::MSL,
    .args(&[ArgDesc::new("dir", Kind::Path, "path").required()])
    .default("the system's directory for temporary files")
    .example("tmp_file_path \"tmp\"")
}

/// Bounds of one direction's temporary file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spill {
    /// Most bytes in it; 0: none is made.
    pub(crate) size: u64,
    /// Size from which an emptied file is made anew; 0: never.
    pub(crate) reopen_size: u64,
    /// Bytes a second written to it; 0: no limit.
    pub(crate) rate: u64,
}

/// Takes a directive of this file; false: it is another's. `parent`: of the block around, where all was looked at already.
pub(super) fn set(
    c: &mut Conf,
    parent: Option<&Conf>,
    name: &str,
    node: &Node<'_>,
    problems: &mut Problems<'_>,
) -> bool {
    let size = node.arg(0).map_or(0, Value::size);
    match name {
        "download_tmp_file_size" => c.download.spill.size = size,
        "download_tmp_file_reopen_size" => c.download.spill.reopen_size = size,
        "download_tmp_file_rate" => c.download.spill.rate = size,
        "upload_tmp_file_size" => c.upload.spill.size = size,
        "upload_tmp_file_reopen_size" => c.upload.spill.reopen_size = size,
        "upload_tmp_file_rate" => c.upload.spill.rate = size,
        "tmp_file_path" => {
            let Some(dir) = node.arg(0) else { return true };
            let path = dir.text.as_str();
            let is_inherited = parent.is_some_and(|p| p.tmp_path.as_deref() == Some(path));
            if !is_inherited && !Path::new(path).is_dir() {
                problems.error(&dir.span, &format!("{path} is no directory"), "");
            }
            c.tmp_path = Some(path.into());
        }
        _ => return false,
    }
    true
}
