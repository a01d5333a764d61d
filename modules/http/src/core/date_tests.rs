use super::date::{Civil, format, parse};
use super::noise_tests::Noise;

/// 2024-01-13 00:00:00
const NOW: i64 = 1_705_104_000;
const DAY: i64 = 86_400;

fn text(seconds: i64) -> String {
    String::from_utf8(format(seconds).to_vec()).unwrap()
}

#[test]
fn formats() {
    let table = [
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (-62_167_219_200, "Sat, 01 Jan 0000 00:00:00 GMT"),
        (i64::MIN, "Sat, 01 Jan 0000 00:00:00 GMT"),
    ];
    for (seconds, want) in table {
        assert_eq!(text(seconds), want);
    }
}

#[test]
fn parses_every_form() {
    let table: [(&str, i64); 12] = [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777),
        ("Sun Nov 06 08:49:37 1994", 784_111_777),
        ("  Sun, 06 Nov 1994 08:49:37 GMT\t", 784_111_777),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
        ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
        ("Mon, 29 Feb 2000 00:00:00 GMT", 951_782_400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ("Sat, 01 Jan 0000 00:00:00 GMT", -62_167_219_200),
    ];
    for (value, want) in table {
        assert_eq!(parse(value.as_bytes(), NOW), Some(want), "{value}");
    }
}

#[test]
fn settles_the_century() {
    // Up to 50 years ahead of the moment, then a hundred years back.
    let table = [
        ("Saturday, 13-Jan-74 00:00:00 GMT", 2074),
        ("Saturday, 13-Jan-74 00:00:01 GMT", 1974),
        ("Sunday, 12-Jan-74 23:59:59 GMT", 2074),
        ("Monday, 01-Jan-73 00:00:00 GMT", 2073),
        ("Monday, 01-Jan-75 00:00:00 GMT", 1975),
        ("Monday, 01-Jan-24 00:00:00 GMT", 2024),
        ("Monday, 01-Jan-99 00:00:00 GMT", 1999),
        ("Monday, 01-Jan-00 00:00:00 GMT", 2000),
    ];
    for (value, want) in table {
        let seconds = parse(value.as_bytes(), NOW).unwrap();
        assert_eq!(i64::from(Civil::from_unix(seconds).year), want, "{value}");
    }
    // 2100 has no such day, and is the fiftieth year from 2050 on; 2000 has it.
    let in_2050 = 2_540_000_000;
    assert_eq!(parse(b"Tuesday, 29-Feb-00 00:00:00 GMT", in_2050), Some(951_782_400));
    for now in [i64::MIN, i64::MAX] {
        let _ = parse(b"Tuesday, 29-Feb-00 00:00:00 GMT", now);
    }
}

#[test]
fn refuses() {
    let table = [
        "",
        "0",
        "1994",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT+1",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Foo, 06 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 2100 08:49:37 GMT",
        "Sun, 30 Feb 2000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun, 06 Nov 11994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
    ];
    for value in table {
        assert_eq!(parse(value.as_bytes(), NOW), None, "{value}");
    }
}

#[test]
fn round_trips() {
    let mut noise = Noise::new(1);
    let span = 253_402_300_799_i64 + 62_167_219_200 + 1;
    for _ in 0..20_000 {
        let seconds = (noise.next() >> 1) as i64 % span - 62_167_219_200;
        assert_eq!(parse(&format(seconds), NOW), Some(seconds));
    }
    // Every day of four centuries follows the one before.
    let mut before = Civil::from_unix(-DAY);
    for day in 0..146_097 {
        let at = Civil::from_unix(day * DAY);
        assert_eq!(at.weekday, (before.weekday + 1) % 7);
        let next = (at.year, at.month, at.day) == (before.year, before.month, before.day + 1);
        let month = at.day == 1 && (at.year, at.month) == (before.year, before.month + 1);
        let year = (at.month, at.day) == (1, 1) && (before.month, before.day) == (12, 31) && at.year == before.year + 1;
        assert!(next || month || year, "{before:?} {at:?}");
        before = at;
    }
}

#[test]
fn noise_never_panics() {
    let mut noise = Noise::new(2);
    let seeds: [&[u8]; 3] =
        [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"];
    for round in 0..60_000 {
        let value = noise.mutate(seeds[round % 3]);
        if let Some(seconds) = parse(&value, noise.next() as i64) {
            let again = parse(&format(seconds), NOW);
            assert!(again == Some(seconds) || seconds > 253_402_300_799, "{value:?}");
        }
    }
}
