//! `${http_cookie_…}` and `${http_query_…}`: one cookie and one parameter by name.

use harness::client;

use crate::support::{ask, server};

fn with(uri: &str, lines: &str) -> String {
    format!("GET {uri} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n")
}

#[test]
fn a_cookie_and_a_parameter_are_found_by_their_names() {
    let proxy =
        server("local { http_echo body=\"[${http_cookie_id}] [${http_query_q}] [${http_cookie_a-b}]\"; }").start();
    let mut stream = client::connect(proxy.addr(0));
    for (uri, lines, says) in [
        ("/", "", "[] [] []"),
        ("/?q=1", "Cookie: id=7\r\n", "[7] [1] []"),
        ("/?x=0&q=a%20b&q=2", "Cookie: x=y; id=\"7=8\"; id=9\r\n", "[\"7=8\"] [a%20b] []"),
        ("/?qq=1&Q=2&q", "Cookie: idx=1; ID=2; id\r\n", "[] [] []"),
        ("/?q=", "Cookie: a=b\r\nCookie: id=1; a-b=c\r\n", "[1] [] [c]"),
        ("/q=1", "Cookie: ;;=; id =5;\r\n", "[5] [] []"),
        ("/??q=1&q=2", "X-Cookie: id=1\r\n", "[] [2] []"),
    ] {
        let a = ask(&mut stream, with(uri, lines));
        assert_eq!((a.status, a.text().as_str()), (200, says), "{uri} {lines}");
    }
}

#[test]
fn they_are_in_the_log_and_choose_locals() {
    let proxy = harness::Proxy::builder()
        .config(
            r#"
            load_module "tcp" "balancer" "http"
            net {
                access_log "access.log" flush=0 format="c=${http_cookie_id} q=${http_query_q} ${status}"
                server {
                    port_listen_tcp "127.0.0.1:0"
                    http
                    local { rule "${http_query_v}" text="2"; http_echo body="second"; }
                    local { rule "${http_cookie_beta}" text="yes"; http_echo body="beta"; }
                    local { http_echo body="first"; }
                }
            }
            "#,
        )
        .start();
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, with("/?v=2&q=x", "Cookie: id=1\r\n")).text(), "second");
    assert_eq!(ask(&mut stream, with("/", "Cookie: beta=yes\r\n")).text(), "beta");
    assert_eq!(ask(&mut stream, with("/?v=22", "Cookie: beta=no\r\n")).text(), "first");
    proxy.await_line("access.log", "c=1 q=x 200", harness::LIMIT);
    proxy.await_line("access.log", "c=- q=- 200", harness::LIMIT);
    // What a client writes stays in its line and its place.
    ask(&mut stream, with("/?q=a%0ab\"x", "Cookie: id=a\tb\u{85}\"\r\n"));
    let line = proxy.await_line("access.log", "q=a%0ab", harness::LIMIT);
    assert!(line.is_ascii() && !line.contains(['\t', '"']), "{line:?}");
}
