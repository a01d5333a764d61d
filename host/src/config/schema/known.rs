//! Words of the project's own modules, so that a directive of a module that is not loaded is explained.

/// Whole words, by module.
const WORDS: &[(&str, &str)] = &[
    ("balancer", "balancer"),
    ("certificate", "ssl"),
    ("close_type", "tcp"),
    ("directio", "tcp"),
    ("download_limit_rate", "tcp"),
    ("expires", "http"),
    ("hello", "hello"),
    ("http", "http"),
    ("ip_allow", "tcp"),
    ("ip_deny", "tcp"),
    ("proxy_protocol_hello", "tcp"),
    ("quic", "quic"),
    ("quic_config_name", "quic"),
    ("rewrite", "http"),
    ("sendfile", "tcp"),
    ("stream_delay", "tcp"),
    ("stream_nodelay_size", "tcp"),
    ("stream_nopush", "tcp"),
    ("tcp", "tcp"),
    ("tcp_config_name", "tcp"),
    ("transfer_encoding_chunked", "http"),
    ("upload_limit_rate", "tcp"),
    ("wasm", "wasm"),
    ("websocket", "websocket"),
];

/// Beginnings and endings, the more telling first.
const ENDINGS: &[(&str, &str)] = &[
    ("_tunnel_tcp", "any-tunnel"),
    ("_tunnel_ssl", "any-tunnel"),
    ("_tunnel_quic", "any-tunnel"),
    ("_tcp", "tcp"),
    ("_ssl", "ssl"),
    ("_quic", "quic"),
    ("_ebpf", "ebpf"),
];
const BEGINNINGS: &[(&str, &str)] = &[
    ("http_", "http"),
    ("static_", "http"),
    ("websocket_", "websocket"),
    ("wasm_", "wasm"),
    ("proxy_cache", "cache"),
    ("proxy_hot_file", "cache"),
    ("proxy_request_slice", "cache"),
    ("proxy_get_to_get_range", "cache"),
    ("proxy_expires_file_timer", "cache"),
    ("ssl_", "ssl"),
    ("tunnel_", "any-tunnel"),
];
/// A connection-carrying directive, whose ending names the transport.
const CARRIERS: &[&str] =
    &["port_listen_", "domain_listen_", "proxy_pass_", "is_open_", "client_timeout_", "upstream_timeout_"];

/// The id of the module whose word it is.
pub(super) fn module_of(word: &str) -> Option<&'static str> {
    if let Ok(at) = WORDS.binary_search_by_key(&word, |(w, _)| w) {
        return Some(WORDS[at].1);
    }
    if CARRIERS.iter().any(|c| word.starts_with(c)) {
        return ENDINGS.iter().find(|(e, _)| word.ends_with(e)).map(|(_, id)| *id);
    }
    BEGINNINGS.iter().find(|(b, _)| word.starts_with(b)).map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use super::{WORDS, module_of};

    #[test]
    fn the_words_are_sorted_for_the_binary_search() {
        assert!(WORDS.is_sorted_by_key(|(w, _)| *w));
    }

    #[test]
    fn planned_directives_name_their_module() {
        assert_eq!(module_of("http_static"), Some("http"));
        assert_eq!(module_of("proxy_pass_tunnel_ssl"), Some("any-tunnel"));
        assert_eq!(module_of("domain_listen_quic"), Some("quic"));
        assert_eq!(module_of("proxy_cache_key"), Some("cache"));
        assert_eq!(module_of("proxy_pass_upstream"), None);
        assert_eq!(module_of("frobnicate"), None);
    }
}
