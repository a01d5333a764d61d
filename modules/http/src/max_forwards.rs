//! `Max-Forwards` (RFC 9110 section 7.6.2): how many more proxies a request for what is on its way may pass.

use crate::{
    h1::Method,
    message::Message,
    reply::{Call, Reply},
    respond::{refuse, whole},
};

const NAME: &str = "Max-Forwards";

/// Counts a request of OPTIONS or TRACE down that a peer is to be asked; one that may go no further is answered here. Of other
/// methods the header says nothing, and neither does a value that is no number.
#[inline]
pub(crate) fn count(call: &Call<'_>) -> Option<Reply> {
    let method = call.state.parts.borrow().method();
    if matches!(method, Method::Options | Method::Trace) { count_down(call, method) } else { None }
}

fn count_down(call: &Call<'_>, method: Method) -> Option<Reply> {
    let left = {
        let request = &mut call.state.parts.borrow_mut().request;
        let left = number(request)?;
        if let Some(after) = left.checked_sub(1) {
            let _ = request.set(NAME, after.to_string().as_bytes());
        }
        left
    };
    match method {
        _ if left > 0 => None,
        // What resources allow is their peers' to say; that somebody is here is what was asked.
        Method::Options => Some(whole(call, 200, "", Vec::new())),
        // A request is not told back: it may have credentials that scripts of the client's must not see (RFC 9110 section 9.3.8).
        _ => Some(refuse(call, 501)),
    }
}

/// The header's number. One that is too large to be held counts as the largest (RFC 9110 section 7.6.2).
fn number(request: &Message) -> Option<u64> {
    let mut lines = request.lines();
    let line = lines.find(|l| l.name(&request.bytes).eq_ignore_ascii_case(NAME.as_bytes()))?;
    let value = line.value(&request.bytes);
    let digits = std::str::from_utf8(value).ok().filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))?;
    Some(digits.parse().unwrap_or(u64::MAX))
}
