//! `anyproxy ctl`: the command line's words as a request to the running process.

use super::{Args, request, usage};
use serde_json::{Value, json};
use std::path::Path;

/// A command as it is written. What is none of them is a module's action.
struct Command {
    name: &'static str,
    /// What follows the name.
    rest: &'static str,
    /// Words of it, at most.
    most: usize,
}

const COMMANDS: &[Command] = &[
    Command { name: "status", rest: "", most: 0 },
    Command { name: "metrics", rest: " [--json]", most: 0 },
    Command { name: "sessions", rest: " [show|kill ID]", most: 2 },
    Command { name: "dump", rest: "", most: 0 },
    Command { name: "peer", rest: " ready|drain|maint|weight PEER [N] [--upstream NAME]", most: 3 },
    Command { name: "log-level", rest: " [LEVEL] [--client ADDRESS], or default --client ADDRESS", most: 1 },
    Command { name: "reload", rest: "", most: 0 },
    Command { name: "reinit", rest: "", most: 0 },
    Command { name: "reopen", rest: "", most: 0 },
    Command { name: "quit", rest: "", most: 0 },
    Command { name: "stop", rest: "", most: 0 },
    Command { name: "check", rest: "", most: 0 },
];

impl Command {
    /// What is wrong with these words, which begin with its name.
    fn misused(&self, words: &[&str]) -> String {
        let Self { name, rest, most } = self;
        let what = match words.get(most + 1) {
            Some(word) => format!("ctl {name}: \"{word}\" is one word too many"),
            None => format!("ctl {}: not understood", words.join(" ")),
        };
        format!("{what}; usage: anyproxy ctl {name}{rest}")
    }
}

/// Asks the running process and prints its answer; the exit code.
pub(super) fn ask(a: &Args, words: &[String], config: &Path) -> i32 {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let request_of = match words.as_slice() {
        ["status"] => json!({ "cmd": "status" }),
        ["metrics"] if a.json => json!({ "cmd": "metrics", "format": "json" }),
        ["metrics"] => json!({ "cmd": "metrics" }),
        ["sessions"] => json!({ "cmd": "sessions" }),
        ["sessions", action, id] => match id.parse::<u64>() {
            Ok(id) => json!({ "cmd": "sessions", "action": action, "id": id }),
            Err(_) => return usage("ctl sessions: a session is named by its number"),
        },
        ["dump"] => json!({ "cmd": "dump" }),
        ["peer", action, peer] => json!({ "cmd": "peer", "action": action, "peer": peer, "upstream": a.upstream }),
        ["peer", "weight", peer, n] => match n.parse::<u32>() {
            Ok(n) => json!({ "cmd": "peer", "action": "weight", "peer": peer, "weight": n, "upstream": a.upstream }),
            Err(_) => return usage("ctl peer weight: the weight is a number"),
        },
        ["log-level"] => json!({ "cmd": "log-level", "client": a.client }),
        ["log-level", level] => json!({ "cmd": "log-level", "level": level, "client": a.client }),
        [one @ ("reload" | "reinit" | "reopen" | "quit" | "stop" | "check")] => json!({ "cmd": one }),
        [] => return usage("ctl: what? see anyproxy --help"),
        [first, ..] => match (COMMANDS.iter().find(|command| command.name == *first), of_module(&words)) {
            (Some(command), _) => return usage(&command.misused(&words)),
            (None, Some(request)) => request,
            (None, None) => return usage(&format!("ctl {}: not understood", words.join(" "))),
        },
    };
    request(a, config, &request_of, |v| match v {
        Value::String(text) => text.trim_end().to_owned(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    })
}

/// An action of a module.
fn of_module(words: &[&str]) -> Option<Value> {
    match words {
        [module, action] => Some(json!({ "cmd": "module", "module": module, "action": action })),
        [module, action, args] => {
            let args: Value = serde_json::from_str(args).unwrap_or_else(|_| Value::String((*args).to_owned()));
            Some(json!({ "cmd": "module", "module": module, "action": action, "args": args }))
        }
        _ => None,
    }
}
