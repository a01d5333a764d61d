//! Whose failure it is that no connection comes about. Knows errors only.

use anyproxy_module_api::abi::error::{Error, ErrorKind};

/// What this proxy is short of: descriptors, memory, ports of its own, or the address that it is to connect from.
#[cfg(unix)]
const SHORTAGES: [i32; 6] =
    [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EADDRNOTAVAIL, libc::EADDRINUSE];
/// As above, as Winsock numbers them.
#[cfg(not(unix))]
const SHORTAGES: [i32; 4] = [10024, 10055, 10049, 10048];

/// Whether a connect that failed so says anything of the peer: what this proxy lacks, forbids or has given up does not.
pub(super) fn is_peers(e: &Error) -> bool {
    !matches!(e.kind, ErrorKind::Limit | ErrorKind::Cancelled | ErrorKind::Panicked) && !SHORTAGES.contains(&e.os)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_shortage_is_the_proxys_and_a_refusal_the_peers() {
        for os in SHORTAGES {
            assert!(!is_peers(&io::Error::from_raw_os_error(os).into()), "{os}");
        }
        for kind in [ErrorKind::Limit, ErrorKind::Cancelled, ErrorKind::Panicked] {
            assert!(!is_peers(&Error::bare(kind)), "{kind:?}");
        }
        for kind in [ErrorKind::Refused, ErrorKind::TimedOut, ErrorKind::Unreachable, ErrorKind::Reset] {
            assert!(is_peers(&Error::bare(kind)), "{kind:?}");
        }
        assert!(is_peers(&io::Error::from_raw_os_error(libc::ECONNREFUSED).into()));
        assert!(is_peers(&io::Error::from_raw_os_error(libc::ENETUNREACH).into()));
    }
}
