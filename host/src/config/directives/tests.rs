use super::*;
use crate::config::{core, testing::modules};
use anyproxy_module_api::abi::conf::Contexts;

fn schema() -> Schema {
    Schema::new(&modules()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn the_listing_has_a_line_for_each_directive() {
    let text = text(&schema());
    assert!(text.lines().any(|l| l.starts_with("proxy_pass_tcp ")
        && l.contains("tcp")
        && l.contains("upstream, local")
        && l.ends_with("A peer.")));
    assert!(text.lines().any(|l| l.starts_with("worker_threads ") && l.contains("host")));
}

#[test]
fn json_tells_everything_the_table_says() {
    let all = json(&schema());
    let find =
        |name: &str| all.as_array().into_iter().flatten().find(|d| d["name"] == name).cloned().unwrap_or_default();
    let peer = find("proxy_pass_tcp");
    assert_eq!(peer["role"], "peer");
    assert_eq!(peer["module"], "tcp");
    assert!(peer["props"].as_array().is_some_and(|p| p.iter().any(|p| p["name"] == "weight" && p["max"] == 65_535)));
    assert_eq!(find("spill")["children"][0]["args"][0]["type"], "path");
    assert_eq!(find("worker_threads")["change"], "reinit");
}

#[test]
fn each_module_has_a_page_whose_links_lead_to_its_headings() {
    let schema = schema();
    let page = page("host", schema.directives(0));
    assert!(page.contains("- [`max_connections`](#max_connections)") && page.contains("(#max_connections-1)"));
    assert!(page.contains("| `interval` |") && page.contains("```kdl\nheartbeat interval="));
    assert!(page.contains("at least 1") || page.contains("1 to 65535") || page.contains("0 to 1024"));
    let dir = std::env::temp_dir().join(format!("anyproxy-pages-{}", std::process::id()));
    let pages = markdown(&schema, &dir).expect("a directory of our own");
    assert_eq!(pages, ["host.md", "tcp.md", "http.md", "other.md"]);
    let written = fs::read_to_string(dir.join("tcp.md")).expect("it was written");
    fs::remove_dir_all(&dir).expect("it is ours");
    assert!(written.starts_with("# Directives of `tcp`") && written.contains("### factor"));
}

static COMMENTED: [DirectiveDesc; 1] =
    [DirectiveDesc::new("shout", " Says it loudly.\n As `///` leaves it:\n\n     indented\n", Contexts::LOCAL)];

#[test]
fn the_blank_behind_a_doc_comment_does_not_reach_the_page() {
    let page = page("shout", &[&COMMENTED[0]]);
    assert!(page.contains("- [`shout`](#shout): Says it loudly.\n"), "{page}");
    assert!(page.contains("\n\nSays it loudly.\nAs `///` leaves it:\n\n    indented\n\n"), "{page}");
    assert_eq!(directive_json(&COMMENTED[0])["doc"], "Says it loudly.\nAs `///` leaves it:\n\n    indented");
}

#[test]
fn the_page_shows_the_format_that_an_access_log_without_one_has() {
    let find = |name: &str| core::directives().into_iter().find(|d| d.name.as_str() == name).expect("it is there");
    let log = find("access_log");
    let format = log.props.iter().find(|p| p.name.as_str() == "format").expect("it is there").default.as_str();
    assert!(format.starts_with("${local_time} ${client_addr} ") && format.ends_with(" ${session_time}"), "{format}");
    assert!(page("host", &[log]).contains(&format!("`{format}`")), "on one line, unchanged");
}
