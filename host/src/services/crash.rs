//! Says who was running when the process crashes: module, version, build and session, written by the signal handler
//! itself. Set before any module is loaded.

use super::current::current;
use std::fmt::Write as _;

/// Text without allocation: the handler may run in the middle of one.
struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl std::fmt::Write for Line {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        let n = s.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// Sets the handlers.
pub fn install() {
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGABRT, libc::SIGFPE] {
        // SAFETY: the handler only reads thread-locals without destructors and writes to a descriptor.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

extern "C" fn handler(signal: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let mut line = Line { bytes: [0; 512], len: 0 };
    let who = current();
    let _ = write!(line, "anyproxy: crash (signal {signal})");
    if let Some(cycle) = who.cycle().filter(|_| who.module != 0) {
        let image = &cycle.instance(who.module).image;
        let _ = write!(
            line,
            " in module {} {} (build {:016x}, rustc {})",
            image.facts.id, image.facts.version, image.hash, image.facts.rustc
        );
    } else {
        let _ = write!(line, " in the host");
    }
    if let Some(s) = who.session() {
        let _ = write!(line, ", session {}", s.shared.id);
    }
    let _ = line.write_str("\n");
    // SAFETY: plain write to standard error; the handler was reset, so raising again ends the process as usual.
    unsafe {
        libc::write(2, line.bytes.as_ptr().cast(), line.len);
        libc::raise(signal);
    }
}
