//! Carrying TCP: relay, ends and resets, limits of time and rate, headers in front of a stream. One behaviour a file.

mod access_rules_by_client;
mod close_types;
mod headers_over_three_hops;
mod idle_and_silent_sides_are_cut;
mod joined_writes;
mod killed_peer_is_no_clean_end;
mod listeners_of_every_family;
mod malformed_headers_are_refused;
mod one_way_ends_first;
mod pipes_of_splicing;
mod port_ranges;
mod proxy_protocol;
mod proxy_protocol_with_haproxy;
mod proxy_protocol_with_nginx;
mod rate_limits;
mod relays_both_ways_at_once;
mod resets_are_passed_on;
mod slow_reader_holds_the_sender_back;
mod small_answers_are_not_held_back;
mod spills_to_a_file;
mod stages;
mod support;
mod unreachable_peers;
mod urgent_bytes;
