//! What EXAI knows of providers by name. Data alone.

use exai_actors::provider::dialect::Dialect;

/// What goes without saying for a provider of a known name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preset {
    /// How it wants to be asked.
    pub(super) dialect: Dialect,
    /// Its usual address.
    pub(super) base_url: &'static str,
    /// Whether it wants a key.
    pub(super) key: KeyRule,
}

/// Whether a provider wants a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyRule {
    /// It does; these variables usually hold it, the first that is set wins.
    Needed(&'static [&'static str]),
    /// A server on this machine that wants none.
    NotNeeded,
}

impl Preset {
    /// The preset of that name.
    pub(super) fn of(name: &str) -> Option<Self> {
        let (dialect, base_url, key) = match name {
            "kimi" => (
                Dialect::Kimi,
                "https://api.moonshot.ai/v1",
                KeyRule::Needed(&["MOONSHOT_API_KEY", "KIMI_API_KEY"]),
            ),
            "glm" => (
                Dialect::Glm,
                "https://api.z.ai/api/paas/v4",
                KeyRule::Needed(&["ZAI_API_KEY", "GLM_API_KEY"]),
            ),
            "openai" => (Dialect::OpenAi, "https://api.openai.com/v1", KeyRule::Needed(&["OPENAI_API_KEY"])),
            "deepseek" => {
                (Dialect::OpenAi, "https://api.deepseek.com/v1", KeyRule::Needed(&["DEEPSEEK_API_KEY"]))
            }
            "openrouter" => {
                (Dialect::OpenAi, "https://openrouter.ai/api/v1", KeyRule::Needed(&["OPENROUTER_API_KEY"]))
            }
            "ollama" => (Dialect::OpenAi, "http://127.0.0.1:11434/v1", KeyRule::NotNeeded),
            "vllm" => (Dialect::OpenAi, "http://127.0.0.1:8000/v1", KeyRule::NotNeeded),
            // llama.cpp's own default port is 8080, which is this server's dashboard: only one of them can have it.
            "llamacpp" => (Dialect::OpenAi, "http://127.0.0.1:8080/v1", KeyRule::NotNeeded),
            "lmstudio" => (Dialect::OpenAi, "http://127.0.0.1:1234/v1", KeyRule::NotNeeded),
            _ => return None,
        };
        Some(Self { dialect, base_url, key })
    }
}
