//! Standard output and error as a command writes them. Whoever reads may have gone (`anyproxy ctl status | head -1`): that
//! is no fault, and what is left is not written. Knows nothing of logs.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Writes to standard output. What cannot be written is told on standard error, unless the reader has gone.
pub fn out(text: impl Display) {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => err(format_args!("anyproxy: standard output: {e}\n")),
        _ => {}
    }
}

/// Writes to standard error. When that fails there is nobody to tell.
pub fn err(text: impl Display) {
    let _ = write!(io::stderr().lock(), "{text}");
}
