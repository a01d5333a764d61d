//! The http module as a dynamic library.

anyproxy_module_api::export_module!(module::Http, crate = "anyproxy_http", provides = ["http" 1.0]);
