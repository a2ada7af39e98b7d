//! What a caller hears of an upstream failure: our own sentence for each class, which says what to do. Never the upstream's
//! prose, which could quote the prompt.

use crate::error::{CallError, ErrorKind};
use crate::ids::{ModelId, ProviderName};

use super::dialect::BadArgument;
use super::messages::{FailureClass, UpstreamFailure};

impl FailureClass {
    /// The class as it stands in logs, metric labels and error details.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Stale => "stale_connection",
            Self::Timeout => "timeout",
            Self::BrokenStream => "broken_stream",
            Self::Garbage => "garbage",
            Self::Flood => "flood",
            Self::Server => "server",
            Self::Busy => "busy",
            Self::Quota => "quota",
            Self::Key => "key",
            Self::UnknownModel => "unknown_model",
            Self::TooLong => "too_long",
            Self::ContentPolicy => "content_policy",
            Self::Rejected => "rejected",
            Self::OutputCap => "output_cap",
            Self::InvalidArguments => "invalid_arguments",
            Self::Misrouted => "misrouted",
            Self::Cancelled => "cancelled",
        }
    }

    /// The kind that callers match on.
    fn kind(self) -> ErrorKind {
        match self {
            Self::Connect
            | Self::Reset
            | Self::Stale
            | Self::BrokenStream
            | Self::Garbage
            | Self::Flood
            | Self::Server => ErrorKind::UpstreamError,
            Self::Timeout => ErrorKind::UpstreamTimeout,
            Self::Busy => ErrorKind::RateLimited,
            Self::Quota | Self::Key | Self::ContentPolicy | Self::Rejected | Self::OutputCap => {
                ErrorKind::UpstreamRejected
            }
            Self::UnknownModel => ErrorKind::UnknownModel,
            Self::TooLong => ErrorKind::TooLarge,
            Self::InvalidArguments => ErrorKind::InvalidArguments,
            Self::Misrouted => ErrorKind::Internal,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }
}

impl UpstreamFailure {
    /// The failure as its caller gets it. The detail holds class, provider, host, status and code.
    pub fn to_call_error(&self, provider: &ProviderName, model: &ModelId) -> CallError {
        let mut error = CallError::new(self.class.kind(), self.sentence(provider, model))
            .with("class", self.class.as_str())
            .with("provider", provider.as_str())
            .with("model", model.as_str())
            .with("host", self.host.as_str());
        if let Some(status) = self.status {
            error = error.with("status", status);
        }
        if let Some(code) = &self.code {
            error = error.with("code", code.as_str());
        }
        match self.retry_after {
            Some(wait) => error.retry_after(wait),
            None => error,
        }
    }

    fn sentence(&self, provider: &ProviderName, model: &ModelId) -> String {
        let host = &self.host;
        match self.class {
            FailureClass::Connect => format!(
                "no connection to {provider} ({host}): ask again in a moment, and check base_url and the network if it stays so"
            ),
            FailureClass::Reset | FailureClass::Stale => format!(
                "{provider} closed the connection before it answered: ask again, knowing that it may have run and billed the request"
            ),
            FailureClass::Timeout => {
                format!(
                    "{provider} stayed silent for too long: ask again, or ask a faster model than {model}"
                )
            }
            FailureClass::BrokenStream => format!("the answer of {model} broke off in the middle: ask again"),
            FailureClass::Garbage => format!(
                "{provider} ({host}) answered what is no answer of a chat model: ask again, and check base_url if it stays so"
            ),
            FailureClass::Flood => format!(
                "{provider} ({host}) sent without end more than an answer of {model} can be, or nothing of one: ask again, or ask another model"
            ),
            FailureClass::Server => format!("{provider} failed: ask again in a moment, or ask another model"),
            FailureClass::Busy => {
                format!(
                    "{provider} takes no more requests for {model} just now: ask again later, or ask another model"
                )
            }
            FailureClass::Quota => format!(
                "the quota or balance at {provider} is used up: recharge it or wait for its reset, and ask another provider's model until then"
            ),
            FailureClass::Key => {
                format!(
                    "{provider} ({host}) does not accept the configured key: set a valid one for this host"
                )
            }
            FailureClass::UnknownModel => format!(
                "{provider} ({host}) does not serve {model} to this account: ask another model, or check the model's name and base_url"
            ),
            FailureClass::TooLong => format!(
                "the prompt is longer than {model} takes: send less text or fewer files, or ask a model with a larger context"
            ),
            FailureClass::ContentPolicy => {
                format!(
                    "the content policy of {provider} refused this prompt or its answer: rephrase it, or ask another model"
                )
            }
            FailureClass::Rejected => {
                format!(
                    "{provider} refuses this request as it stands: change its arguments, or ask another model"
                )
            }
            FailureClass::OutputCap => format!(
                "{model} used up its output cap before it began to answer: raise max_tokens, or turn thinking off where the model allows it"
            ),
            FailureClass::InvalidArguments => self.argument_sentence(model),
            FailureClass::Misrouted => {
                format!(
                    "a request for {model} was about to go to {provider}, which does not serve it: report this defect"
                )
            }
            FailureClass::Cancelled => "cancelled".to_owned(),
        }
    }

    fn argument_sentence(&self, model: &ModelId) -> String {
        let code = self.code.as_deref();
        let is = |argument: BadArgument| code == Some(argument.as_str());
        if is(BadArgument::Temperature) {
            format!(
                "{model} does not take this temperature: its provider fixes it or limits its range; leave temperature out"
            )
        } else if is(BadArgument::Thinking) {
            format!("thinking cannot be set for {model}: leave thinking out, or ask another model")
        } else if is(BadArgument::MaxTokens) {
            format!("{model} does not take this max_tokens: give a smaller number, at least 1")
        } else {
            format!("{model} needs a question with text in every message: give a prompt that is not empty")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::provider::messages::Partial;

    #[test]
    fn a_caller_hears_what_to_do_and_no_word_of_the_upstream() {
        let failure = UpstreamFailure {
            class: FailureClass::Busy,
            status: Some(429),
            code: Some("1302".to_owned()),
            retry_after: Some(Duration::from_secs(3)),
            partial: Some(Partial("secret".to_owned())),
            tokens: 0,
            usage: None,
            host: "api.z.ai".to_owned(),
        };
        let error = failure.to_call_error(&"glm".into(), &"glm-5.3".into());
        assert_eq!((error.kind, error.retry_after_ms), (ErrorKind::RateLimited, Some(3000)));
        assert_eq!((&error.detail["status"], &error.detail["code"]), (&429.into(), &"1302".into()));
        assert!(!serde_json::to_string(&error).unwrap().contains("secret"));
    }

    #[test]
    fn a_bad_argument_is_named() {
        for argument in
            [BadArgument::Temperature, BadArgument::Thinking, BadArgument::MaxTokens, BadArgument::Prompt]
        {
            let failure = UpstreamFailure {
                class: FailureClass::InvalidArguments,
                status: None,
                code: Some(argument.as_str().to_owned()),
                retry_after: None,
                partial: None,
                tokens: 0,
                usage: None,
                host: "h".to_owned(),
            };
            let error = failure.to_call_error(&"kimi".into(), &"kimi-k3".into());
            assert_eq!(error.kind, ErrorKind::InvalidArguments);
            assert!(
                error.message.contains(argument.as_str()) && error.message.contains("kimi-k3"),
                "{}",
                error.message
            );
        }
    }
}
