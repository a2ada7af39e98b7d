//! Answers MCP requests out of the toolbox. One per connection, for every transport; what the tools do is not its business.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::{Principal, SessionId};
use exai_actors::tools::{Definition, Toolbox};
use exai_actors::trail::Trail;
use futures_util::FutureExt;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult,
    GetPromptRequestParams, GetPromptResponse, Implementation, JsonObject, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig,
    SubscriptionFilter, Tool, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer, SubscriptionContext};
use rmcp::{ErrorData, ServerHandler};
use tokio_util::sync::CancellationToken;

use super::edge::VERSIONS;
use super::monitor::Monitor;
use super::patience::Patience;
use super::{answers, completions, prompts, resources};

/// What every client is told about this server.
const INSTRUCTIONS: &str = "Consult other models (Kimi, GLM and others) for a second opinion, a review, a plan or a hard bug. \
     Give the whole question: the other model sees only what you pass. To go on with a conversation, pass the \
     `continuation_id` of its last receipt; to fetch an answer that you stopped waiting for, use `result` with its `call_id`.";
/// How much of an unknown tool's name is given back.
const NAME_CHARS_MAX: usize = 64;

/// Answers one connection.
#[derive(Clone)]
pub(super) struct Handler {
    /// What can be called.
    pub(super) toolbox: Toolbox,
    /// Who calls.
    pub(super) principal: Principal,
    /// From which connection.
    pub(super) session: SessionId,
    /// The client is gone, and did not cancel.
    pub(super) gone: CancellationToken,
    /// The server is leaving.
    pub(super) leaving: CancellationToken,
    /// The server takes no new calls, and waits for those that run.
    pub(super) draining: Draining,
    /// How long clients wait.
    pub(super) patience: Patience,
    /// Told how calls are answered.
    pub(super) monitor: Monitor,
}

/// The drain: when it begins, and how long running calls get.
#[derive(Debug, Clone)]
pub(crate) struct Draining {
    /// Cancelled when it begins.
    pub(crate) begun: CancellationToken,
    /// How long running calls get.
    pub(crate) within: Duration,
}

impl Handler {
    /// The schema of a tool's arguments.
    pub(super) fn input_schema<'a>(toolbox: &'a Toolbox, tool: &str) -> Option<Cow<'a, JsonObject>> {
        let definition = toolbox.definitions().iter().find(|definition| definition.name == tool)?;
        Some(Cow::Borrowed(&definition.input_schema))
    }

    fn trail(&self) -> Trail {
        Trail { session: Some(self.session), ..Trail::default() }
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let this_server = Implementation::new("exai", env!("CARGO_PKG_VERSION")).with_title("EXAI");
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .enable_resources()
            .enable_completions()
            .build();
        ServerConfig::new(capabilities).with_server_info(this_server).with_instructions(INSTRUCTIONS)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&VERSIONS)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        resources::one_page(request)?;
        let tools = self.toolbox.definitions().iter().map(tool).collect();
        let listed = ListToolsResult::with_all_items(tools).with_ttl_ms(resources::LIST_TTL_MS);
        Ok(listed.with_cache_scope(CacheScope::Public))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if !self.toolbox.definitions().iter().any(|definition| definition.name == request.name) {
            self.monitor.error();
            return Err(unknown_tool(&request.name));
        }
        let call = self.call(request, &context);
        // The engine would leave a request whose handler panicked without any answer, and its client waiting.
        let result = AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| {
            log::error!(session:% = self.session; "the handler of a tool call panicked");
            let message = "EXAI failed while it handled this call; the failure is logged.";
            answers::failed(&CallError::new(ErrorKind::Internal, message))
        });
        // Who cancelled is not answered.
        if result.is_error == Some(true) && !context.ct.is_cancelled() {
            self.monitor.error();
        }
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        self.trail().follow(resources::list(&self.toolbox, &self.principal, request)).await
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        resources::templates(request)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let read = resources::read(&self.toolbox, &self.principal, &request.uri);
        self.trail().follow(read).await.map(Into::into)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        self.trail().follow(completions::complete(&self.toolbox, &self.principal, request)).await
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        resources::one_page(request)?;
        Ok(prompts::list(self.toolbox.definitions()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        prompts::get(self.toolbox.definitions(), request).map(Into::into)
    }

    /// Nothing that could be subscribed to ever changes; who asks is heard, acknowledged and told when the server leaves.
    fn accepted_subscription_filter(&self, _: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(SubscriptionFilter::default())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        tokio::select! {
            () = subscription.cancelled() => {}
            () = self.leaving.cancelled() => {}
        }
        Ok(())
    }
}

fn tool(definition: &Definition) -> Tool {
    let Definition { name, title, description, ref input_schema, read_only, open_world } = *definition;
    let annotations = ToolAnnotations::with_title(title).read_only(read_only).open_world(open_world);
    Tool::new(name, description, input_schema.clone()).with_title(title).with_annotations(annotations)
}

fn unknown_tool(name: &str) -> ErrorData {
    let name = name.chars().take(NAME_CHARS_MAX).collect::<String>();
    let shape = CallError::new(ErrorKind::UnknownTool, "");
    let data = serde_json::to_value(shape).ok();
    ErrorData::invalid_params(format!("There is no tool `{name}`; `tools/list` names those there are."), data)
}
