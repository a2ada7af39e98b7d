//! Tools whose calls become tasks where the client has the extension `io.modelcontextprotocol/tasks` (SEP-2663), and those tasks. The
//! product has none: its calls have ids, and its tool `result`.

use std::sync::LazyLock;
use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock,
    CreateTaskResult, InputRequest, InputRequiredResult, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use serde_json::{Value, json};

use super::asking::elicitation;
use super::{can, text, tool as define};

/// How often a client may look.
const POLL_MS: u64 = 100;
/// How long a job takes that then fails.
const BEFORE_FAILING: Duration = Duration::from_secs(1);
/// The longest computation.
const SECONDS_MAX: f64 = 120.0;
/// The question of the tool that asks before it becomes a task.
const USER_NAME: &str = "user_name";

const TOOLS: [(&str, &str); 7] = [
    ("greet", "greets, never as a task"),
    ("slow_compute", "takes some seconds, as a task where that can be"),
    ("failing_job", "fails, as a task alone"),
    ("protocol_error_job", "breaks, as a task alone"),
    ("confirm_delete", "asks its client, as a task alone"),
    ("multi_input", "asks its client twice at once, as a task alone"),
    ("test_tool_with_task", "asks its client first, and goes on as a task"),
];

/// Lives as long as the process, as the sessions that made its tasks may not. Who knows the random name of a task may ask for it.
pub(super) static TASKS: LazyLock<TaskManager> = LazyLock::new(TaskManager::new);

/// What a task does.
enum Job {
    Compute(Duration),
    Fail,
    Break,
    Confirm(String),
    AskTwice,
    Greet(String),
}

pub(super) fn has(name: &str) -> bool {
    TOOLS.iter().any(|(tool, _)| *tool == name)
}

pub(super) fn tools() -> impl Iterator<Item = Tool> {
    TOOLS.iter().map(|(name, words)| define(name, words, json!({ "type": "object" })))
}

/// Calls one.
pub(super) async fn tool(
    request: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let arguments = Value::Object(request.arguments.unwrap_or_default());
    let words = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
    let seconds = arguments["seconds"].as_f64().unwrap_or_default().clamp(0.0, SECONDS_MAX);
    let job = match &*request.name {
        "greet" => return Ok(text(format!("Hello, {}!", words("name")))),
        "slow_compute" => Job::Compute(Duration::from_secs_f64(seconds)),
        "failing_job" => Job::Fail,
        "protocol_error_job" => Job::Break,
        "confirm_delete" => Job::Confirm(words("filename")),
        "multi_input" => Job::AskTwice,
        _ => {
            let answers = request.input_responses.unwrap_or_default();
            let Some(answer) = answers.get(USER_NAME) else {
                let questions = [(USER_NAME.to_owned(), form("What is your name?", "name", "string"))];
                return Ok(InputRequiredResult::from_input_requests(questions.into()).into());
            };
            Job::Greet(answer["content"]["name"].as_str().unwrap_or_default().to_owned())
        }
    };
    if can(context).supports_tasks() {
        let options = TaskOptions::new().with_poll_interval_ms(POLL_MS);
        let task = TASKS.spawn(options, |task| Box::pin(run(job, task)));
        return Ok(CallToolResponse::Task(CreateTaskResult::new(task)));
    }
    let Job::Compute(takes) = job else {
        let lacked = ClientCapabilities::builder().enable_tasks().build();
        return Err(ErrorData::missing_required_client_capability(lacked));
    };
    tokio::select! {
        () = tokio::time::sleep(takes) => Ok(text("Computed.")),
        () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
    }
}

async fn run(job: Job, task: TaskContext) -> Result<CallToolResult, TaskExit> {
    let takes = if let Job::Compute(takes) = job { takes } else { BEFORE_FAILING };
    let pause = async {
        tokio::select! {
            () = tokio::time::sleep(takes) => Ok(()),
            () = task.cancelled() => Err(TaskExit::Cancelled),
        }
    };
    let words = match job {
        Job::Compute(_) => {
            pause.await?;
            "Computed.".to_owned()
        }
        Job::Fail => {
            pause.await?;
            return Ok(CallToolResult::error(vec![ContentBlock::text("This job always fails.")]));
        }
        Job::Break => {
            pause.await?;
            return Err(ErrorData::internal_error("This job always breaks.", None).into());
        }
        Job::Confirm(file) => {
            let question = form(&format!("Delete {file}?"), "confirm", "boolean");
            let answer = task.request_input("confirm", question).await?;
            format!("Deleted {file}: {}", answer["content"]["confirm"] == true)
        }
        Job::AskTwice => {
            let name = task.request_input("name", form("What is your name?", "name", "string"));
            let sure = task.request_input("confirm", form("Are you sure?", "confirm", "boolean"));
            let (name, sure) = tokio::try_join!(name, sure)?;
            format!("{} is sure: {}", name["content"]["name"], sure["content"]["confirm"])
        }
        Job::Greet(name) => format!("Hello, {name}!"),
    };
    Ok(CallToolResult::success(vec![ContentBlock::text(words)]))
}

fn form(message: &str, field: &str, kind: &str) -> InputRequest {
    elicitation(message, json!({ field: { "type": kind } }), &[field])
}
