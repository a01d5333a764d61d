//! Starts the proxy on ports of the system's choice, with origins behind it and clients before it, and takes all of it
//! down again. Knows the command line, the control socket and the notify protocol; knows nothing of a protocol module.
//!
//! Plain threads and blocking sockets, so that a test reads from top to bottom:
//!
//! ```no_run
//! use harness::{Origin, Proxy, client};
//!
//! let origin = Origin::echo();
//! let proxy = Proxy::builder()
//!     .config(r#"
//!         load_module "tcp"
//!         net { server { port_listen_tcp "127.0.0.1:0"; local { proxy_pass_tcp "@ORIGIN@"; } } }
//!     "#)
//!     .set("ORIGIN", origin.addr())
//!     .start();
//! assert_eq!(client::exchange(proxy.addr(0), b"hello"), b"hello");
//! ```
//!
//! Every wait has a limit ([`LIMIT`] where none is given) and ends with a panic that says what did not happen; the
//! proxy's log is printed when a test fails. Nothing listens beyond loopback.

pub mod client;
pub mod origin;
pub mod pattern;

mod builder;
mod control;
mod notify;
mod procfs;
mod proxy;
mod skip;
mod temp;
mod wait;

pub use control::ControlError;
pub use origin::{Deaf, Dns, Gate, Nginx, Origin, SniRecorder, UdpEcho, UnixEcho};
pub use proxy::{Builder, Output, Proxy, binary, check, command};
pub use skip::{program, skip};
pub use temp::TempDir;
pub use wait::{LIMIT, eventually, within};
