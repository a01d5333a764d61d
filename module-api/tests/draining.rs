//! A handler that is told to begin nothing more.
#![cfg(feature = "testing")]

use anyproxy_module_api::{
    testing::{Block, ModuleUnderTest},
    *,
};

struct Asks;

impl Module for Asks {
    type Conf = ();
    type Worker = ();
    fn register(r: &mut Registry<Self>) {
        r.handler::<Lines>();
    }
    fn create() -> Self {
        Self
    }
    fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}
    fn worker_start(&self, _: u32) {}
}

/// Answers each byte until it should begin nothing more, and then says so.
struct Lines;

impl Handler<Asks> for Lines {
    const NAME: &'static str = "lines";
    async fn handle(session: Session<Asks>, mut stream: Stream) -> Result<(), Error> {
        let mut byte = [0];
        while let Some(read) = session.unless_draining(stream.read(&mut byte)).await {
            if read? == 0 {
                return Ok(());
            }
            stream.write_all(&byte).await?;
        }
        session.draining().await;
        stream.write_all(b" bye").await
    }
}

#[test]
fn a_handler_hears_that_its_generation_is_retired_or_its_session_killed() {
    let m = ModuleUnderTest::<Asks>::start(&[Block::local()]);
    for killed in [false, true] {
        let mut run = m.handle("lines");
        run.client.send(b"a");
        m.host().run_until_stalled();
        assert_eq!(run.client.received_text(), "a");
        if killed {
            run.session.kill_now();
        } else {
            run.session.retire();
        }
        m.host().run_until_stalled();
        assert_eq!(run.client.received_text(), " bye");
        assert!(run.result().expect("it ended").is_ok());
    }
    m.stop();
}
