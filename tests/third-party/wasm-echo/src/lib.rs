//! Runs a small component by wasmtime for each session: it answers each piece in capitals.
//! Owns the handler `wasm_echo` and one engine an image; a guest that runs long yields to the worker's loop.

use anyproxy_module_api::*;
use std::{fmt, sync::OnceLock, time::Duration};
use wasmtime::{
    Config, Engine, Store, StoreLimits, StoreLimitsBuilder,
    component::{Component, InstancePre, Linker, TypedFunc},
};

directive! {
    /// Answers each piece that is received with what a component makes of it: capitals.
    /// A piece that begins with a zero byte makes the component run without end, until its turns are used up.
    /// Absent: the local has another handler.
    "wasm_echo", Contexts::LOCAL,
    .role(Role::Handler, "wasm_echo")
    .inherit(Inherit::Never)
}

export_module!(WasmEcho);

const GUEST: &str = include_str!("guest.wat");
/// How long a guest runs before the worker's other tasks get their turn.
const TURN: Duration = Duration::from_millis(5);
/// Turns until a guest is ended.
const TURNS: u64 = 50;
const MEMORY: usize = 1 << 20;
const PIECE: usize = 16 << 10;

/// One a process image, never one a generation: an engine's code memory and signal handlers last.
static ENGINE: OnceLock<Engine> = OnceLock::new();

fn engine() -> Result<&'static Engine, wasmtime::Error> {
    if ENGINE.get().is_none() {
        let mut config = Config::new();
        config.epoch_interruption(true).async_stack_size(256 << 10).max_wasm_stack(128 << 10);
        let engine = Engine::new(&config)?;
        // Another thread may have been first: then this one goes.
        let _ = ENGINE.set(engine);
    }
    ENGINE.get().ok_or_else(|| wasmtime::Error::msg("there is no engine"))
}

/// The module of one generation: the component as compiled for it.
#[derive(Default)]
pub struct WasmEcho {
    guest: OnceLock<InstancePre<StoreLimits>>,
}

impl fmt::Debug for WasmEcho {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WasmEcho")
    }
}

impl Module for WasmEcho {
    type Conf = ();
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.handler::<Serve>();
    }

    fn create() -> Self {
        Self::default()
    }

    fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}

    fn prepare(&self, problems: &mut Problems<'_>) -> bool {
        let compiled = block_on(run(Pool::Compute, |_| compile().map_err(|e| format!("{e:#}"))));
        match compiled.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(guest) => self.guest.set(guest).is_ok(),
            Err(e) => {
                problems.fail(&format!("wasm_echo: {e}"));
                false
            }
        }
    }

    fn worker_start(&self, worker: u32) {
        if worker == 0 {
            // Not on a worker: there it would wait for the very guest that it is to interrupt.
            drop(spawn_process(|| async {
                loop {
                    sleep(TURN).await;
                    if let Some(engine) = ENGINE.get() {
                        engine.increment_epoch();
                    }
                }
            }));
        }
    }
}

fn compile() -> Result<InstancePre<StoreLimits>, wasmtime::Error> {
    let engine = engine()?;
    Linker::new(engine).instantiate_pre(&Component::new(engine, GUEST)?)
}

struct Serve;

impl Handler<WasmEcho> for Serve {
    const NAME: &'static str = "wasm_echo";

    async fn handle(session: Session<WasmEcho>, mut stream: Stream) -> Result<(), Error> {
        let pre = session.module().guest.get().ok_or(Error::bare(ErrorKind::NotFound))?;
        let mut guest = Guest::new(pre).await.map_err(error)?;
        let mut piece = vec![0; PIECE];
        loop {
            match stream.read(&mut piece).await? {
                0 => return stream.shutdown().await,
                n => {
                    let answer = guest.echo(&piece[..n]).await.map_err(error)?;
                    stream.write_all(&answer).await?;
                    stream.flush().await?;
                }
            }
        }
    }
}

fn error(e: wasmtime::Error) -> Error {
    Error::new(ErrorKind::Other, format!("{e:#}"))
}

/// One instance: a session's own.
struct Guest {
    store: Store<StoreLimits>,
    echo: TypedFunc<(Vec<u8>,), (Vec<u8>,)>,
}

impl Guest {
    async fn new(pre: &InstancePre<StoreLimits>) -> Result<Self, wasmtime::Error> {
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY).instances(4).memories(1).tables(1).build();
        let mut store = Store::new(pre.engine(), limits);
        store.limiter(|limits| limits);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = pre.instantiate_async(&mut store).await?;
        let echo = instance.get_typed_func(&mut store, "echo")?;
        Ok(Self { store, echo })
    }

    async fn echo(&mut self, bytes: &[u8]) -> Result<Vec<u8>, wasmtime::Error> {
        let mut turns = 0;
        self.store.epoch_deadline_callback(move |_| {
            turns += 1;
            if turns > TURNS {
                return Err(wasmtime::Error::msg("the guest took too long"));
            }
            // Not `Yield`: a task that wakes itself at once may run again before any socket is looked at.
            Ok(wasmtime::UpdateDeadline::YieldCustom(1, Box::pin(yield_now())))
        });
        self.store.set_epoch_deadline(1);
        let (answer,) = self.echo.call_async(&mut self.store, (bytes.to_vec(),)).await?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests;
