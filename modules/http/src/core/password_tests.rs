use super::password::Hash;

/// Made by `htpasswd` and `openssl passwd`.
const LINES: [(&str, &str); 7] = [
    ("$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/", "myPassword"),
    ("{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=", "myPassword"),
    ("$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC", "myPassword"),
    ("$apr1$abcdefgh$G8IsPsylW5ROvIKsQMRG61", "a"),
    ("$1$saltsalt$1K7dkhtbTNVUwUicA5kOT1", "pass word"),
    ("$5$saltsalt$9Wp9Qw4Ze8Jxq5F1Z3UnS47KFhc8AqhCRyxFDa8e660", "pass word"),
    ("$6$saltsalt$cc1KsgmlKYtCcnNH8.sv7Fe8mca8fAso5fHlNrb1VZa5WYQ.L3ChTcx06ID.LoaXZAf9CZNraK43XCp7LxKHl1", "pass word"),
];

#[test]
fn hashes_of_other_programs_are_known() {
    for (text, password) in LINES {
        let hash = Hash::parse(text).expect(text);
        assert!(hash.is_of(password.as_bytes()), "{text}");
        for other in ["", "mypassword", "myPassword ", "pass wor"] {
            assert!(!hash.is_of(other.as_bytes()), "{text} {other}");
        }
    }
}

#[test]
fn what_is_no_hash_is_none() {
    let long = "a".repeat(43);
    let cut = ["$5$", "$5$salt", "$6$salt$abc", &format!("$6$salt${long}"), &format!("$5$salt${long}$")];
    let rounds = ["", "x", "1"].map(|n| format!("$5$rounds={n}$salt${long}"));
    assert!(Hash::parse(&format!("$5$rounds=5000$salt${long}")).is_some());
    let others =
        ["", "plain", "$apr1$x", "$apr1$$abc", "{SHA}x", "{SHA}AAAA", "$2y$05$short", "$1$abc$def", "rqXexS6ZhobKA"];
    for text in others.iter().chain(&cut).copied().chain(rounds.iter().map(String::as_str)) {
        assert!(Hash::parse(text).is_none(), "{text}");
    }
}
