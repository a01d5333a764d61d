//! The host from outside: command line, start and end, limits, control socket, logs. One behaviour a file.

mod alive_at_the_limit_of_connections;
mod alive_without_descriptors;
mod both_ways_of_accepting;
mod check_and_dump;
mod clients_have_a_limit_of_their_own;
mod control_socket_takes_bad_input;
mod directives_are_listed;
mod exit_codes;
mod first_line_names_what_runs;
mod full_disk_under_a_log;
mod listening_sockets_from_systemd;
mod log_level_of_one_client;
mod low_port_after_the_user_changed;
mod memory_limit_pauses_accepting;
mod metrics_are_prometheus_text;
mod names_that_do_not_resolve;
mod peers_as_an_operator_says;
mod pid_file;
mod port_in_use_names_its_holder;
mod readers_that_go_away;
mod requests_by_name;
mod servers_have_a_limit_of_their_own;
mod sessions_are_shown_and_killed;
mod status_tells_everything;
mod support;
mod versions;
