//! What modules registered that pools need: connectors, probes, balancers, found by name.

use crate::services::instance::Instance;
use anyproxy_module_api::abi::module::{BalancerPoint, ConnectorPoint, ProbePoint};

/// What modules registered that pools need.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// Modules by number; the host itself has none.
    pub instances: &'a [Option<Instance>],
}

impl Points<'_> {
    pub(super) fn connector(&self, module: u16, name: &str) -> Option<ConnectorPoint> {
        let instance = self.instances[usize::from(module)].as_ref()?;
        instance.desc().connectors.iter().find(|c| c.name.as_str() == name).copied()
    }

    pub(super) fn probe(&self, module: u16, name: &str) -> Option<ProbePoint> {
        let instance = self.instances[usize::from(module)].as_ref()?;
        instance.desc().probes().iter().find(|p| p.name.as_str() == name).copied()
    }

    pub(super) fn balancer(&self, name: &str) -> Option<(u16, BalancerPoint)> {
        self.balancers().find(|(_, b)| b.name.as_str() == name)
    }

    fn balancers(&self) -> impl Iterator<Item = (u16, BalancerPoint)> + '_ {
        self.instances
            .iter()
            .enumerate()
            .filter_map(|(n, i)| i.as_ref().map(|i| (n, i)))
            .flat_map(|(n, i)| i.desc().balancers.as_slice().iter().map(move |b| (n as u16, *b)))
    }

    /// That there is no such balancer, and what to do.
    pub(super) fn no_balancer(&self, name: &str, written: bool) -> (String, String) {
        let names: Vec<_> = self.balancers().map(|(_, b)| b.name.as_str().to_owned()).collect();
        let text = if written {
            format!("unknown balancer \"{name}\"")
        } else {
            format!("several peers without a balancer are shared out by \"{name}\", which no loaded module offers")
        };
        let help = if names.is_empty() {
            "no module that offers balancers is loaded; add load_module \"balancer\"".to_owned()
        } else {
            match crate::config::diagnostic::did_you_mean(name, names.iter().map(String::as_str)) {
                Some(word) => format!("did you mean \"{word}\"?"),
                None => format!("there are {}", names.join(", ")),
            }
        };
        (text, help)
    }
}
