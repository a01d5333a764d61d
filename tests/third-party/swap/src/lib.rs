//! Answers its own version and then echoes: to be built twice and exchanged while connections are open.
//! `SWAP_VERSION=2 cargo build -p swap` makes the second one.

use anyproxy_module_api::*;

directive! {
    /// Answers with the version that the module was built as, then echoes.
    /// Absent: the local has another handler.
    "swap", Contexts::LOCAL,
    .role(Role::Handler, "swap")
    .inherit(Inherit::Never)
}

export_module!(Swap);

const VERSION: &str = match option_env!("SWAP_VERSION") {
    Some(version) => version,
    None => "1",
};

/// The module: it keeps nothing itself.
#[derive(Debug)]
pub struct Swap;

impl Module for Swap {
    type Conf = ();
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.handler::<Echo>().action::<Status>();
    }

    fn create() -> Self {
        Self
    }

    fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}

    fn worker_start(&self, _: u32) {}
}

struct Echo;

impl Handler<Swap> for Echo {
    const NAME: &'static str = "swap";

    async fn handle(_: Session<Swap>, mut stream: Stream) -> Result<(), Error> {
        stream.write_all(VERSION.as_bytes()).await?;
        stream.write_all(b"\n").await?;
        let mut piece = [0; 4096];
        loop {
            stream.flush().await?;
            match stream.read(&mut piece).await? {
                0 => return stream.shutdown().await,
                n => stream.write_all(&piece[..n]).await?,
            }
        }
    }
}

struct Status;

impl Action<Swap> for Status {
    const NAME: &'static str = "";
    const DOC: &'static str = "The version that this image was built as.";

    fn run(_: &Swap, _: &str) -> Result<String, String> {
        Ok(format!("{{\"version\":{VERSION:?}}}"))
    }
}

#[cfg(test)]
mod tests;
