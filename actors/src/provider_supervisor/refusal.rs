//! The words of a refusal: what stands in a circuit's way, as the error that a caller gets. Pure.

use std::time::Duration;

use super::circuit::{Reason, Refusal, Scope};
use super::messages::ParkReason;
use crate::clock::Moment;
use crate::error::{CallError, ErrorKind};
use crate::ids::{ModelId, ProviderName};
use crate::metrics::messages::BreakerPosition;

impl Refusal {
    /// The error, with `since` and `until` on the wall clock.
    pub(super) fn to_error(self, provider: &ProviderName, model: &ModelId, at: Moment) -> CallError {
        let mut error = CallError::new(self.kind(), self.sentence(provider, model))
            .with("provider", provider.as_str())
            .with("model", model.as_str());
        if let Some(state) = self.state() {
            error = error.with("state", state.as_str());
        }
        if let Reason::Parked(reason) = self.reason {
            error = error.with("reason", reason.as_str());
        }
        if let Some(since) = self.since {
            error = error.with("since", at.utc_of(since).0);
        }
        if let Some(until) = self.until {
            error = error.with("until", at.utc_of(until).0);
        }
        match self.wait {
            // Rounded up: whoever comes back a part of a millisecond early would be refused again.
            Some(wait) => error.retry_after(wait + Duration::from_micros(999)),
            None => error,
        }
    }

    fn kind(self) -> ErrorKind {
        match self.reason {
            Reason::ForcedOpen(_)
            | Reason::Parked(_)
            | Reason::ConnectionGone
            | Reason::Open(_)
            | Reason::Probing(_) => ErrorKind::BreakerOpen,
            Reason::TooFast => ErrorKind::RateLimited,
            Reason::NoRetries => ErrorKind::OverCapacity,
        }
    }

    fn state(self) -> Option<BreakerPosition> {
        match self.reason {
            Reason::ForcedOpen(_) => Some(BreakerPosition::ForcedOpen),
            Reason::Parked(_) => Some(BreakerPosition::Parked),
            Reason::ConnectionGone | Reason::Open(_) => Some(BreakerPosition::Open),
            Reason::Probing(_) => Some(BreakerPosition::HalfOpen),
            Reason::TooFast | Reason::NoRetries => None,
        }
    }

    fn sentence(self, provider: &ProviderName, model: &ModelId) -> String {
        let who = |scope| match scope {
            Scope::Provider => provider.to_string(),
            Scope::Model => format!("{model} of {provider}"),
        };
        let other = |scope| match scope {
            Scope::Provider => "another provider's model",
            Scope::Model => "another model",
        };
        let seconds = self.wait.map_or(0, |wait| wait.as_secs() + 1);
        match self.reason {
            Reason::ForcedOpen(scope) => {
                format!("{} has been switched off by the operator: ask {}.", who(scope), other(scope))
            }
            Reason::Parked(ParkReason::Key) => format!(
                "{provider} refuses the configured key: give it another one, or ask another provider's model."
            ),
            Reason::Parked(ParkReason::Quota) if self.wait.is_some() => format!(
                "The quota at {provider} is used up: ask again in {seconds} s, or ask another provider's model."
            ),
            Reason::Parked(ParkReason::Quota) => format!(
                "The quota or balance at {provider} is used up: top it up and reset the provider, or ask another provider's model."
            ),
            Reason::ConnectionGone => format!(
                "{provider} is being left alone after failures: ask again in {seconds} s, or ask another provider's model."
            ),
            Reason::Open(scope) => format!(
                "{} is being left alone after failures: ask again in {seconds} s, or ask {}.",
                who(scope),
                other(scope)
            ),
            Reason::Probing(scope) => format!(
                "{} failed, and one call is finding out whether it works again: ask again in {seconds} s, or ask {}.",
                who(scope),
                other(scope)
            ),
            Reason::TooFast => format!(
                "{model} of {provider} takes no more calls just now: ask again in {seconds} s, or ask another model."
            ),
            Reason::NoRetries => {
                format!("Too many calls to {provider} are being repeated already: ask again in {seconds} s.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{self, UtcMillis};

    #[test]
    fn a_refusal_says_since_when_until_when_and_what_to_do() {
        let now = clock::now();
        let at = Moment { now, utc: UtcMillis(1_000_000) };
        let until = now + Duration::from_micros(2_499_001);
        let refusal = Refusal {
            reason: Reason::Open(Scope::Model),
            since: Some(now),
            until: Some(until),
            wait: Some(until.duration_since(now)),
        };
        let error = refusal.to_error(&"kimi".into(), &"kimi-k2.6".into(), at);
        assert_eq!((error.kind, error.retry_after_ms), (ErrorKind::BreakerOpen, Some(2_500)));
        assert_eq!(
            error.message,
            "kimi-k2.6 of kimi is being left alone after failures: ask again in 3 s, or ask another model."
        );
        let detail = serde_json::json!({
            "provider": "kimi", "model": "kimi-k2.6", "state": "open", "since": 1_000_000, "until": 1_002_499,
        });
        assert_eq!(serde_json::Value::Object(error.detail), detail);
    }

    #[test]
    fn waiting_is_advised_only_where_it_helps() {
        let at = Moment { now: clock::now(), utc: UtcMillis(0) };
        for reason in [Reason::Parked(ParkReason::Key), Reason::ForcedOpen(Scope::Provider)] {
            let refusal = Refusal { reason, since: Some(at.now), until: None, wait: None };
            let error = refusal.to_error(&"kimi".into(), &"kimi-k2.6".into(), at);
            assert_eq!((error.kind, error.retry_after_ms), (ErrorKind::BreakerOpen, None));
            assert!(!error.message.contains("again in"), "{}", error.message);
            assert_eq!(error.detail.get("reason").is_some(), matches!(reason, Reason::Parked(_)));
        }
    }
}
