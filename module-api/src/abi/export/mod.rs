//! From a module author's types to the tables of `abi::module`. Each thunk stops panics at the edge of the image.

mod action;
mod at;
mod balancer;
mod connector;
mod contract;
mod crossing;
mod datagram;
mod exchange;
mod greeting;
mod handler;
mod hook;
mod life;
mod listener;
mod preread;
mod probe;
mod relay;
mod session;
mod template;

pub use action::{Action, ActionLater};
pub use at::At;
pub use balancer::BalancerImpl;
pub use connector::{Connect, Connector};
pub use contract::ContractTable;
pub use datagram::{DatagramEndpoint, DatagramListener};
pub use exchange::{Asked, Exchange, Routed};
pub use greeting::Greeting;
pub use handler::Handler;
pub use hook::Hook;
pub use life::{Module, Problems, Scope, init, is_preparing};
pub use listener::Listener;
pub use preread::Preread;
pub use probe::Probe;
pub use relay::Relay;
pub use session::Session;
pub use template::{Function, Variable};

use super::{bytes::Slice, conf::DirectiveDesc, module::*};
use std::marker::PhantomData;

/// A directive declared in this image, collected by `inventory`.
#[derive(Debug)]
pub struct Declared {
    /// Path of the crate that declares it: several modules may be linked into one binary.
    pub krate: &'static str,
    /// The directive.
    pub desc: DirectiveDesc,
}

inventory::collect!(Declared);

/// Collects what a module registers; made once an image.
pub struct Registry<M> {
    pub(crate) listeners: Vec<ListenerPoint>,
    pub(crate) datagrams: Vec<DatagramPoint>,
    pub(crate) connectors: Vec<ConnectorPoint>,
    pub(crate) greetings: Vec<GreetingPoint>,
    pub(crate) handlers: Vec<HandlerPoint>,
    pub(crate) prereads: Vec<PrereadPoint>,
    pub(crate) hooks: Vec<HookPoint>,
    pub(crate) relays: Vec<RelayPoint>,
    pub(crate) balancers: Vec<BalancerPoint>,
    pub(crate) variables: Vec<VariablePoint>,
    pub(crate) functions: Vec<FunctionPoint>,
    pub(crate) actions: Vec<ActionPoint>,
    pub(crate) provides: Vec<ProvidePoint>,
    pub(crate) requires: Vec<RequirePoint>,
    pub(crate) probes: Vec<ProbePoint>,
    module: PhantomData<M>,
}

impl<M> std::fmt::Debug for Registry<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

impl<M> Default for Registry<M> {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            datagrams: Vec::new(),
            connectors: Vec::new(),
            greetings: Vec::new(),
            handlers: Vec::new(),
            prereads: Vec::new(),
            hooks: Vec::new(),
            relays: Vec::new(),
            balancers: Vec::new(),
            variables: Vec::new(),
            functions: Vec::new(),
            actions: Vec::new(),
            provides: Vec::new(),
            requires: Vec::new(),
            probes: Vec::new(),
            module: PhantomData,
        }
    }
}

/// A table for as long as the image.
pub(crate) fn leak<T: 'static>(items: Vec<T>) -> Slice<'static, T> {
    Slice::new(items.leak())
}
