//! What the official conformance suite looks for in a server, beside everything that the product has. No release has it: it is behind
//! the cargo feature `conformance`. It must show the product's transports, edge and engine as they are, and so only adds answers.
#![expect(
    deprecated,
    reason = "the eras with sessions have logging, sampling and roots, and the suite asks for them"
)]

mod asking;
mod changes;
mod contents;
mod library;
mod rounds;
mod tasks;

use std::borrow::Cow;

use exai_actors::tools::Toolbox;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ClientCapabilities,
    CompleteRequestParams, CompleteResult, ContentBlock, GetPromptRequestParams, GetPromptResponse,
    GetTaskParams, GetTaskResult, JsonObject, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams,
    ReadResourceResponse, Reference, SamplingCapability, ServerCapabilities, ServerConfig,
    SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
    UpdateTaskParams,
};
use rmcp::service::{RequestContext, RoleServer, SubscriptionContext};
use rmcp::{ErrorData, ServerHandler};
use serde_json::Value;

use super::handler::Handler;

/// What answers a connection.
pub(super) type Served = Fixtures;

/// The product's handler, and the fixtures in front of it.
#[derive(Clone)]
pub(super) struct Fixtures {
    product: Handler,
}

impl From<Handler> for Fixtures {
    fn from(product: Handler) -> Self {
        Self { product }
    }
}

impl Fixtures {
    /// The schema of a tool's arguments.
    pub(super) fn input_schema<'a>(toolbox: &'a Toolbox, tool: &str) -> Option<Cow<'a, JsonObject>> {
        let own = contents::tools().find(|own| own.name == tool);
        own.map(|own| Cow::Owned(JsonObject::clone(&own.input_schema)))
            .or_else(|| Handler::input_schema(toolbox, tool))
    }
}

impl ServerHandler for Fixtures {
    fn get_info(&self) -> ServerConfig {
        let mut info = self.product.get_info();
        info.capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_completions()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_tasks()
            .build();
        info
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.product.supported_protocol_versions()
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut list = self.product.list_tools(request, context).await?;
        list.tools.extend(contents::tools().chain(asking::tools()).chain(rounds::tools()));
        list.tools.extend(changes::tools().chain(tasks::tools()));
        Ok(list)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if let Some(content) = contents::of(&request.name) {
            return Ok(content.into());
        }
        if rounds::has(&request.name) {
            return rounds::tool(&self.product.principal, request, &context);
        }
        if tasks::has(&request.name) {
            return tasks::tool(request, &context).await;
        }
        match &*request.name {
            "test_missing_capability" => {
                if can(&context).sampling.is_some() {
                    return Ok(text("The client can sample."));
                }
                let mut wanted = ClientCapabilities::default();
                wanted.sampling = Some(SamplingCapability::default());
                Err(ErrorData::missing_required_client_capability(wanted))
            }
            "test_trigger_tool_change" => Ok(changes::tell(changes::Change::Tools)),
            "test_trigger_prompt_change" => Ok(changes::tell(changes::Change::Prompts)),
            contents::RECONNECTION => Ok(contents::reconnection(&context).await),
            name if asking::has(name) => Ok(asking::tool(&request, &context).await),
            name if contents::takes_time(name) => {
                let level = changes::level(self.product.session);
                contents::slowly(name, level, &context).await
            }
            _ => self.product.call_tool(request, context).await,
        }
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut list = self.product.list_resources(request, context).await?;
        list.resources.extend(library::resources());
        Ok(list)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let mut list = self.product.list_resource_templates(request, context).await?;
        list.resource_templates.push(library::template());
        Ok(list)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        match library::read(&request.uri) {
            Some(found) => Ok(found.into()),
            None => self.product.read_resource(request, context).await,
        }
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let mut list = self.product.list_prompts(request, context).await?;
        list.prompts.extend(library::prompts());
        Ok(list)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name == rounds::PROMPT {
            return rounds::prompt(&request, &context);
        }
        match library::prompt(&request)? {
            Some(found) => Ok(found.into()),
            None => self.product.get_prompt(request, context).await,
        }
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        if let Reference::Prompt(prompt) = &request.r#ref
            && library::has_prompt(&prompt.name)
        {
            return Ok(CompleteResult::default());
        }
        self.product.complete(request, context).await
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        legacy(&context)?;
        changes::set_level(self.product.session, request.level);
        Ok(())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        library::watched(&request.uri)
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        library::watched(&request.uri)
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        tasks::TASKS.get_task(&request.task_id).map(GetTaskResult::new)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        tasks::TASKS.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        tasks::TASKS.cancel_task(&request.task_id)
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        tokio::select! {
            () = changes::follow(&subscription) => {}
            () = subscription.cancelled() => {}
            () = self.product.leaving.cancelled() => {}
        }
        Ok(())
    }
}

/// Whether a request belongs to an era that has its method; the engine looks at that for most, but not for all.
fn legacy(context: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    if is_modern(context) {
        return Err(ErrorData::method_not_found::<rmcp::model::SetLevelRequestMethod>());
    }
    Ok(())
}

fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

/// What the client of a request can be asked for.
fn can(context: &RequestContext<RoleServer>) -> ClientCapabilities {
    context.client_capabilities().unwrap_or_default()
}

/// A tool; its schema is an object's.
fn tool(name: &'static str, description: &'static str, schema: Value) -> Tool {
    let Value::Object(schema) = schema else { unreachable!("a schema is an object") };
    Tool::new(name, description, schema)
}

fn text(words: impl Into<String>) -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text(words)]).into()
}
