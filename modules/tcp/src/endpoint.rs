//! Where connections come from and go to: a listener and a connector that are plain sockets of the host, with the
//! options of the socket profile that their block names.

use anyproxy_module_api::{At, Connector, Listener, SocketOptions};

/// Both: the extension point `tcp`.
pub(crate) struct Tcp;

impl Listener<crate::Tcp> for Tcp {
    const NAME: &'static str = "tcp";

    fn options(at: At<'_, crate::Tcp>, options: &mut SocketOptions) {
        if let Some(conf) = at.try_conf() {
            conf.socket.listening(options);
        }
    }
}

impl Connector<crate::Tcp> for Tcp {
    const NAME: &'static str = "tcp";

    fn options(at: At<'_, crate::Tcp>, options: &mut SocketOptions) {
        if let Some(conf) = at.try_conf() {
            conf.socket.connecting(options);
        }
    }
}
