//! Which call the running code works for, so that every line it logs says so by itself. A task carries its trail along; a message to
//! another actor that concerns one call takes it with it. It holds ids and nothing else.

use std::fmt;

use crate::dispatcher::messages::Caller;
use crate::ids::{CallId, SessionId};

tokio::task_local! {
    static TRAIL: Trail;
}

/// What a log line says of where it comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trail {
    /// The call.
    pub call: Option<CallId>,
    /// The connection that asked for it.
    pub session: Option<SessionId>,
    /// What its client calls it.
    pub traceparent: Option<Traceparent>,
}

impl Trail {
    /// The trail of a request that is no call yet.
    pub fn of_request(caller: &Caller) -> Self {
        Self { call: None, session: Some(caller.session), traceparent: caller.traceparent }
    }

    /// The same request, once it has become a call.
    #[must_use]
    pub fn of_call(self, call: CallId) -> Self {
        Self { call: Some(call), ..self }
    }

    /// The trail of the code that asks; empty where there is none.
    pub fn current() -> Self {
        TRAIL.try_with(|trail| *trail).unwrap_or_default()
    }

    /// Runs `work` on this trail.
    pub async fn follow<F: Future>(self, work: F) -> F::Output {
        TRAIL.scope(self, work).await
    }

    /// Does `work` on this trail.
    pub fn within<T>(self, work: impl FnOnce() -> T) -> T {
        TRAIL.sync_scope(self, work)
    }

    /// What there is of it, as the fields of a log line.
    pub fn fields(self) -> impl Iterator<Item = (&'static str, String)> {
        let call = self.call.map(|call| ("call", call.to_string()));
        let session = self.session.map(|session| ("session", session.to_string()));
        let traceparent = self.traceparent.map(|traceparent| ("traceparent", traceparent.to_string()));
        [call, session, traceparent].into_iter().flatten()
    }
}

/// Where a request stands in its client's trace (W3C Trace Context, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    trace: u128,
    parent: u64,
    flags: u8,
}

impl Traceparent {
    /// Reads the text of a `traceparent`; none where it is none, for then it is to be ignored (section 3.2.2). Of a later version it
    /// reads what this one knows.
    pub fn read(text: &str) -> Option<Self> {
        let (version, known) = (text.get(..3)?, text.get(3..55)?);
        let more = text.get(55..)?;
        let fits = if version == "00-" { more.is_empty() } else { more.is_empty() || more.starts_with('-') };
        let mut parts = known.split('-');
        let (trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?);
        let lengths = (trace.len(), parent.len(), flags.len()) == (32, 16, 2) && parts.next().is_none();
        let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let version = version.strip_suffix('-').filter(|version| hex(version) && *version != "ff");
        if !fits || !lengths || version.is_none() || ![trace, parent, flags].into_iter().all(hex) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
        let parent = u64::from_str_radix(parent, 16).ok().filter(|parent| *parent != 0)?;
        Some(Self { trace, parent, flags: u8::from_str_radix(flags, 16).ok()? })
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        let read = Traceparent::read(GOOD).map(|traceparent| traceparent.to_string());
        assert_eq!(read.as_deref(), Some(GOOD));
        let later = GOOD.replacen("00", "cc", 1);
        for good in [later.clone(), format!("{later}-what-will-be")] {
            assert_eq!(Traceparent::read(&good), Traceparent::read(GOOD), "{good}");
        }
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
        let forged = GOOD.replacen("4b", "\n\n", 1);
        let bad = [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-more"),
            &format!("{later}more"),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.to_uppercase(),
            &GOOD.replacen("4b", "é", 1),
            &GOOD.replace("-00f0", "0-0f0"),
            &zero_trace,
            &zero_parent,
            &forged,
        ];
        for bad in bad {
            assert_eq!(Traceparent::read(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn work_is_on_the_trail_that_it_was_put_on() {
        assert_eq!(Trail::current(), Trail::default());
        let trail = Trail { session: Some(SessionId::mint()), ..Trail::default() }.of_call(CallId::mint());
        let seen = trail.follow(async {
            tokio::task::yield_now().await;
            (Trail::current(), Trail::default().within(Trail::current), Trail::current())
        });
        assert_eq!(seen.await, (trail, Trail::default(), trail));
        assert_eq!(trail.fields().map(|(name, _)| name).collect::<Vec<_>>(), ["call", "session"]);
    }
}
