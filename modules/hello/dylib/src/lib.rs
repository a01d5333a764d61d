//! The hello module as a dynamic library.

anyproxy_module_api::export_module!(module::Hello, crate = "anyproxy_hello");
