//! Names that lead to one thing: a balancer's and a contract's among all modules, a connector's, a handler's and so on
//! within their module. Variables, functions and directives have rules of their own.

use anyproxy_module_api::abi::module::ModuleDesc;
use std::collections::HashMap;

/// Something that is found by its name.
#[derive(Debug)]
struct Named<'a> {
    what: &'static str,
    name: String,
    module: &'a str,
    /// Users name it without its module.
    shared: bool,
}

/// What has a name that is taken, in words.
pub(super) fn clashes<'a>(modules: impl Iterator<Item = &'a ModuleDesc>) -> Vec<String> {
    twice(modules.flat_map(all_of))
}

fn all_of(desc: &ModuleDesc) -> Vec<Named<'_>> {
    let mut all = Vec::new();
    let module = desc.id.as_str();
    let mut add = |what, name: String, shared| all.push(Named { what, name, module, shared });
    desc.balancers.iter().for_each(|p| add("balancer", p.name.to_string(), true));
    // Of several majors each is another.
    desc.provides.iter().for_each(|p| add("contract", format!("{} {}", p.id, p.major), true));
    desc.connectors.iter().for_each(|p| add("connector", p.name.to_string(), false));
    desc.listeners.iter().for_each(|p| add("listener", p.name.to_string(), false));
    desc.datagrams.iter().for_each(|p| add("datagram listener", p.name.to_string(), false));
    desc.handlers.iter().for_each(|p| add("handler", p.name.to_string(), false));
    desc.probes().iter().for_each(|p| add("probe", p.name.to_string(), false));
    desc.actions.iter().for_each(|p| add("action", p.name.to_string(), false));
    all
}

fn twice<'a>(all: impl Iterator<Item = Named<'a>>) -> Vec<String> {
    let mut owners: HashMap<(&str, String, &str), &str> = HashMap::new();
    let mut wrong = Vec::new();
    for Named { what, name, module, shared } in all {
        let text = match owners.get(&(what, name.clone(), if shared { "" } else { module })) {
            Some(first) if *first == module => format!("module {module} has two of the {what} \"{name}\""),
            Some(first) => format!("modules {first} and {module} both have the {what} \"{name}\""),
            None => {
                owners.insert((what, name, if shared { "" } else { module }), module);
                continue;
            }
        };
        wrong.push(text);
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_once_where_they_lead() {
        let named = |what, name: &str, module, shared| Named { what, name: name.to_owned(), module, shared };
        let all = [
            named("balancer", "least", "a", true),
            named("handler", "least", "a", false),
            named("handler", "echo", "a", false),
            named("handler", "echo", "b", false),
            named("balancer", "least", "b", true),
            named("handler", "echo", "b", false),
            named("contract", "x 1", "a", true),
            named("contract", "x 2", "b", true),
        ];
        assert_eq!(
            twice(all.into_iter()),
            ["modules a and b both have the balancer \"least\"", "module b has two of the handler \"echo\""]
        );
    }
}
