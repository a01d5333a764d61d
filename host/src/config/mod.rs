//! Reads a configuration: text → document → typed tree. Has no side effects beyond reading files.

pub mod diagnostic;
pub mod document;
pub mod include;
pub mod reader;

#[cfg(test)]
mod testing;

mod build;
pub mod core;
pub mod directives;
pub mod dump;
mod inherit;
mod load;
pub mod schema;
pub mod tree;
mod typed;
mod validate;

pub use anyproxy_module_api::abi::conf::address;
use anyproxy_module_api::abi::conf::units;
pub use load::{Warnings, common_only, load, load_with, modules_path, pre_parse};
pub use schema::{ModuleDirectives, Schema};
pub use tree::Tree;
