//! Answers every connection with a line of text: the smallest module, to be copied.
//! Owns one directive and one stream handler; knows nothing of the sockets underneath.
#![forbid(unsafe_code)]

use anyproxy_module_api::*;

directive! {
    /// Answers every connection with this text and closes it.
    /// Absent: the local has another handler.
    "hello", Contexts::LOCAL,
    .args(&[ArgDesc::new("text", Kind::Template, "What to say; may contain variables.").required()])
    .role(Role::Handler, "hello")
    .inherit(Inherit::Never)
    .example("hello \"good day, ${client_addr}\\n\"")
}

/// The module: it keeps nothing itself.
#[derive(Debug)]
pub struct Hello;

impl Module for Hello {
    /// The template of the block's `hello`, if it has one.
    type Conf = Option<u32>;
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.handler::<Answer>();
    }

    fn create() -> Self {
        Self
    }

    fn conf(&self, scope: &Scope<'_, Self::Conf>, _: &mut Problems<'_>) -> Self::Conf {
        scope.node("hello").and_then(|node| node.arg(0)).map(|text| text.num as u32)
    }

    fn worker_start(&self, _: u32) {}
}

struct Answer;

impl Handler<Hello> for Answer {
    const NAME: &'static str = "hello";

    async fn handle(session: Session<Hello>, mut stream: Stream) -> Result<(), Error> {
        let mut text = Vec::new();
        if let Some(template) = session.conf() {
            session.render(*template, &mut text);
        }
        stream.write_all(&text).await?;
        session.client_sent.set(text.len() as u64);
        stream.shutdown().await
    }
}
