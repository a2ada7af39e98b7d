//! The model ids each make answers to, as of November 2026 (provider facts, tables A2 and B2), and whether they think.

use crate::Make;

/// When a model reasons before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// Always; asking otherwise is refused, or (K3) not possible.
    Always,
    /// Unless `thinking.type` is `disabled`.
    Default,
    Never,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) id: &'static str,
    /// Prompt and answer together, in tokens.
    pub(crate) context: u64,
    pub(crate) thinking: Thinking,
}

const fn model(id: &'static str, context: u64, thinking: Thinking) -> Model {
    Model { id, context, thinking }
}

const KIMI: &[Model] = &[
    model("kimi-k3.1-pro", 1_048_576, Thinking::Always),
    model("kimi-k3.1-pro-highspeed", 1_048_576, Thinking::Always),
    model("kimi-k3", 1_048_576, Thinking::Always),
    model("kimi-k2.7-code", 262_144, Thinking::Always),
    model("kimi-k2.7-code-highspeed", 262_144, Thinking::Always),
    model("kimi-k2.6", 262_144, Thinking::Default),
];

const GLM: &[Model] = &[
    model("glm-5.3", 1_048_576, Thinking::Always),
    model("glm-5.2", 1_048_576, Thinking::Default),
    model("glm-5.1", 204_800, Thinking::Default),
    model("glm-5", 204_800, Thinking::Default),
    model("glm-5-turbo", 204_800, Thinking::Default),
    model("glm-4.7", 204_800, Thinking::Default),
    model("glm-4.7-flash", 204_800, Thinking::Default),
    model("glm-4.7-flashx", 204_800, Thinking::Default),
    model("glm-4.6", 204_800, Thinking::Default),
    model("glm-4.5", 131_072, Thinking::Default),
    model("glm-4.5-air", 131_072, Thinking::Default),
    model("glm-4.5-x", 131_072, Thinking::Default),
    model("glm-4.5-airx", 131_072, Thinking::Default),
    model("glm-4.5-flash", 131_072, Thinking::Default),
    model("glm-4-32b-0414-128k", 131_072, Thinking::Never),
    model("glm-5.3-flash", 1_048_576, Thinking::Default),
    model("glm-5.3-flashx", 1_048_576, Thinking::Default),
    model("glm-5v-turbo", 204_800, Thinking::Default),
    model("glm-4.6v", 131_072, Thinking::Default),
    model("glm-4.6v-flash", 131_072, Thinking::Default),
    model("glm-4.6v-flashx", 131_072, Thinking::Default),
    model("glm-4.5v", 65_536, Thinking::Default),
];

/// The OpenAI make lists one id and accepts any.
const OPENAI: &[Model] = &[model("double-1", 131_072, Thinking::Never)];

/// What a make lists.
pub(crate) fn all(make: Make) -> &'static [Model] {
    match make {
        Make::Kimi => KIMI,
        Make::Glm => GLM,
        Make::OpenAi => OPENAI,
    }
}

/// The model of that id; none means the model gate refuses it.
pub(crate) fn find(make: Make, id: &str) -> Option<Model> {
    let known = all(make).iter().find(|model| model.id == id).copied();
    match make {
        Make::Kimi | Make::Glm => known,
        Make::OpenAi => known.or(OPENAI.first().copied()),
    }
}

/// The body of `GET /models`.
pub(crate) fn list(make: Make) -> serde_json::Value {
    let data: Vec<serde_json::Value> = all(make)
        .iter()
        .map(|model| match make {
            Make::Kimi => serde_json::json!({
                "id": model.id, "object": "model", "created": 1_753_632_000, "owned_by": "moonshot",
                "context_length": model.context, "supports_image_in": true, "supports_video_in": true, "supports_reasoning": true,
            }),
            Make::Glm => serde_json::json!({"id": model.id, "object": "model", "created": 1_753_632_000, "owned_by": "z-ai"}),
            Make::OpenAi => serde_json::json!({"id": model.id, "object": "model", "created": 1_753_632_000, "owned_by": "double"}),
        })
        .collect();
    serde_json::json!({"object": "list", "data": data})
}
