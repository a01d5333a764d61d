//! Orders that modules state themselves: who starts before whom, which hook is asked before which.

use super::Builder;
use crate::{
    config::{Tree, diagnostic::Diagnostic},
    cycle::hooks::{Hooks, PHASES},
    services::instance::{Conf, Instance},
};
use anyproxy_module_api::abi::{
    bytes::Slice,
    module::{HookPoint, Phase},
};

impl Builder<'_> {
    /// Providers before those that need them; the order of loading otherwise.
    pub(super) fn start_order(&mut self, instances: &[Option<Instance>]) -> Option<Vec<u16>> {
        let mut left: Vec<u16> = (1..instances.len() as u16).collect();
        let mut order = Vec::new();
        let desc = |n: u16| instances[usize::from(n)].as_ref().map(Instance::desc);
        while !left.is_empty() {
            let ready = left.iter().position(|n| {
                desc(*n).is_none_or(|d| {
                    d.requires.as_slice().iter().all(|r| {
                        !left.iter().any(|m| {
                            m != n
                                && desc(*m).is_some_and(|o| {
                                    o.provides.as_slice().iter().any(|p| p.id.as_str() == r.id.as_str())
                                })
                        })
                    })
                })
            });
            let Some(at) = ready else {
                let ids: Vec<_> = left.iter().filter_map(|n| desc(*n)).map(|d| d.id.as_str()).collect();
                let text = format!("the modules {} need each other's contracts in a circle", ids.join(", "));
                self.wrong.push(Diagnostic::error("contract", text));
                return None;
            };
            order.push(left.remove(at));
        }
        Some(order)
    }

    /// Hooks of each phase in the order that they state themselves, for each block those that have something to do there.
    pub(super) fn hooks(&mut self, tree: &Tree, confs: &[Conf], instances: &[Option<Instance>]) -> Hooks {
        let all = gathered(instances, |i| i.desc().hooks.as_slice().to_vec());
        let mut out = [const { Vec::new() }; PHASES];
        for phase in [Phase::Access, Phase::Log, Phase::Routed] {
            let of_phase: Vec<_> = all.iter().filter(|(_, h)| h.phase == phase).copied().collect();
            match ordered(of_phase) {
                Ok(list) => out[phase as usize] = list,
                Err(text) => self.wrong.push(Diagnostic::error("hook", text)),
            }
        }
        Hooks::new(out, tree.scopes().len(), |scope, module, hook| {
            let conf = confs[scope.0 as usize * tree.modules.len() + usize::from(module)];
            instances[usize::from(module)].as_ref().is_some_and(|i| i.hook_applies(hook, conf))
        })
    }
}

fn ordered(mut left: Vec<(u16, HookPoint)>) -> Result<Vec<(u16, HookPoint)>, String> {
    let mut out = Vec::new();
    let names =
        |list: Slice<'_, anyproxy_module_api::Str<'_>>, name: &str| list.as_slice().iter().any(|n| n.as_str() == name);
    while !left.is_empty() {
        let ready = left.iter().position(|(_, h)| {
            let name = h.name.as_str();
            left.iter()
                .all(|(_, o)| o.name.as_str() == name || (!names(h.after, o.name.as_str()) && !names(o.before, name)))
        });
        match ready {
            Some(at) => out.push(left.remove(at)),
            None => {
                let names: Vec<_> = left.iter().map(|(_, h)| h.name.as_str()).collect();
                return Err(format!("the hooks {} each want to be before another", names.join(", ")));
            }
        }
    }
    Ok(out)
}

/// Points of all modules with the module's number, in the order of loading.
pub(super) fn gathered<T>(instances: &[Option<Instance>], of: impl Fn(&Instance) -> Vec<T>) -> Vec<(u16, T)> {
    let with = instances.iter().enumerate().filter_map(|(n, i)| i.as_ref().map(|i| (n as u16, i)));
    with.flat_map(|(n, i)| of(i).into_iter().map(move |p| (n, p))).collect()
}
