//! Needs the contract `sample.echo`: its handler `consumer_echo` answers with what the provider makes of each piece.
//! Owns no text of its own; knows the contract and not who provides it.

use anyproxy_module_api::*;
use sample_contract::Echo;
use std::sync::OnceLock;

directive! {
    /// Answers each piece that is received with what `sample.echo` makes of it.
    /// Absent: the local has another handler.
    "consumer_echo", Contexts::LOCAL,
    .role(Role::Handler, "consumer_echo")
    .inherit(Inherit::Never)
}

export_module!(EchoConsumer, requires = ["sample.echo" 1.0]);

/// The module: the contract as resolved for this generation. Never in a static: an unchanged provider image serves more
/// than one generation.
#[derive(Debug, Default)]
pub struct EchoConsumer {
    echo: OnceLock<Echo>,
}

impl Module for EchoConsumer {
    type Conf = ();
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        let (major, minor) = sample_contract::VERSION;
        registry.handler::<Answer>().require(sample_contract::ID, major, minor, false);
    }

    fn create() -> Self {
        Self::default()
    }

    fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}

    fn prepare(&self, problems: &mut Problems<'_>) -> bool {
        match Echo::resolve() {
            Some(echo) => self.echo.set(echo).is_ok(),
            None => {
                problems.fail("echo_consumer: nobody provides sample.echo");
                false
            }
        }
    }

    fn worker_start(&self, _: u32) {}
}

struct Answer;

impl Handler<EchoConsumer> for Answer {
    const NAME: &'static str = "consumer_echo";

    async fn handle(session: Session<EchoConsumer>, mut stream: Stream) -> Result<(), Error> {
        let echo = *session.module().echo.get().ok_or(Error::bare(ErrorKind::NotFound))?;
        let (mut piece, mut answer) = ([0; 4096], Vec::new());
        loop {
            let n = match stream.read(&mut piece).await? {
                0 => return stream.shutdown().await,
                n => n,
            };
            answer.clear();
            if !echo.answer(&piece[..n], &mut answer) {
                return Err(Error::bare(ErrorKind::Panicked));
            }
            stream.write_all(&answer).await?;
            stream.flush().await?;
        }
    }
}

#[cfg(test)]
mod tests;
