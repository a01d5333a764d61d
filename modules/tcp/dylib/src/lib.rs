//! The tcp module as a dynamic library.

anyproxy_module_api::export_module!(module::Tcp, crate = "anyproxy_tcp");
