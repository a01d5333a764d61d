//! What was released does not change: every type that crosses has the size, the offsets and the field types that
//! `layout-1.0.txt` recorded. `HostVtable`, `StreamVtable` and `ModuleDesc` say their own size and may grow at the end.
#![cfg(feature = "testing")]

use anyproxy_module_api::abi::layout;
use std::{collections::BTreeMap, fs, path::PathBuf};

/// Types that begin with their own size.
const GROWING: [&str; 3] = ["HostVtable", "StreamVtable", "ModuleDesc"];
const BLESS: &str = "ANYPROXY_BLESS_LAYOUT";

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/layout-1.0.txt")
}

/// Head and lines of each type.
fn types(lines: &[String]) -> BTreeMap<&str, (&str, Vec<&str>)> {
    let mut all = BTreeMap::new();
    let mut name = "";
    for line in lines {
        if line.starts_with("  ") {
            let (_, fields): &mut (&str, Vec<&str>) = all.get_mut(name).expect("a type's line comes before its fields");
            fields.push(line);
        } else {
            name = line.split(' ').next().unwrap_or_default();
            assert!(all.insert(name, (line.as_str(), Vec::new())).is_none(), "{name} is listed twice");
        }
    }
    all
}

/// What differs, in words; and what only grew.
fn compare(released: &[String], present: &[String]) -> (Vec<String>, Vec<String>) {
    let (old, new) = (types(released), types(present));
    let (mut broken, mut grown) = (Vec::new(), Vec::new());
    for (name, (head, fields)) in &old {
        let Some((now_head, now_fields)) = new.get(name) else {
            broken.push(format!("{name} is gone"));
            continue;
        };
        let may_grow = GROWING.contains(name);
        if head != now_head && !may_grow {
            broken.push(format!("{name}: size and alignment were `{head}`, are `{now_head}`"));
        }
        for (n, field) in fields.iter().enumerate() {
            match now_fields.get(n) {
                Some(now) if now == field => {}
                Some(now) => broken.push(format!("{name}: was `{}`, is `{}`", field.trim(), now.trim())),
                None => broken.push(format!("{name}: `{}` is gone", field.trim())),
            }
        }
        let more = &now_fields[fields.len().min(now_fields.len())..];
        for field in more {
            let line = format!("{name}: new `{}`", field.trim());
            if may_grow { grown.push(line) } else { broken.push(line) }
        }
    }
    grown.extend(new.keys().filter(|n| !old.contains_key(*n)).map(|n| format!("{n} is new")));
    (broken, grown)
}

#[test]
fn what_was_released_has_not_changed_in_place() {
    if cfg!(not(all(target_pointer_width = "64", target_endian = "little"))) {
        println!("skipped: the recorded layout is of 64-bit targets");
        return;
    }
    let present = layout::lines();
    if std::env::var_os(BLESS).is_some() {
        fs::write(golden(), present.join("\n") + "\n").expect("the recorded layout can be written");
        println!("recorded {}", golden().display());
        return;
    }
    let text = fs::read_to_string(golden()).expect("the recorded layout is beside this test");
    let released: Vec<String> = text.lines().map(str::to_owned).collect();
    let (broken, grown) = compare(&released, &present);
    assert!(
        broken.is_empty(),
        "the ABI changed in place:\n  {}\n\
         What is released never changes: put a new field at the end of HostVtable, StreamVtable or ModuleDesc, or make a \
         `_v2` beside the old type. Before the first release, and only then, record anew: {BLESS}=1 cargo test -p \
         anyproxy-module-api --features testing --test layout",
        broken.join("\n  ")
    );
    if !grown.is_empty() {
        println!(
            "the ABI grew:\n  {}\nIts readers must ask `size` before they touch the new fields. For the release raise \
             `note::ABI_MINOR`, copy layout-1.0.txt to the new minor's name and record it: {BLESS}=1",
            grown.join("\n  ")
        );
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_field_moved_retyped_or_removed_is_a_break() {
    let released = lines("Addr 32 8\n  family 0 1 u8\n  port 2 2 u16");
    for changed in [
        "Addr 32 8\n  port 0 2 u16\n  family 2 1 u8",
        "Addr 32 8\n  family 0 1 i8\n  port 2 2 u16",
        "Addr 32 8\n  family 0 1 u8",
        "Addr 40 8\n  family 0 1 u8\n  port 2 2 u16",
        "Addr 32 8\n  family 0 1 u8\n  port 2 2 u16\n  more 4 1 u8",
        "Buf 32 8",
    ] {
        assert!(!compare(&released, &lines(changed)).0.is_empty(), "{changed}");
    }
}

#[test]
fn a_table_with_its_size_in_front_may_grow_at_the_end_only() {
    let released = lines("HostVtable 16 8\n  size 0 8 usize\n  log 8 8 fn()");
    let (broken, grown) =
        compare(&released, &lines("HostVtable 24 8\n  size 0 8 usize\n  log 8 8 fn()\n  more 16 8 fn()"));
    assert_eq!((broken.len(), grown.len()), (0, 1));
    let (broken, _) = compare(&released, &lines("HostVtable 24 8\n  size 0 8 usize\n  more 8 8 fn()\n  log 16 8 fn()"));
    assert!(!broken.is_empty());
}
