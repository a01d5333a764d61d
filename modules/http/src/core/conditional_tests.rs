use super::conditional::{Conditions, Validators, Verdict, evaluate, range_applies};
use super::noise_tests::Noise;

use Verdict::{NotModified, PreconditionFailed, Proceed};

const AT: i64 = 784_111_777;
const NOW: i64 = AT + 1000;
const SAME: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &[u8] = b"Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &[u8] = b"Sun, 06 Nov 1994 08:49:38 GMT";

const FILE: Validators<'static> = Validators { exists: true, etag: Some(b"\"a\""), last_modified: Some(AT) };
const WEAK: Validators<'static> = Validators { exists: true, etag: Some(b"W/\"a\""), last_modified: Some(AT) };
const BARE: Validators<'static> = Validators { exists: true, etag: None, last_modified: None };
const NONE: Validators<'static> = Validators { exists: false, etag: None, last_modified: None };

type Header = Option<&'static [u8]>;

/// `If-Match`, `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since`.
fn of([if_match, if_none_match, if_modified_since, if_unmodified_since]: [Header; 4]) -> Conditions<'static> {
    Conditions { if_match, if_none_match, if_modified_since, if_unmodified_since }
}

#[test]
fn order_of_evaluation() {
    let table: &[(bool, [Header; 4], Validators<'_>, Verdict)] = &[
        (true, [None; 4], FILE, Proceed),
        (true, [None; 4], NONE, Proceed),
        // If-Match: strong comparison.
        (true, [Some(b"\"a\""), None, None, None], FILE, Proceed),
        (true, [Some(b"\"b\", \"a\""), None, None, None], FILE, Proceed),
        (true, [Some(b"\"b\""), None, None, None], FILE, PreconditionFailed),
        (true, [Some(b"W/\"a\""), None, None, None], FILE, PreconditionFailed),
        (true, [Some(b"W/\"a\""), None, None, None], WEAK, PreconditionFailed),
        (false, [Some(b"*"), None, None, None], BARE, Proceed),
        (false, [Some(b"*"), None, None, None], NONE, PreconditionFailed),
        (false, [Some(b"\"a\""), None, None, None], BARE, PreconditionFailed),
        (false, [Some(b"rubbish"), None, None, None], FILE, PreconditionFailed),
        (false, [Some(b""), None, None, None], FILE, PreconditionFailed),
        // If-Unmodified-Since, only without If-Match.
        (true, [None, None, None, Some(SAME)], FILE, Proceed),
        (true, [None, None, None, Some(LATER)], FILE, Proceed),
        (true, [None, None, None, Some(EARLIER)], FILE, PreconditionFailed),
        (false, [None, None, None, Some(EARLIER)], FILE, PreconditionFailed),
        (false, [Some(b"\"a\""), None, None, Some(EARLIER)], FILE, Proceed),
        (false, [None, None, None, Some(b"rubbish")], FILE, Proceed),
        (false, [None, None, None, Some(EARLIER)], BARE, Proceed),
        // If-None-Match: weak comparison.
        (true, [None, Some(b"\"a\""), None, None], FILE, NotModified),
        (true, [None, Some(b"W/\"a\""), None, None], FILE, NotModified),
        (true, [None, Some(b"\"a\""), None, None], WEAK, NotModified),
        (false, [None, Some(b"\"a\""), None, None], FILE, PreconditionFailed),
        (true, [None, Some(b"\"b\""), None, None], FILE, Proceed),
        (true, [None, Some(b"*"), None, None], FILE, NotModified),
        (false, [None, Some(b"*"), None, None], FILE, PreconditionFailed),
        (false, [None, Some(b"*"), None, None], NONE, Proceed),
        (true, [None, Some(b"rubbish"), None, None], FILE, Proceed),
        // If-Modified-Since, only without If-None-Match and only for GET and HEAD.
        (true, [None, None, Some(SAME), None], FILE, NotModified),
        (true, [None, None, Some(LATER), None], FILE, NotModified),
        (true, [None, None, Some(EARLIER), None], FILE, Proceed),
        (false, [None, None, Some(SAME), None], FILE, Proceed),
        (true, [None, None, Some(b"rubbish"), None], FILE, Proceed),
        (true, [None, None, Some(SAME), None], BARE, Proceed),
        (true, [None, Some(b"\"b\""), Some(SAME), None], FILE, Proceed),
        (true, [None, Some(b"rubbish"), Some(SAME), None], FILE, Proceed),
        (true, [None, Some(b"\"a\""), Some(EARLIER), None], FILE, NotModified),
        // The first pair is asked before the second.
        (true, [Some(b"\"b\""), Some(b"\"a\""), None, None], FILE, PreconditionFailed),
        (true, [Some(b"\"a\""), Some(b"\"a\""), None, None], FILE, NotModified),
        (true, [None, Some(b"\"a\""), None, Some(EARLIER)], FILE, PreconditionFailed),
        (true, [None, None, Some(SAME), Some(SAME)], FILE, NotModified),
    ];
    for (get, headers, validators, want) in table {
        assert_eq!(evaluate(*get, &of(*headers), validators, NOW), *want, "{get} {headers:?} {validators:?}");
    }
}

#[test]
fn if_range() {
    let broken = Validators { etag: Some(b"a"), ..FILE };
    let table: [(Header, Validators<'_>, i64, bool); 14] = [
        (None, FILE, NOW, true),
        (None, NONE, NOW, true),
        (Some(b"\"a\""), FILE, NOW, true),
        (Some(b"\"b\""), FILE, NOW, false),
        (Some(b"W/\"a\""), FILE, NOW, false),
        (Some(b"W/\"a\""), WEAK, NOW, false),
        (Some(b"\"a\""), WEAK, NOW, false),
        (Some(b"\"a\""), BARE, NOW, false),
        (Some(b"\"a\""), broken, NOW, false),
        (Some(b"\"a\", \"b\""), FILE, NOW, false),
        (Some(SAME), FILE, NOW, true),
        (Some(LATER), FILE, NOW, false),
        (Some(EARLIER), FILE, NOW, false),
        (Some(SAME), FILE, AT, false),
    ];
    for (value, validators, now, want) in table {
        assert_eq!(range_applies(value, &validators, now), want, "{value:?} {validators:?} {now}");
    }
    for value in [&b"*"[..], b"", b"rubbish", b"\"", b"W/"] {
        assert!(!range_applies(Some(value), &FILE, NOW));
    }
    assert!(!range_applies(Some(SAME), &BARE, NOW));
}

#[test]
fn noise_never_panics() {
    let mut noise = Noise::new(4);
    let pieces: [&[u8]; 7] = [b"\"a\"", b"W/", b", ", b"*", SAME, EARLIER, b"\"b\""];
    for _ in 0..20_000 {
        let texts: Vec<Vec<u8>> = (0..4).map(|_| noise.text(&pieces, 4)).collect();
        let header = |at: usize| (at + texts[3].len()) % 3;
        let pick = |at: usize| (header(at) > 0).then(|| texts[at].as_slice());
        let conditions = Conditions {
            if_match: pick(0),
            if_none_match: pick(1),
            if_modified_since: pick(2),
            if_unmodified_since: pick(3),
        };
        let now = noise.next() as i64;
        // Only readers may be told that nothing has changed.
        assert_ne!(evaluate(false, &conditions, &FILE, now), NotModified);
        let _ = (evaluate(true, &conditions, &WEAK, now), range_applies(pick(0), &FILE, now));
    }
}
