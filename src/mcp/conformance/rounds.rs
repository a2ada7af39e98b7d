//! Requests that take several rounds (MCP 2026-07-28, basic/utilities/mrtr): what a client must say first is asked in the result, and
//! the state of the asking travels with it, sealed and bound to who asked what.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use exai_actors::ids::Principal;
use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, ContentBlock, ElicitResult,
    GetPromptRequestParams, GetPromptResponse, GetPromptResult, InputRequest, InputRequiredResult,
    InputResponses, PromptMessage, RequestStateCodec, Role, SealOptions, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};

use super::asking::{elicitation, is_answerable, roots, sampling};
use super::{text, tool as define};

/// The prompt that asks first.
pub(super) const PROMPT: &str = "test_input_required_result_prompt";
/// How long a client may take for its answer.
const STATE_TTL: Duration = Duration::from_secs(600);

const TOOLS: [&str; 9] = [
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
    "test_streaming_elicitation",
];

/// Seals states; its key lives as long as the process.
static CODEC: LazyLock<RequestStateCodec> = LazyLock::new(|| {
    let mut key = [0; RequestStateCodec::MIN_KEY_LENGTH];
    #[expect(clippy::expect_used, reason = "no state may be sealed with a key that somebody can guess")]
    getrandom::fill(&mut key).expect("random numbers");
    RequestStateCodec::new_unchecked(key)
});

type Questions = BTreeMap<String, InputRequest>;

pub(super) fn has(name: &str) -> bool {
    TOOLS.contains(&name)
}

pub(super) fn tools() -> impl Iterator<Item = Tool> {
    TOOLS.iter().map(|name| define(name, "asks for what it needs", json!({ "type": "object" })))
}

/// Calls one.
pub(super) fn tool(
    principal: &Principal,
    request: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let (name, answers) = (&*request.name, request.input_responses.unwrap_or_default());
    let who = format!("{}|tools/call|{name}", principal.as_str());
    let said = request.request_state.as_deref().map(|state| open(state, &who)).transpose()?;
    let is_stated = matches!(
        name,
        "test_input_required_result_request_state"
            | "test_input_required_result_multiple_inputs"
            | "test_input_required_result_multi_round"
            | "test_input_required_result_tampered_state"
    );
    let step = said.as_deref().unwrap_or("1");
    let mut questions = questions(name, step);
    // Where nothing at all can be asked the client is told what it lacks; otherwise it is asked what it can answer.
    let lacked = lacked(&questions, context);
    questions.retain(|_, question| is_answerable(question, context));
    if questions.is_empty() {
        return Err(ErrorData::missing_required_client_capability(lacked));
    }
    let mut words = Vec::new();
    for (key, question) in &questions {
        words.extend(answers.get(key).map(|answer| read(question, answer)).transpose()?);
    }
    if words.len() < questions.len() || (is_stated && said.is_none()) {
        let state = is_stated.then(|| seal(step, &who));
        return Ok(InputRequiredResult::new(Some(questions), state).into());
    }
    if name == "test_input_required_result_multi_round" && step == "1" {
        let next = self::questions(name, "2");
        return Ok(InputRequiredResult::new(Some(next), Some(seal("2", &who))).into());
    }
    let state = if is_stated { "state-ok: " } else { "" };
    Ok(text(format!("{state}Hello, {}!", words.join(", "))))
}

