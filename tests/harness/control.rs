//! Speaks to a control socket: one JSON object a line each way. Knows no command.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::LIMIT;

/// Why a command gave no result.
#[derive(Debug)]
pub enum ControlError {
    /// The process answered `{"ok":false,"error":…}`; its text.
    Refused(String),
    /// No usable answer: nobody listens, the connection ended, or the line is not the expected JSON.
    Broken(String),
}

impl std::fmt::Display for ControlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(text) => write!(f, "refused: {text}"),
            Self::Broken(text) => write!(f, "control socket: {text}"),
        }
    }
}

/// Sends one command and reads its answer's `result`.
pub(crate) fn request(path: &Path, command: &Value) -> Result<Value, ControlError> {
    let line = exchange(path, command).map_err(|error| ControlError::Broken(error.to_string()))?;
    answer(&line)
}

fn exchange(path: &Path, command: &Value) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(format!("{command}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

fn answer(line: &str) -> Result<Value, ControlError> {
    let mut value: Value =
        serde_json::from_str(line).map_err(|error| ControlError::Broken(format!("{error} in {line:?}")))?;
    match value["ok"].as_bool() {
        Some(true) => Ok(value["result"].take()),
        Some(false) => Err(ControlError::Refused(value["error"].as_str().unwrap_or_default().to_owned())),
        None => Err(ControlError::Broken(format!("no \"ok\" in {line:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::TempDir;

    #[test]
    fn reads_one_line_and_leaves_the_rest() {
        let dir = TempDir::new();
        let path = dir.join("control.sock");
        let listener = UnixListener::bind(&path).expect("bind");
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("accept");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("line");
            (&stream).write_all(b"{\"ok\":true,\"result\":{\"a\":1}}\nmore").expect("write");
            line
        });
        let result = request(&path, &serde_json::json!({"cmd": "status"})).expect("ok");
        assert_eq!(result["a"], 1);
        assert_eq!(server.join().expect("server"), "{\"cmd\":\"status\"}\n");
    }

    #[test]
    fn refusals_and_nonsense_differ() {
        assert!(matches!(answer(r#"{"ok":false,"error":"no"}"#), Err(ControlError::Refused(text)) if text == "no"));
        assert!(matches!(answer("nonsense"), Err(ControlError::Broken(_))));
        assert!(matches!(answer("{}"), Err(ControlError::Broken(_))));
        assert!(matches!(answer(""), Err(ControlError::Broken(_))));
    }
}
