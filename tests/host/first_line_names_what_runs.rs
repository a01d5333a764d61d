//! Version, hash of the configuration, modules, workers and listeners come first, then READY to systemd.

use harness::eventually;

use crate::support::hello;

#[test]
fn first_line_names_what_runs() {
    let mut proxy = hello("").start();
    let first = eventually("a whole line", || {
        let log = proxy.log();
        log.contains('\n').then(|| log.lines().next().unwrap_or_default().to_owned())
    });
    assert!(
        first.contains("anyproxy 0.") && first.contains("modules tcp hello") && first.contains("2 workers"),
        "{first}"
    );
    assert!(first.contains(&format!("listening on {}", proxy.addr(0))), "{first}");
    let hash = proxy.status()["generation"]["hash"].as_str().expect("a hash").to_owned();
    assert!(first.contains(&hash), "{hash} in {first}");
    assert_eq!(proxy.notifications(), ["READY=1"]);
}

#[test]
fn stopping_is_told() {
    let mut proxy = hello("").start();
    assert_eq!(proxy.send("quit").code, Some(0));
    assert_eq!(proxy.wait_exit(harness::LIMIT), Some(0));
    assert_eq!(proxy.notifications()[..2], ["READY=1", "STOPPING=1"]);
}
