//! The websocket module as a dynamic library.

anyproxy_module_api::export_module!(module::WebSockets, crate = "anyproxy_websocket", requires = ["http" 1.0]);
