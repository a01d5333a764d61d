use super::listing::{Entry, escape_html, escape_json, html, human_size, json};
use super::noise_tests::Noise;

fn entry(name: &[u8], directory: bool, size: u64) -> Entry {
    Entry { name: name.to_vec(), directory, size, modified: 784_111_777 }
}

#[test]
fn page() {
    let entries = vec![entry(b"b.txt", false, 1536), entry(b"sub", true, 4096), entry(b"a.txt", false, 5)];
    let listing = html(b"/x/", entries, 10, true);
    assert!(!listing.truncated);
    assert_eq!(
        listing.body,
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>Index of /x/</title></head>\n\
         <body><h1>Index of /x/</h1>\n<table>\n<tr><th>Name</th><th>Modified</th><th>Size</th></tr>\n\
         <tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n\
         <tr><td><a href=\"sub/\">sub/</a></td><td>1994-11-06 08:49</td><td>-</td></tr>\n\
         <tr><td><a href=\"a.txt\">a.txt</a></td><td>1994-11-06 08:49</td><td>5</td></tr>\n\
         <tr><td><a href=\"b.txt\">b.txt</a></td><td>1994-11-06 08:49</td><td>1536</td></tr>\n\
         </table>\n</body></html>\n"
    );
    assert!(html(b"/x/", [entry(b"b", false, 1536)], 10, false).body.contains("<td>1.5K</td>"));
    assert!(!html(b"/", [], 10, true).body.contains("../"));
}

#[test]
fn hostile_names() {
    let names: [&[u8]; 6] =
        [b"<img src=x>", b"\"onclick=\"x", b"javascript:alert(1)", b"a?b#c%2e", b"\xff\xfe", b"a'b&c"];
    let listing = html(b"/<b>&\"/", names.map(|name| entry(name, false, 0)), 10, true);
    let body = listing.body;
    assert!(body.contains("Index of /&lt;b&gt;&amp;&quot;/"));
    assert!(!body.contains("<img") && !body.contains("\"onclick") && !body.contains("<b>"));
    assert!(body.contains("href=\"%3Cimg%20src%3Dx%3E\">&lt;img src=x&gt;<"));
    assert!(body.contains("href=\"%22onclick%3D%22x\">&quot;onclick=&quot;x<"));
    assert!(body.contains("href=\"javascript%3Aalert%281%29\""));
    assert!(body.contains("href=\"a%3Fb%23c%252e\">a?b#c%2e<"));
    assert!(body.contains("href=\"%FF%FE\">\u{fffd}\u{fffd}<"));
    assert!(body.contains("href=\"a%27b%26c\">a&#39;b&amp;c<"));
}

#[test]
fn as_json() {
    let entries = vec![entry(b"b\"<\xff", false, 7), entry(b"d", true, 7)];
    let listing = json(entries, 10);
    assert_eq!(
        listing.body,
        "[\n{\"name\":\"d\",\"type\":\"directory\",\"mtime\":\"Sun, 06 Nov 1994 08:49:37 GMT\",\"href\":\"d/\"},\n\
         {\"name\":\"b\\\"\\u003c\u{fffd}\",\"type\":\"file\",\"mtime\":\"Sun, 06 Nov 1994 08:49:37 GMT\",\
         \"href\":\"b%22%3C%FF\",\"size\":7}\n]\n"
    );
    assert_eq!(json([], 10).body, "[\n]\n");
}

#[test]
fn bounded() {
    let many = || (0..).map(|at: u32| entry(at.to_string().as_bytes(), false, 0));
    let page = html(b"/", many(), 3, true);
    assert!(page.truncated && page.body.contains("more entries"));
    assert_eq!(page.body.matches("<a ").count(), 3);
    let list = json(many(), 3);
    assert!(list.truncated);
    assert_eq!(list.body.matches("\"name\"").count(), 3);
    assert!(!json(many().take(3), 3).truncated);
    assert!(json(many(), 0).truncated);
}

#[test]
fn leaves_out_what_cannot_be_asked_for_or_is_hidden() {
    let names: [&[u8]; 10] = [b".hidden", b"...", b"", b".", b"..", b"a/b", b"a\\b", b"a\0", b"a\r\nb", b"\x7f"];
    assert_eq!(json(names.map(|name| entry(name, false, 0)), 10).body, "[\n]\n");
}

#[test]
fn sizes() {
    let table = [
        (0, "0"),
        (1023, "1023"),
        (1024, "1.0K"),
        (1536, "1.5K"),
        (10_239, "9.9K"),
        (10_240, "10K"),
        (1_048_575, "1023K"),
        (1_048_576, "1.0M"),
        (u64::MAX, "15E"),
    ];
    for (bytes, want) in table {
        assert_eq!(human_size(bytes), want);
    }
}

#[test]
fn escapes() {
    let mut out = String::new();
    escape_html("a\u{202e}b\u{85}", &mut out);
    assert_eq!(out, "a\u{fffd}b\u{fffd}");
    out.clear();
    escape_json("\u{7f}\u{2028}\u{e9}", &mut out);
    assert_eq!(out, "\\u007f\\u2028\u{e9}");
}

#[test]
fn noise_stays_inside_its_quotes() {
    let mut noise = Noise::new(10);
    for _ in 0..5000 {
        let name = noise.text(&[b"<", b">", b"\"", b"'", b"&", b"\\", b"a", b"\n", b"\xc3\xa9"], 12);
        let page = html(b"/", [entry(&name, false, 0)], 1, true).body;
        let empty = html(b"/", [], 1, true).body;
        let rows = usize::from(page.len() > empty.len());
        for (mark, each) in [('<', 10), ('>', 10), ('"', 2)] {
            assert_eq!(
                page.matches(mark).count(),
                empty.matches(mark).count() + rows * each,
                "{}",
                name.escape_ascii()
            );
        }
        let list = json([entry(&name, false, 0)], 1).body;
        assert!(!list.replace(['\n'], "").chars().any(char::is_control) && !list.contains('<'));
    }
}
