//! What an operator may ask of the running process, by control socket or signal.

use super::{
    Control,
    long::{Answer, Asker, Task, reopened},
    reload::Built,
};
use crate::{
    config::{diagnostic::Diagnostics, dump},
    cycle::settings::level_of,
    process::process,
    services::instance::Instance,
    status,
    upstream::{
        live::{PeerLive, Said},
        pool::Pool,
    },
    worker::{Worker, ask_all},
};
use anyproxy_module_api::abi::module::ActionPoint;
use serde_json::{Value, json};
use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// In place of a client's level: it has none of its own any more.
const NO_LEVEL: &str = "default";

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Everything about the process.
    Status,
    /// Metrics: as JSON, or Prometheus text.
    Metrics(bool),
    /// Sessions now.
    Sessions,
    /// One session.
    Session(u64),
    /// End a session.
    Kill(u64),
    /// A word about a peer: upstream, peer, word.
    Peer(String, String, Said),
    /// The error log's level, or that for one client.
    LogLevel(Option<String>, Option<std::net::IpAddr>),
    /// The effective configuration.
    Dump,
    /// Next generation.
    Reload,
    /// Next generation on new threads.
    Reinit,
    /// Log files anew.
    Reopen,
    /// End gracefully.
    Quit,
    /// End now.
    Stop,
    /// Check the configuration only.
    Check,
    /// An action of a module: id, name, JSON arguments.
    Module(String, String, String),
}

impl Request {
    /// From `{"cmd": …}`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(v: &Value) -> Result<Self, String> {
        let text = |key: &str| v.get(key).and_then(Value::as_str).map(str::to_owned);
        let need = |key: &str| text(key).ok_or_else(|| format!("\"{key}\" is missing"));
        let id = || v.get("id").and_then(Value::as_u64).ok_or("\"id\" is missing, a session's number");
        let cmd = need("cmd")?;
        Ok(match cmd.as_str() {
            "status" => Self::Status,
            "metrics" => Self::Metrics(text("format").is_none_or(|f| f != "json")),
            "sessions" => match text("action").as_deref() {
                None | Some("list") => Self::Sessions,
                Some("show") => Self::Session(id()?),
                Some("kill") => Self::Kill(id()?),
                Some(other) => return Err(format!("sessions {other}: there are list, show and kill")),
            },
            "peer" => Self::Peer(text("upstream").unwrap_or_default(), need("peer")?, said(v, &need("action")?)?),
            "log-level" => {
                let client = text("client").map(|c| c.parse().map_err(|_| format!("{c} is not an address")));
                let level = text("level");
                let known = ["error", "warn", "info", "debug", "trace", NO_LEVEL];
                if let Some(l) = level.as_deref().filter(|l| !known.contains(l)) {
                    return Err(format!("level {l}: there are error, warn, info, debug and trace"));
                }
                if level.as_deref() == Some(NO_LEVEL) && client.is_none() {
                    return Err("level default: is for a client, which has none of its own any more".to_owned());
                }
                Self::LogLevel(level, client.transpose()?)
            }
            "dump" => Self::Dump,
            "reload" => Self::Reload,
            "reinit" => Self::Reinit,
            "reopen" => Self::Reopen,
            "quit" => Self::Quit,
            "stop" => Self::Stop,
            "check" => Self::Check,
            "module" => {
                let args = v.get("args").map_or_else(|| "null".to_owned(), ToString::to_string);
                Self::Module(need("module")?, need("action")?, args)
            }
            other => return Err(format!("there is no command {other}")),
        })
    }
}

fn said(v: &Value, word: &str) -> Result<Said, String> {
    Ok(match word {
        "ready" => Said::Ready,
        "drain" => Said::Drain,
        "maint" => Said::Maint,
        "weight" => {
            let n = v.get("weight").and_then(Value::as_u64).filter(|n| *n <= 65_535);
            Said::Weight(n.ok_or("\"weight\" is missing, a number up to 65535")? as u32)
        }
        other => return Err(format!("peer {other}: there are ready, drain, maint and weight")),
    })
}

