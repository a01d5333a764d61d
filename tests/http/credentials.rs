//! `http_auth_basic`: users and passwords of a file in the manner of htpasswd.

use harness::{Builder, client};

use crate::support::{OK, Scripted, ask, get, once, server};

/// The password of each is `secret`.
const USERS: &str = "# staff\n\
    bcrypt:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n\
    apr1:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\r\n\
    \n\
    sha1:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n\
    sha512:$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1\n\
    sha256:$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA";

fn staff(text: &str) -> Builder {
    server(&format!("http_auth_basic \"staff\" users=\"users\"\n{text}")).file("users", USERS)
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in text.as_bytes().chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let digit = (digit <= group.len()).then(|| DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]);
            out.push(digit.map_or('=', char::from));
        }
    }
    out
}

fn with(path: &str, user: &str, password: &str) -> String {
    let credentials = base64(&format!("{user}:{password}"));
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nAuthorization: Basic {credentials}\r\n\r\n")
}

#[test]
fn who_says_nothing_is_asked() {
    let origin = Scripted::new(OK, false);
    let proxy = staff(&format!("local {{ proxy_pass_tcp \"{}\"; }}", origin.addr())).start();
    let mut stream = client::connect(proxy.addr(0));
    for request in [
        get("/"),
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic !!!\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {}\r\n\r\n", base64("nocolon")),
    ] {
        let a = ask(&mut stream, &request);
        assert_eq!(
            (a.status, a.header("www-authenticate")),
            (401, Some("Basic realm=\"staff\", charset=\"UTF-8\"")),
            "{request}"
        );
    }
    assert!(origin.seen().is_empty());
    assert_eq!(ask(&mut stream, with("/", "sha1", "secret")).text(), "ok", "the connection goes on");
}

#[test]
fn each_form_of_hash_lets_the_right_password_in_and_no_other() {
    let proxy = staff("local { http_echo body=\"${http_user}\"; }").start();
    let mut stream = client::connect(proxy.addr(0));
    for user in ["bcrypt", "apr1", "sha1", "sha512", "sha256"] {
        let right = ask(&mut stream, with("/", user, "secret"));
        assert_eq!((right.status, right.text().as_str()), (200, user));
        for wrong in ["Secret", "secret ", "", "secre", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="] {
            assert_eq!(ask(&mut stream, with("/", user, wrong)).status, 401, "{user} {wrong:?}");
        }
        // Right after a wrong one, too.
        assert_eq!(ask(&mut stream, with("/", user, "secret")).status, 200);
    }
    for unknown in ["nobody", "", "# staff", "BCRYPT"] {
        assert_eq!(ask(&mut stream, with("/", unknown, "secret")).status, 401, "{unknown}");
    }
}

#[test]
fn a_nested_block_may_ask_nobody_or_others() {
    let proxy = staff(
        r#"
        local { rule "${path}" text="/open"; http_auth_basic "off"; http_echo body="open"; }
        local { rule "${path}" text="/chief"; http_auth_basic "chief" users="chiefs"; http_echo body="chief"; }
        local { http_echo body="staff"; }
        "#,
    )
    .file("chiefs", "boss:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    .start();
    assert_eq!(once(&proxy, get("/open")).text(), "open");
    assert_eq!(once(&proxy, get("/")).status, 401);
    assert_eq!(once(&proxy, get("/open/../x")).status, 401);
    // Known in one place is not known in another.
    assert_eq!(once(&proxy, with("/", "sha1", "secret")).text(), "staff");
    let a = once(&proxy, with("/chief", "sha1", "secret"));
    assert_eq!((a.status, a.header("www-authenticate")), (401, Some("Basic realm=\"chief\", charset=\"UTF-8\"")));
    assert_eq!(once(&proxy, with("/chief", "boss", "secret")).text(), "chief");
    assert_eq!(once(&proxy, with("/", "boss", "secret")).status, 401);
}

#[test]
fn a_reload_reads_the_file_anew() {
    let text = |users: &str| {
        format!(
            "load_module \"tcp\" \"balancer\" \"http\"\nnet {{ server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\nhttp_auth_basic \"staff\" users=\"{users}\"\nlocal {{ http_echo body=\"in\"; }}\n}} }}\n"
        )
    };
    let proxy = harness::Proxy::builder().config(&text("users")).file("users", USERS).start();
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, with("/", "bcrypt", "secret")).status, 200);
    proxy.dir().write("users", "other:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
    proxy.reload().assert(0, &[]);
    assert_eq!(ask(&mut stream, with("/", "bcrypt", "secret")).status, 401, "who is gone is not known any more");
    assert_eq!(ask(&mut stream, with("/", "other", "secret")).status, 200);
}

#[test]
fn the_user_is_told_to_the_peer_and_every_request_after_the_first_just_works() {
    let origin = Scripted::new(OK, false);
    let text = format!(
        "local {{ proxy_pass_tcp \"{}\"; http_request_header \"set\" \"X-User\" \"${{http_user}}\"; }}",
        origin.addr()
    );
    let proxy = staff(&text).start();
    let mut stream = client::connect(proxy.addr(0));
    for n in 0..500 {
        assert_eq!(ask(&mut stream, with("/", "bcrypt", "secret")).status, 200, "{n}");
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), 500);
    assert!(seen.iter().all(|(head, _)| head.contains("X-User: bcrypt\r\n")), "{}", seen[0].0);
}

#[test]
fn many_clients_at_once_are_verified_each() {
    let proxy = staff("local { http_echo body=\"${http_user}\"; }").start();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let proxy = &proxy;
            scope.spawn(move || {
                let (user, password) = if n % 2 == 0 { ("bcrypt", "secret") } else { ("sha512", "wrong") };
                for _ in 0..10 {
                    let a = once(proxy, with("/", user, password));
                    assert_eq!(a.status, if n % 2 == 0 { 200 } else { 401 });
                }
            });
        }
    });
}

#[test]
fn a_file_that_is_none_is_a_mistake_that_names_the_line() {
    let check = |users: &str, whats: &[&str]| {
        let output = server("http_auth_basic \"staff\" users=\"users\"\nlocal { http_echo; }").file("users", users);
        let mut all = vec!["main.kdl:8:"];
        all.extend(whats);
        output.check().assert(1, &all);
    };
    check("# ok\nfirst:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nno colon\n", &["line 3", "users"]);
    check(":{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", &["line 1"]);
    // What is in no form that is known would let nobody in: plain text, DES, a hash cut off.
    for bad in ["secret", "rqXexS6ZhobKA", "$apr1$x", "{SHA}x", "$2y$05$short", "$6$saltsalt$cut", "$5$", "$1$abc$def"]
    {
        check(&format!("good:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\nbad:{bad}\n"), &["line 2", "bad"]);
    }
    for (line, what) in [
        ("http_auth_basic \"staff\" users=\"none\"", "none"),
        ("http_auth_basic \"staff\"", "users are missing"),
        ("http_auth_basic \"a\\nb\" users=\"users\"", "realm"),
    ] {
        let output = server(&format!("{line}\nlocal {{ http_echo; }}")).file("users", USERS).check();
        output.assert(1, &["main.kdl:8:", what]);
    }
}

#[test]
fn a_realm_with_quotes_stays_one_value() {
    let proxy = server("http_auth_basic #\"a \"b\" \\ c\"# users=\"users\"\nlocal { http_echo; }").file("users", USERS);
    let a = once(&proxy.start(), get("/"));
    assert_eq!(a.header("www-authenticate"), Some("Basic realm=\"a 'b' ' c\", charset=\"UTF-8\""));
}
