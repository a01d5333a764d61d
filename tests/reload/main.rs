//! Reload, reinit, take-over and the ends of a process, seen by those whose connections are open meanwhile.

mod access_log_is_complete;
mod changes_that_a_reload_does_not_apply;
mod failed_reload_changes_nothing;
mod heard_while_it_reloads;
mod hundred_reloads_leave_nothing;
mod listeners_come_and_go;
mod log_files_are_reopened;
mod lost_files_are_made_again;
mod old_sessions_keep_their_configuration;
mod operators_words_outlive_a_reload;
mod quit_and_stop;
mod reinit_changes_the_workers;
mod reload_timeout;
mod signals;
mod socket_options_follow;
mod support;
mod take_over_by_a_new_process;
mod thousand_servers;
mod waiting_connections_are_served;
