//! From a request to a reply: which endpoint, which script, which gates, which answer.

use std::sync::Arc;

use crate::Make;
use crate::answer::{Answer, Context};
use crate::ask::{Ask, clip};
use crate::endpoints;
use crate::gates;
use crate::http::Head;
use crate::journal::Ticket;
use crate::refusal::{self, Refusal};
use crate::reply::{Reply, Whole, work};
use crate::script::{Script, ScriptError};
use crate::server::Shared;
use crate::text::mix;
use crate::wire;

/// The endpoint every script is for unless it says otherwise.
pub(crate) const CHAT: &str = "/chat/completions";
/// The header that carries a script.
const SCRIPT_HEADER: &str = "x-upstream-script";
/// Characters of the last user message that the journal keeps.
const LAST_USER_CHARS: usize = 120;

/// What a request gets.
pub(crate) struct Routed {
    pub(crate) script: Script,
    pub(crate) reply: Reply,
    /// Held while the reply is played.
    pub(crate) permit: Option<Permit>,
}

/// One of a key's concurrent chat requests; dropping it makes room.
pub(crate) struct Permit {
    shared: Arc<Shared>,
    key: String,
}

impl Permit {
    fn take(shared: &Arc<Shared>, key: &str) -> Option<Permit> {
        let mut chats = shared.chats.lock();
        let count = chats.entry(key.to_owned()).or_default();
        if shared.options.max_concurrency.is_some_and(|max| *count >= max) {
            return None;
        }
        *count += 1;
        Some(Permit { shared: Arc::clone(shared), key: key.to_owned() })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut chats = self.shared.chats.lock();
        if let Some(count) = chats.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                chats.remove(&self.key);
            }
        }
    }
}

/// The path behind the make's base; none if it is not ours.
fn endpoint(make: Make, path: &str) -> Option<&str> {
    let bases: &[&str] = match make {
        Make::Kimi | Make::OpenAi => &["/v1"],
        Make::Glm => &["/api/paas/v4", "/api/coding/paas/v4"],
    };
    bases.iter().find_map(|base| path.strip_prefix(base)).filter(|rest| rest.starts_with('/'))
}

/// The headers a make puts on every response.
fn headers(shared: &Shared, n: u64) -> Vec<(&'static str, String)> {
    let id = format!("{:016x}{:016x}", mix(shared.options.seed, n), mix(!shared.options.seed, n));
    match shared.make {
        Make::Kimi => vec![("msh-request-id", id.clone()), ("x-msh-trace-id", id)],
        Make::Glm => Vec::new(),
        Make::OpenAi => vec![("x-request-id", format!("req_{id}")), ("openai-processing-ms", "1".to_owned())],
    }
}

/// First match wins: queue, header, model name, default.
fn script_for(
    shared: &Shared,
    endpoint: &str,
    head: &Head,
    ask: Option<&Ask>,
) -> Result<Script, ScriptError> {
    if let Some(script) = shared.queued(endpoint) {
        return Ok(script);
    }
    if let Some(text) = head.header(SCRIPT_HEADER).or_else(|| ask.and_then(|ask| ask.script.as_deref())) {
        return text.parse();
    }
    Ok(if endpoint == CHAT { shared.default.lock().clone() } else { Script::default() })
}

