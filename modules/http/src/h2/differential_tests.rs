//! Exchanges with the `h2` crate over a pipe: this server with its client, this client with its server. Requests of any
//! kind are echoed, many at once, and must come back as they went.

use super::pipe_tests::*;
use super::*;
use ::h2 as reference;
use bytes::Bytes;
use http::{Request, Response};
use std::collections::HashMap;
use tokio::io::DuplexStream;

/// This server, which echoes until the client goes. What has `x-reset` is reset.
async fn serve(io: DuplexStream, config: Config) -> Peer {
    let mut server = Peer::new(Role::Server, config, io);
    while server.turn().await {
        for (stream, reset) in std::mem::take(&mut server.done) {
            let Some(mut message) = server.received.remove(&stream) else { continue };
            if reset.is_some() {
                continue;
            }
            if message.fields.iter().any(|(name, _)| name == b"x-reset") {
                server.connection.reset(stream, Code::CANCEL, &mut server.out);
                continue;
            }
            message.fields.push((b"x-method".to_vec(), message.method.clone().into_bytes()));
            message.fields.push((b"x-path".to_vec(), message.path.clone().into_bytes()));
            server.begin(stream, message, true);
        }
    }
    server
}

/// What an echo of `message` has.
fn echo_of(message: &Message) -> Message {
    let mut echo = Message { method: String::new(), path: String::new(), ..message.clone() };
    echo.fields.push((b"x-method".to_vec(), message.method.clone().into_bytes()));
    echo.fields.push((b"x-path".to_vec(), message.path.clone().into_bytes()));
    // An empty body with trailers may come as that or as nothing.
    echo
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

async fn ask(
    mut sender: reference::client::SendRequest<Bytes>,
    message: Message,
    cancel: bool,
) -> Result<Message, reference::Error> {
    let uri = format!("http://example.com{}", message.path);
    let mut request = Request::builder().method(message.method.as_str()).uri(uri).body(()).unwrap();
    *request.headers_mut() = map(&message.fields);
    let end = message.body.is_empty() && message.trailers.is_none();
    let (response, mut stream) = sender.send_request(request, end)?;
    write(&mut stream, &message)?;
    if cancel {
        tokio::task::yield_now().await;
        stream.send_reset(reference::Reason::CANCEL);
    }
    let response = response.await?;
    assert_eq!(response.status(), 200);
    let fields = unmap(response.headers());
    let (body, trailers) = read(&mut response.into_body()).await?;
    Ok(Message { fields, body, trailers, ..Message::default() })
}

fn server_with_their_client(seed: u64, config: Config, window: u32, rounds: usize) {
    runtime().block_on(async {
        let (ours, theirs) = tokio::io::duplex(30_000);
        let server = tokio::spawn(serve(ours, config));
        let mut builder = reference::client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(window * 2).header_table_size(1000);
        builder.max_header_list_size(1 << 20);
        let (sender, connection) = builder.handshake::<_, Bytes>(theirs).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut random = Random(seed);
        for _ in 0..rounds {
            let mut tasks = Vec::new();
            for at in 0..20 {
                let mut message = message(&mut random);
                let (cancel, reset) = (at % 7 == 3, at % 7 == 5);
                if reset {
                    message.fields.push((b"x-reset".to_vec(), b"1".to_vec()));
                }
                let sender = sender.clone().ready().await.unwrap();
                tasks.push((message.clone(), cancel, reset, tokio::spawn(ask(sender, message, cancel))));
            }
            for (message, cancel, reset, task) in tasks {
                match task.await.unwrap() {
                    Ok(echo) => assert_eq!(with_sorted(echo), with_sorted(echo_of(&message))),
                    Err(error) => assert!((cancel || reset) && error.is_reset(), "{error}"),
                }
            }
        }
        drop(sender);
        connection.await.unwrap().unwrap();
        let server = server.await.unwrap();
        assert_eq!(server.connection.streams(), 0);
    });
}

/// With fields in one order, and no trailers instead of empty ones.
fn with_sorted(mut message: Message) -> Message {
    message.fields = sorted(message.fields);
    message.trailers = message.trailers.filter(|trailers| !trailers.is_empty());
    message
}

#[test]
fn this_server_and_their_client() {
    let large = Config { window: 1 << 20, connection_window: 4 << 20, max_streams: 50, ..Config::default() };
    server_with_their_client(1, large, 1 << 20, 4);
    let small =
        Config { window: 3000, connection_window: 65_535, max_streams: 5, header_table: 0, ..Config::default() };
    server_with_their_client(2, small, 20_000, 2);
    let tables = Config { header_table: 100, max_frame: 1 << 16, ..Config::default() };
    server_with_their_client(3, tables, 65_535, 4);
}

/// Their server, which echoes until the client goes.
async fn serve_theirs(io: DuplexStream, window: u32) {
    let mut builder = reference::server::Builder::new();
    builder.initial_window_size(window).initial_connection_window_size(window * 2).max_header_list_size(1 << 20);
    builder.header_table_size(if window.is_multiple_of(2) { 0 } else { 5000 }).max_concurrent_streams(10);
    let mut connection = builder.handshake::<_, Bytes>(io).await.unwrap();
    while let Some(request) = connection.accept().await {
        let Ok((request, mut respond)) = request else { break };
        tokio::spawn(async move {
            let (head, mut body) = request.into_parts();
            let fields = unmap(&head.headers);
            let Ok((body, trailers)) = read(&mut body).await else { return };
            if fields.iter().any(|(name, _)| name == b"x-reset") {
                respond.send_reset(reference::Reason::CANCEL);
                return;
            }
            let path = head.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
            let message = Message { method: head.method.to_string(), path, fields, body, trailers };
            let mut response = Response::new(());
            *response.headers_mut() = map(&echo_of(&message).fields);
            let end = message.body.is_empty() && message.trailers.is_none();
            let Ok(mut stream) = respond.send_response(response, end) else { return };
            // It may be that the client has cancelled it.
            let _ = write(&mut stream, &message);
        });
    }
}

fn client_with_their_server(seed: u64, config: Config, window: u32, total: usize) {
    runtime().block_on(async {
        let (ours, theirs) = tokio::io::duplex(30_000);
        let server = tokio::spawn(serve_theirs(theirs, window));
        let mut client = Peer::new(Role::Client, config, ours);
        // Before SETTINGS more streams seem to be allowed.
        assert!(client.turn().await);
        let mut random = Random(seed);
        let (mut sent, mut asked, mut finished): (usize, HashMap<u32, Message>, usize) = (0, HashMap::new(), 0);
        while finished < total {
            while sent < total
                && let Some(stream) = client.connection.open()
            {
                sent += 1;
                let mut message = message(&mut random);
                if sent % 9 == 5 {
                    message.fields.push((b"x-reset".to_vec(), b"1".to_vec()));
                }
                asked.insert(stream, message.clone());
                client.begin(stream, message, false);
                if sent % 11 == 7 {
                    client.connection.reset(stream, Code::CANCEL, &mut client.out);
                    client.sending.remove(&stream);
                    asked.remove(&stream);
                    finished += 1;
                }
            }
            assert!(client.turn().await, "the server has gone");
            for (stream, reset) in std::mem::take(&mut client.done) {
                let message = asked.remove(&stream).unwrap();
                finished += 1;
                let resets = message.fields.iter().any(|(name, _)| name == b"x-reset");
                assert_eq!(reset.is_some(), resets, "{reset:?}");
                let echo = client.received.remove(&stream);
                if !resets {
                    assert_eq!(with_sorted(echo.unwrap()), with_sorted(echo_of(&message)));
                }
            }
        }
        assert_eq!(client.connection.streams(), 0);
        drop(client);
        server.await.unwrap();
    });
}

#[test]
fn this_client_and_their_server() {
    let large = Config { window: 1 << 20, connection_window: 4 << 20, ..Config::default() };
    client_with_their_server(4, large, (1 << 20) + 1, 100);
    let small = Config { window: 3000, connection_window: 65_535, header_table: 0, ..Config::default() };
    client_with_their_server(5, small, 20_000, 40);
    let tables = Config { header_table: 100, max_frame: 1 << 16, ..Config::default() };
    client_with_their_server(6, tables, 65_535, 100);
}