impl Control {
    /// Does what is asked, or has it done.
    pub(super) async fn take(&mut self, request: Request, asker: Asker) {
        let answer = match request {
            Request::Reload => return self.later(Task::Reload { reinit: false }, asker),
            Request::Reinit => return self.later(Task::Reload { reinit: true }, asker),
            Request::Check => return self.later(Task::Check, asker),
            Request::Reopen => {
                tokio::spawn(async move { asker.tell(reopened().await) });
                return;
            }
            Request::Status => Ok(self.status().await),
            Request::Metrics(text) => Ok(self.metrics(text)),
            Request::Sessions => Ok(Value::Array(self.sessions(None).await)),
            Request::Session(id) => {
                self.sessions(Some(id)).await.pop().ok_or_else(|| format!("there is no session {id}"))
            }
            Request::Kill(id) => self.kill(id).await,
            Request::Peer(upstream, peer, word) => self.peer(&upstream, &peer, word),
            Request::LogLevel(level, client) => log_level(level.as_deref(), client),
            Request::Dump => Ok(Value::String(dump::dump(&self.cycle.tree))),
            Request::Quit => {
                self.quit().await;
                Ok(json!({ "quitting": true }))
            }
            Request::Stop => {
                self.stop_now = true;
                Ok(json!({ "stopping": true }))
            }
            Request::Module(id, name, args) => return self.act(&id, &name, &args, asker),
        };
        asker.tell(answer);
    }

    /// What a check found, beside what is in force.
    pub(super) fn compared(&self, found: Result<Built, Diagnostics>) -> Answer {
        let built = found.map_err(|d| d.render(crate::config::diagnostic::Style::PLAIN))?;
        // What needs more than a reload is compared with what is in force: an earlier reload did not apply it.
        let by_reload = dump::changes(&self.cycle.tree, &built.cycle.tree).into_iter();
        let mut changes: Vec<_> = by_reload.filter(|(_, needs)| *needs == dump::Needs::Reload).collect();
        changes.extend(self.standing.pending(&built.standing));
        changes.sort();
        let changed = |(name, needs): (String, dump::Needs)| json!({ "directive": name, "needs": needs.to_string() });
        let mut changes: Vec<_> = changes.into_iter().map(changed).collect();
        let reload = dump::Needs::Reload.to_string();
        changes.extend(built.cycle.exchanged(&self.cycle).map(|id| json!({ "module": id, "needs": reload })));
        tracing::info!("the configuration is well");
        let warnings = built.warnings.render(crate::config::diagnostic::Style::PLAIN);
        Ok(json!({ "hash": format!("{:016x}", built.cycle.hash), "changes": changes, "warnings": warnings }))
    }

    async fn status(&self) -> Value {
        let asked = ask_all(self.all_workers(), |w| status::worker(w)).await.into_iter();
        let workers = asked.map(|(w, said)| said.unwrap_or_else(|| status::workers::silent(w.id, w.index))).collect();
        let listeners: Vec<_> = self
            .cycle
            .listeners
            .iter()
            .map(|l| {
                let bound = self.sockets.get(&l.key);
                status::listener(
                    l,
                    bound.map_or(l.label.as_str(), |b| b.address.as_str()),
                    bound.map_or(0, |b| b.sockets.len()),
                )
            })
            .collect();
        let retired: Vec<_> = self
            .retired
            .values()
            .map(|r| {
                let mut of = status::json::generation(r.cycle.epoch, r.cycle.hash, r.cycle.stats.panics.load(Relaxed));
                of["workers_left"] = r.workers.len().into();
                of
            })
            .collect();
        let mut modules = serde_json::Map::new();
        for (n, i) in self.cycle.modules() {
            if let Some(a) = i.desc().actions.as_slice().iter().find(|a| a.name.is_empty()) {
                let text = i.action(&self.cycle, n, a, "null");
                let value = match text {
                    Ok(t) => serde_json::from_str(&t).unwrap_or(Value::String(t)),
                    Err(e) => json!({ "error": e }),
                };
                modules.insert(i.image.facts.id.clone(), value);
            }
        }
        status::whole(&status::Parts {
            cycle: &self.cycle,
            workers,
            listeners,
            retired,
            modules: Value::Object(modules),
            reloads: self.reloads,
            failed_reloads: self.failed_reloads,
            last_error: self.last_error.as_deref(),
            quitting: self.quitting.is_some(),
        })
    }

    fn metrics(&self, text: bool) -> Value {
        if text { Value::String(status::prometheus(&self.cycle)) } else { status::metrics_json(&self.cycle) }
    }