/// Decides the reply to one request.
pub(crate) fn route(shared: &Arc<Shared>, head: &Head, body: &[u8], ticket: &Ticket) -> Routed {
    let Some(endpoint) = endpoint(shared.make, &head.path) else {
        let refusal = Refusal::plain(shared.make, 404, "no such path on the upstream double");
        return Routed {
            reply: Reply::Whole(Whole::refusal(refusal, &Script::default())),
            script: Script::default(),
            permit: None,
        };
    };
    let ask = (endpoint == CHAT).then(|| Ask::read(body)).flatten();
    if let Some(ask) = &ask {
        ticket.note(|entry| {
            entry.model.clone_from(&ask.model);
            entry.stream = ask.stream;
            entry.messages = ask.turns.len();
            entry.last_user = clip(ask.last_user(), LAST_USER_CHARS);
        });
    }
    let script = match script_for(shared, endpoint, head, ask.as_ref()) {
        Ok(script) => script,
        Err(error) => {
            let refusal = Refusal::plain(shared.make, 400, &error.to_string());
            return Routed {
                reply: Reply::Whole(Whole::refusal(refusal, &Script::default())),
                script: Script::default(),
                permit: None,
            };
        }
    };
    let (reply, permit) = match scripted(shared, head, &script, ask.as_ref()) {
        Some(whole) => (Reply::Whole(whole), None),
        None if endpoint == CHAT => chat(shared, head, body, ask.as_ref(), &script, ticket),
        None => (Reply::Whole(endpoints::answer(shared, head, endpoint, body, &script)), None),
    };
    let reply = match reply {
        Reply::Whole(mut whole) => {
            whole.headers.extend(headers(shared, ticket.n));
            Reply::Whole(whole)
        }
        Reply::Stream(answer, _) => Reply::Stream(answer, headers(shared, ticket.n)),
    };
    Routed { script, reply, permit }
}

/// What comes before any look at the request's content: the key, and replies that the script dictates.
fn scripted(shared: &Shared, head: &Head, script: &Script, ask: Option<&Ask>) -> Option<Whole> {
    let options = &shared.options;
    if let Some(refusal) =
        gates::key(shared.make, head.key(), options.required_key.as_deref(), options.keyless)
    {
        return Some(Whole::refusal(refusal, script));
    }
    if let Some(name) = &script.refuse {
        let model = ask.map(|ask| ask.base.as_str()).unwrap_or_default();
        return Some(Whole::refusal(refusal::by_name(shared.make, name, script, model), script));
    }
    if let Some(url) = &script.redirect {
        let mut whole = Whole::text(302, "text/html", refusal::gateway_page(302, "Found"));
        // A line break in it would forge a header.
        whole.headers.push(("location", url.replace(['\r', '\n'], "")));
        return Some(whole);
    }
    script.html.then(|| Whole::text(200, "text/html; charset=utf-8", refusal::gateway_page(200, "Welcome")))
}

fn chat(
    shared: &Arc<Shared>,
    head: &Head,
    body: &[u8],
    ask: Option<&Ask>,
    script: &Script,
    ticket: &Ticket,
) -> (Reply, Option<Permit>) {
    let make = shared.make;
    let refuse = |refusal: Refusal| (Reply::Whole(Whole::refusal(refusal, script)), None);
    if head.method != "POST" {
        return refuse(Refusal::plain(make, 405, "method not allowed"));
    }
    let Some(ask) = ask else {
        return refuse(Refusal::plain(make, 400, "Invalid request: the body is not a JSON object"));
    };
    let Some(permit) = Permit::take(shared, head.key()) else {
        return refuse(refusal::by_name(make, "concurrency", script, &ask.base));
    };
    let model = match gates::chat(make, ask) {
        Ok(model) => model,
        Err(refusal) => return refuse(refusal),
    };
    if let Some(refusal) = shared.files.lock().bad_reference(make, head.key(), ask) {
        return refuse(refusal);
    }
    let cached = shared.cache.lock().visit(head.key(), ask);
    let context = Context { make, seed: shared.options.seed, n: ticket.n, cached };
    let answer = Answer::new(&context, model, ask, body, script);
    ticket.note(|entry| {
        entry.prompt_tokens = answer.usage.prompt;
        entry.completion_tokens = answer.usage.completion;
    });
    if ask.stream && !script.wrong_type {
        return (Reply::Stream(Box::new(answer), Vec::new()), Some(permit));
    }
    let mut whole = Whole::text(200, "application/json", wire::completion(&answer));
    let chunks = answer.text.len() + usize::try_from(answer.think).unwrap_or(0);
    whole.work = work(script, chunks);
    (Reply::Whole(whole), Some(permit))
}
