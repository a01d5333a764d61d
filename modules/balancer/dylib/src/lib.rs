//! The balancer module as a dynamic library.

anyproxy_module_api::export_module!(module::Balancer, crate = "anyproxy_balancer");