    async fn sessions(&self, only: Option<u64>) -> Vec<Value> {
        let rows = move |w: &Rc<Worker>| {
            let mut rows = Vec::new();
            w.each_with_exchanges(|s| {
                if only.is_none_or(|id| id == s.shared.id) {
                    rows.push(status::session(s));
                }
            });
            rows
        };
        ask_all(self.all_workers(), rows).await.into_iter().filter_map(|(_, rows)| rows).flatten().collect()
    }

    async fn kill(&self, id: u64) -> Result<Value, String> {
        let killed = ask_all(self.all_workers(), move |w| w.kill_numbered(id)).await;
        if killed.iter().any(|(_, killed)| *killed == Some(true)) {
            return Ok(json!({ "killed": 1 }));
        }
        Err(format!("there is no session {id}"))
    }

    fn peer(&self, upstream: &str, peer: &str, word: Said) -> Result<Value, String> {
        let pools = self.cycle.pools.iter().filter(|p| upstream.is_empty() || p.name == upstream);
        let all = |p: &Arc<Pool>| {
            let members = p.set.load().members.iter().map(|m| Arc::clone(&m.live)).collect::<Vec<_>>();
            let lives = members.into_iter().chain(p.shared.rendered.all());
            lives.map(|live| (Arc::clone(p), live)).collect::<Vec<_>>()
        };
        let found: Vec<(Arc<Pool>, Arc<PeerLive>)> =
            pools.flat_map(all).filter(|(_, l)| l.host == peer || &*l.addr_text == peer).collect();
        if found.is_empty() {
            return Err(format!(
                "there is no peer {peer}{}",
                if upstream.is_empty() { String::new() } else { format!(" in {upstream}") }
            ));
        }
        for (pool, live) in &found {
            process().peers.say(live, word);
            // At once, and not with the pool's next turn: until then it would have its whole share.
            pool.ramp(live, process().now());
        }
        let upstream = (!upstream.is_empty()).then_some(upstream);
        tracing::info!(peer, upstream, "an operator says {word}");
        Ok(json!({ "peers": found.len() }))
    }

    /// Runs a module's action; one that answers later does so beside what else is asked.
    pub(super) fn act(&self, id: &str, name: &str, args: &str, asker: Asker) {
        let found = self.action(id, name);
        let later = found.as_ref().ok().and_then(|(n, i, point)| i.action_later(&self.cycle, *n, point, args));
        let Some(later) = later else {
            return asker.tell(found.and_then(|(n, i, point)| i.action(&self.cycle, n, point, args)).map(as_json));
        };
        let task = tokio::spawn(async move { asker.tell(later.await.map(as_json)) });
        self.cycle.note_process_task(task.abort_handle());
    }

    fn action(&self, id: &str, name: &str) -> Result<(u16, &Instance, &ActionPoint), String> {
        let (n, i) = self
            .cycle
            .modules()
            .find(|(_, i)| i.image.facts.id == id)
            .ok_or_else(|| format!("module {id} is not loaded"))?;
        let point = i.desc().actions.as_slice().iter().find(|a| a.name.as_str() == name && !name.is_empty());
        let point = point.ok_or_else(|| {
            let names: Vec<_> =
                i.desc().actions.as_slice().iter().map(|a| a.name.as_str()).filter(|n| !n.is_empty()).collect();
            let there =
                if names.is_empty() { "it has none".to_owned() } else { format!("there are: {}", names.join(", ")) };
            format!("module {id} has no action {name}; {there}")
        })?;
        Ok((n, i, point))
    }
}

/// A module's JSON text, or any other.
fn as_json(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn log_level(level: Option<&str>, client: Option<std::net::IpAddr>) -> Result<Value, String> {
    let log = &process().error_log;
    match (level, client) {
        (Some(l), Some(ip)) => {
            if !log.set_client_level(ip, (l != NO_LEVEL).then(|| level_of(l))) {
                return Err("there are too many clients with a level of their own".to_owned());
            }
        }
        (Some(l), None) => log.set_level(level_of(l)),
        // A question changes nothing.
        (None, _) => {}
    }
    crate::services::log::refresh();
    let clients: Vec<_> = log
        .client_levels()
        .iter()
        .filter(|(ip, _)| level.is_some() || client.is_none_or(|c| c.to_canonical() == *ip))
        .map(|(ip, l)| json!({ "client": ip.to_string(), "level": format!("{l:?}").to_lowercase() }))
        .collect();
    Ok(json!({ "most_verbose": log.most_verbose().map(|l| format!("{l:?}").to_lowercase()), "clients": clients }))
}