/// Gets the prompt.
pub(super) fn prompt(
    request: &GetPromptRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<GetPromptResponse, ErrorData> {
    let form = json!({ "context": { "type": "string" } });
    let question = elicitation("What context should the prompt use?", form, &["context"]);
    let questions = Questions::from([("user_context".to_owned(), question.clone())]);
    if !is_answerable(&question, context) {
        return Err(ErrorData::missing_required_client_capability(lacked(&questions, context)));
    }
    let answers: Option<&InputResponses> = request.input_responses.as_ref();
    match answers.and_then(|answers| answers.get("user_context")) {
        None => Ok(InputRequiredResult::from_input_requests(questions).into()),
        Some(answer) => {
            let words = format!("Use this context: {}", read(&question, answer)?);
            let message = PromptMessage::new(Role::User, ContentBlock::text(words));
            Ok(GetPromptResult::new(vec![message]).into())
        }
    }
}

fn questions(name: &str, step: &str) -> Questions {
    let form = |message: &str, field: &str, kind: &str| {
        elicitation(message, json!({ field: { "type": kind } }), &[field])
    };
    let who = || ("user_name", form("What is your name?", "name", "string"));
    let all = match (name, step) {
        ("test_input_required_result_sampling", _) => {
            vec![("capital_question", sampling("What is the capital of France?", 100))]
        }
        ("test_input_required_result_list_roots", _) => vec![("client_roots", roots())],
        ("test_input_required_result_request_state" | "test_input_required_result_tampered_state", _) => {
            vec![("confirm", form("Please confirm", "ok", "boolean"))]
        }
        ("test_input_required_result_multiple_inputs", _) => {
            vec![who(), ("greeting", sampling("Generate a greeting", 50)), ("client_roots", roots())]
        }
        ("test_input_required_result_multi_round", "1") => {
            vec![("step1", form("Step 1: What is your name?", "name", "string"))]
        }
        ("test_input_required_result_multi_round", _) => {
            vec![("step2", form("Step 2: What is your favorite color?", "color", "string"))]
        }
        ("test_input_required_result_capabilities", _) => {
            vec![who(), ("greeting", sampling("Generate a greeting", 50))]
        }
        _ => vec![who()],
    };
    all.into_iter().map(|(key, question)| (key.to_owned(), question)).collect()
}

/// What a client would need to be asked these.
fn lacked(questions: &Questions, context: &RequestContext<RoleServer>) -> ClientCapabilities {
    let mut lacked = ClientCapabilities::default();
    for question in questions.values().filter(|question| !is_answerable(question, context)) {
        match question {
            InputRequest::CreateMessage(_) => lacked.sampling = Some(Default::default()),
            InputRequest::Elicitation(_) => lacked.elicitation = Some(Default::default()),
            InputRequest::ListRoots(_) => lacked.roots = Some(Default::default()),
            // rmcp may learn of more; we ask none of them.
            _ => {}
        }
    }
    lacked
}

/// What an answer comes to, in words.
fn read(question: &InputRequest, answer: &Value) -> Result<String, ErrorData> {
    let wrong = || ErrorData::invalid_params("an input response does not fit what was asked", None);
    match question {
        InputRequest::Elicitation(_) => {
            let answer: ElicitResult = serde_json::from_value(answer.clone()).map_err(|_| wrong())?;
            let content = answer.content.unwrap_or_default();
            let first = content.as_object().and_then(|content| content.values().next());
            let words = first.map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
            Ok(words.unwrap_or_default())
        }
        InputRequest::CreateMessage(_) => {
            answer["content"]["text"].as_str().map(str::to_owned).ok_or_else(wrong)
        }
        InputRequest::ListRoots(_) => {
            let roots = answer["roots"].as_array().ok_or_else(wrong)?;
            let uris = roots.iter().filter_map(|root| root["uri"].as_str()).collect::<Vec<_>>();
            Ok(uris.join(" "))
        }
        // rmcp may learn of more; we ask none of them.
        _ => Err(wrong()),
    }
}

fn seal(step: &str, who: &str) -> String {
    let options = SealOptions::new().associated_data(who.as_bytes()).ttl(STATE_TTL);
    CODEC.seal_with(step.as_bytes(), &options)
}

/// The step of a state that is ours, of this client and this request, and young enough.
fn open(state: &str, who: &str) -> Result<String, ErrorData> {
    let wrong = || ErrorData::invalid_params("the request state is not one of this server's", None);
    let step = CODEC.open_with(state, who.as_bytes()).map_err(|_| wrong())?;
    String::from_utf8(step).map_err(|_| wrong())
}
