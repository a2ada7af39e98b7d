//! Streamable HTTP in front of our WebSocket or our bridge, as thin as it can be: a session is one connection, a request of 2026-07-28
//! is one too, or takes a bridge that another has done with, and every message goes through as it came. What HTTP has beside the
//! messages (a status, a session's name) is made up here.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::far::{self, Way};

const SESSION: &str = "mcp-session-id";

/// Starts one in front of it.
pub(crate) fn start(way: Way) -> SocketAddr {
    let relay = web::Data::new(Relay { way, sessions: Mutex::default(), done_with: Mutex::default() });
    let app = move || {
        let resource = web::resource("/mcp").app_data(relay.clone());
        let resource = resource.route(web::post().to(post)).route(web::get().to(listen));
        App::new().service(resource.route(web::delete().to(end)))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
    let at = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    at
}

struct Relay {
    way: Way,
    sessions: Mutex<HashMap<String, Socket>>,
    /// Bridges without a session and without a request. One more takes longer to launch on a busy machine than the suite waits.
    done_with: Mutex<Vec<Socket>>,
}

/// One connection; it closes when its last clone is gone.
#[derive(Clone)]
struct Socket {
    posts: UnboundedSender<Post>,
    /// Where messages go that come while no request runs.
    listening: Arc<Mutex<Option<UnboundedSender<Value>>>>,
}

struct Post {
    text: String,
    /// The id of a request, and where its messages go.
    reply: Option<(Value, UnboundedSender<Value>)>,
}

async fn post(request: HttpRequest, body: web::Bytes, relay: web::Data<Relay>) -> HttpResponse {
    let text = String::from_utf8_lossy(&body).into_owned();
    let message: Value = serde_json::from_str(&text).unwrap_or_default();
    let wants_answer = message["method"].is_string() && !message["id"].is_null();
    let named = request.headers().get(SESSION).and_then(|name| name.to_str().ok());
    let (socket, name) = match named {
        Some(name) => match relay.sessions.lock().unwrap().get(name) {
            Some(socket) => (socket.clone(), None),
            None => return HttpResponse::NotFound().finish(),
        },
        None => {
            let opens = message["method"] == "initialize" && !is_modern(&message);
            let done_with = if opens { None } else { relay.done_with.lock().unwrap().pop() };
            let socket = match done_with {
                Some(socket) => socket,
                None => match open(&request, relay.way).await {
                    Ok(socket) => socket,
                    Err(status) => return HttpResponse::build(status).finish(),
                },
            };
            let name = opens.then(|| {
                let mut sessions = relay.sessions.lock().unwrap();
                let name = format!("session-{}", sessions.len());
                sessions.insert(name.clone(), socket.clone());
                name
            });
            (socket, name)
        }
    };
    let keeps = named.is_none() && name.is_none() && matches!(relay.way, Way::Stdio(_));
    let (reply, mut answers) = unbounded_channel();
    let reply = wants_answer.then(|| (message["id"].clone(), reply));
    socket.posts.send(Post { text, reply }).ok();
    let mut response = if wants_answer { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    if let Some(name) = name {
        response.insert_header((SESSION, name));
    }
    if !wants_answer {
        return response.finish();
    }
    let Some(first) = answers.recv().await else { return HttpResponse::BadGateway().finish() };
    if first["method"].is_null() {
        if keeps {
            relay.done_with.lock().unwrap().push(socket);
        }
        return response.status(status_of(&first, is_modern(&message))).json(first);
    }
    let kept = keeps.then(|| socket.clone());
    let after = stream::once(async move {
        // Whoever goes away before the end closes the connection, and that is its cancel.
        relay.done_with.lock().unwrap().extend(kept);
    });
    let after = after.filter_map(|()| async { None });
    let events = stream::iter([event(&first)]).chain(events(answers, socket)).chain(after);
    response.content_type("text/event-stream").streaming(events)
}

async fn listen(request: HttpRequest, relay: web::Data<Relay>) -> HttpResponse {
    let named = request.headers().get(SESSION).and_then(|name| name.to_str().ok());
    let socket = named.and_then(|name| relay.sessions.lock().unwrap().get(name).cloned());
    let Some(socket) = socket else { return HttpResponse::NotFound().finish() };
    let (told, messages) = unbounded_channel();
    *socket.listening.lock().unwrap() = Some(told);
    let opening = stream::iter([Ok(web::Bytes::from_static(b": open\n\n"))]);
    let events = opening.chain(events(messages, socket));
    HttpResponse::Ok().content_type("text/event-stream").streaming(events)
}

async fn end(request: HttpRequest, relay: web::Data<Relay>) -> HttpResponse {
    let named = request.headers().get(SESSION).and_then(|name| name.to_str().ok());
    let gone = named.and_then(|name| relay.sessions.lock().unwrap().remove(name));
    if gone.is_some() { HttpResponse::NoContent().finish() } else { HttpResponse::NotFound().finish() }
}

/// Takes messages to one connection and back, each answer to who asked.
async fn open(request: &HttpRequest, way: Way) -> Result<Socket, StatusCode> {
    let (to_server, mut from_server) = far::open(request, way).await?;
    let (posts, mut posted) = unbounded_channel::<Post>();
    let listening = Arc::new(Mutex::new(None::<UnboundedSender<Value>>));
    let listens = Arc::clone(&listening);
    actix_web::rt::spawn(async move {
        let mut running: Vec<(Value, UnboundedSender<Value>)> = Vec::new();
        loop {
            let message = tokio::select! {
                post = posted.recv() => match post {
                    Some(Post { text, reply }) => {
                        running.extend(reply);
                        to_server.send(text).ok();
                        continue;
                    }
                    None => break,
                },
                message = from_server.recv() => match message {
                    Some(message) => message,
                    None => break,
                },
            };
            let is_its = |(id, _): &(Value, _)| message["method"].is_null() && *id == message["id"];
            match running.iter().position(is_its) {
                Some(at) => drop(running.remove(at).1.send(message)),
                None => match (running.last(), &*listens.lock().unwrap()) {
                    (Some((_, newest)), _) => drop(newest.send(message)),
                    (None, Some(listener)) => drop(listener.send(message)),
                    (None, None) => {}
                },
            }
        }
    });
    Ok(Socket { posts, listening })
}

/// Messages as events; the socket lives as long as somebody reads them.
fn events(
    messages: UnboundedReceiver<Value>,
    socket: Socket,
) -> impl futures_util::Stream<Item = Result<web::Bytes, Infallible>> {
    stream::unfold((messages, socket), |(mut messages, socket)| async {
        let message = messages.recv().await?;
        Some((event(&message), (messages, socket)))
    })
}

fn event(message: &Value) -> Result<web::Bytes, Infallible> {
    Ok(format!("event: message\ndata: {message}\n\n").into())
}

fn is_modern(message: &Value) -> bool {
    let version = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].as_str();
    version.is_some_and(|version| version >= "2026-07-28")
}

/// What 2026-07-28 wants as the status of an error with this code.
fn status_of(answer: &Value, is_modern: bool) -> StatusCode {
    match answer["error"]["code"].as_i64() {
        Some(-32601) if is_modern => StatusCode::NOT_FOUND,
        Some(-32022..=-32020) if is_modern => StatusCode::BAD_REQUEST,
        Some(_) | None => StatusCode::OK,
    }
}
