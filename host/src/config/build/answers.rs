//! Who answers the exchanges of a local: one directive, or the peers. Knows the declarations only, not what answers are.

use anyproxy_module_api::abi::conf::{Answers, Inherit, Kind, Node};

use super::{
    super::{diagnostic::Diagnostic, tree::Own},
    Builder,
};

impl Builder<'_> {
    /// What answers in a block: its own directive, else what the blocks around it let it have. Two that answer are an error,
    /// and so are some that need peers where there are none.
    pub(super) fn answers(&mut self, own: &[Own], around: Answers, has_peers: bool) -> Answers {
        let said: Vec<_> = own.iter().filter(|o| o.desc.answers != Answers::No && is_on(o)).collect();
        for (n, o) in said.iter().enumerate() {
            if let Some(first) = said[..n].iter().find(|first| clash(first.desc.answers, o.desc.answers)) {
                let text = format!("a local has one answer: \"{}\" is there already", first.node.name);
                let found = Diagnostic::error("two-answers", text).at(self.t.place(&o.node.span));
                let found = found.label(self.t.place(&first.node.span), "the other one");
                self.t.wrong.push(found.help("split it into two locals by rules").module(self.t.schema.id(o.module)));
            }
            if o.desc.answers == Answers::ByPeers && !has_peers {
                let text = format!("\"{}\" leaves the answer to peers, and there are none", o.node.name);
                let found = Diagnostic::error("no-peers", text).at(self.t.place(&o.node.span));
                self.t.wrong.push(
                    found
                        .help("name a peer (proxy_pass_…) or an upstream (proxy_pass_upstream)")
                        .module(self.t.schema.id(o.module)),
                );
            }
        }
        said.first().map_or(around, |o| o.desc.answers)
    }
}

/// What blocks within this one have of its answers.
pub(super) fn passed(own: &[Own], around: Answers) -> Answers {
    let said = own.iter().find(|o| o.desc.answers != Answers::No && o.desc.inherit != Inherit::Never && is_on(o));
    said.map_or(around, |o| o.desc.answers)
}

/// What answers in a block and asks no peers.
pub(super) fn alone(own: &[Own]) -> Option<Node<'static>> {
    own.iter().find(|o| o.desc.answers == Answers::Alone && is_on(o)).map(|o| o.node)
}

/// Whether one block can say both.
const fn clash(a: Answers, b: Answers) -> bool {
    use Answers::{Alone, ByPeers, WithPeers};
    matches!((a, b), (Alone | WithPeers, Alone | WithPeers) | (Alone, ByPeers) | (ByPeers, Alone))
}

/// A switch may be off.
fn is_on(own: &Own) -> bool {
    own.node.arg(0).is_none_or(|v| v.kind != Kind::Bool || v.bool())
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{errors, tree};

    fn local(inner: &str) -> String {
        format!("net {{ server {{ port_listen_tcp \"0.0.0.0:1\"; takes_all; local {{ {inner} }}; }}; }}")
    }

    #[test]
    fn one_answers_and_peers_may_stand_beside_what_asks_them() {
        let peer = "proxy_pass_tcp \"a:1\"";
        for well in
            ["answers", "may_ask", "turns_away; answers", &format!("may_ask; asks; {peer}"), &format!("asks; {peer}")]
        {
            assert_eq!(errors(&local(well)), [""; 0], "{well}");
            let tree = tree(&local(well));
            let local = &tree.nets[0].servers[0].locals[0];
            assert!(local.answered && local.unasking.is_none(), "{well}");
        }
        for two in [
            "answers; may_ask",
            "may_ask; answers",
            &format!("asks; answers; {peer}"),
            &format!("answers; asks; {peer}"),
        ] {
            let all = errors(&local(two));
            assert!(all.len() == 1 && all[0].contains("a local has one answer"), "{two}: {all:?}");
        }
    }

    #[test]
    fn what_answers_alone_leaves_peers_unasked() {
        let tree = tree(&local("turns_away; answers; proxy_pass_tcp \"a:1\""));
        let unasking = tree.nets[0].servers[0].locals[0].unasking;
        assert_eq!(unasking.map(|node| node.name.as_str()), Some("answers"));
    }

    #[test]
    fn what_leaves_it_to_peers_needs_some() {
        let all = errors(&local("asks"));
        assert!(all.len() == 1 && all[0].contains("\"asks\" leaves the answer to peers"), "{all:?}");
        // A peer that is wrong is one.
        assert_eq!(errors(&local("asks; proxy_pass_tcp 1")).len(), 1);
    }

    #[test]
    fn an_inner_answer_stands_for_the_one_around_it() {
        let text = |inner: &str| local(inner).replace("takes_all;", "takes_all; answers;");
        for inner in ["may_ask", "answers", "once_here"] {
            assert_eq!(errors(&text(inner)), [""; 0], "{inner}");
            assert!(tree(&text(inner)).nets[0].servers[0].locals[0].answered);
        }
        assert!(!tree(&local("once_here")).nets[0].servers[0].locals[0].answered);
    }
}
