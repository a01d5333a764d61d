//! Templates made by mutation: the plain-test form of the fuzz target.

use super::tests::{Names, Session};
use super::*;

#[test]
fn mutated_templates_never_panic_and_errors_stay_inside_the_text() {
    let seeds = [
        "a ${replace(client_addr, ':', '_')} $${x} ${lower(upper(domain))}",
        "${sub(domain, -3, 2)}${default(none,\"\\\"\")}${日}",
        "${http_request_host}${re.shop}${twice(twice(raw))}$",
    ];
    let tokens: [&[u8]; 10] = [b"${", b"}", b"(", b")", b"'", b"\\", b",", b"$", b"lower(", "日".as_bytes()];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for round in 0..20_000 {
        let mut text = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..=next(4) {
            let at = next(text.len() + 1);
            match next(3) {
                0 => text.truncate(at),
                1 => drop(text.splice(at..at, tokens[next(tokens.len())].iter().copied())),
                _ if at < text.len() => text[at] = next(256) as u8,
                _ => {}
            }
        }
        let text = String::from_utf8_lossy(&text);
        match Template::compile(&text, &Names) {
            Ok(template) => {
                let mut out = Vec::new();
                template.render_escaped(&Session { raw: vec![0, 255] }, &mut out, Absent::Dash, Escape::Json);
                assert!(std::str::from_utf8(&out).is_ok());
            }
            Err(errors) => {
                for error in errors {
                    assert!(text.get(error.span.clone()).is_some(), "{text}: {error:?}");
                }
            }
        }
    }
}
