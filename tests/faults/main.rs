//! What goes wrong with modules: files that are none, panics, polls that block, a start that fails half-way. The process says
//! one clear line and goes on, or ends well. One behaviour a file.

mod bad_files;
mod balancers_of_others;
mod killed_peer;
mod panics_cost_one_connection;
mod panics_when_a_generation_begins;
mod prepare_is_undone;
mod slots_last_as_long_as_sessions;
mod slow_polls_are_named;
#[path = "../modules/support.rs"]
mod support;
mod without_descriptors;
