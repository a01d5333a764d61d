//! Modules as other people build them: loaded, exchanged, listed, and what holds the code that was replaced. One behaviour
//! a file.

mod actions_that_answer_later;
mod another_compiler;
mod contracts_are_brokered;
mod datagrams_find_their_owner;
mod datagrams_over_hot;
mod exchanged_under_load;
mod http_by_hyper;
mod images_are_listed;
mod kept_binaries;
mod listeners_and_connectors;
mod quic_by_quinn;
mod replaced_files;
mod support;
mod tls_by_rustls;
mod wasm_guests;
mod what_holds_a_generation;
mod zones_move;
