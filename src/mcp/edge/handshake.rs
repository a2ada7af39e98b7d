//! Who is on the other side of a connection, and how it left the handshake: by `initialize`, or by a request that needs none. Pure.

use rmcp::model::{
    ClientCapabilities, ClientRequest, ElicitationCapability, GetMeta, Implementation,
    InitializeRequestParams, InitializeResult, ProtocolVersion, RootsCapabilities, SamplingCapability,
};

use super::VERSIONS;

/// The longest name, and the longest version, of a client that is kept.
const CLIENT_CHARS_MAX: usize = 120;

/// Who is on the other side, as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mcp) struct Facts {
    /// Name and version.
    pub(in crate::mcp) client: String,
    /// The name alone.
    pub(in crate::mcp) name: String,
    /// The protocol version in use.
    pub(in crate::mcp) protocol: String,
}

/// How a connection left the handshake: all that an engine must know of the ones before it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::mcp) enum Greeting {
    /// By `initialize`: who asked, what it can be asked for, and the version that was agreed on.
    Initialized(Box<Implementation>, Offers, ProtocolVersion),
    /// By a request that says everything in its own `_meta`, in this version (MCP 2026-07-28, basic).
    Inline(ProtocolVersion),
}

/// What a client said that a server may ask of it; of the rest of its capabilities nothing is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::mcp) struct Offers {
    elicitation: bool,
    sampling: bool,
    roots: bool,
}

impl Offers {
    fn of(capabilities: &ClientCapabilities) -> Self {
        Self {
            elicitation: capabilities.elicitation.is_some(),
            sampling: capabilities.sampling.is_some(),
            roots: capabilities.roots.is_some(),
        }
    }
}

impl From<Offers> for ClientCapabilities {
    fn from(offers: Offers) -> Self {
        let mut capabilities = Self::default();
        capabilities.elicitation = offers.elicitation.then(ElicitationCapability::default);
        capabilities.sampling = offers.sampling.then(SamplingCapability::default);
        capabilities.roots = offers.roots.then(RootsCapabilities::default);
        capabilities
    }
}

/// What the handshake of one connection has come to.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    greeting: Option<Greeting>,
    /// Who asked to `initialize`, until that is answered.
    asker: Option<(Implementation, Offers)>,
    facts: Option<Facts>,
}

impl Handshake {
    /// How it ended, once it has.
    pub(super) fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    /// Who is on the other side; once, when it is known.
    pub(super) fn take_facts(&mut self) -> Option<Facts> {
        self.facts.take()
    }

    /// Notes a request that the engine gets.
    pub(super) fn asked(&mut self, request: &ClientRequest) {
        let meta = request.get_meta();
        if let ClientRequest::InitializeRequest(request) = request {
            let InitializeRequestParams { client_info, capabilities, .. } = &request.params;
            self.asker = Some((short(client_info), Offers::of(capabilities)));
            return;
        }
        // The engine answers these without leaving its handshake.
        let stays = matches!(request, ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_));
        if self.greeting.is_some() || stays {
            return;
        }
        let version = meta.protocol_version().filter(|version| VERSIONS.contains(version));
        let complete = meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty();
        if let Some(version) = version.filter(|_| complete) {
            let client = meta.client_info().map(|client| short(&client));
            self.facts = Some(facts(client.as_ref(), &version));
            self.greeting = Some(Greeting::Inline(version));
        }
    }

    /// Notes the engine's answer to `initialize`. A second one is asked by whom it may be; a connection that began without one stays
    /// so.
    pub(super) fn initialized(&mut self, result: &InitializeResult) {
        let Some((client, offers)) = self.asker.take() else { return };
        match self.greeting {
            None => self.facts = Some(facts(Some(&client), &result.protocol_version)),
            Some(Greeting::Initialized(..)) => {}
            Some(Greeting::Inline(_)) => return,
        }
        self.greeting =
            Some(Greeting::Initialized(Box::new(client), offers, result.protocol_version.clone()));
    }
}

fn facts(client: Option<&Implementation>, protocol: &ProtocolVersion) -> Facts {
    // What a client calls itself ends up in a table and on a page: no control characters, and not without end.
    let tame = |text: &str| text.chars().filter(|char| !char.is_control()).take(CLIENT_CHARS_MAX).collect();
    let name = client.map(|client| tame(&client.name)).unwrap_or_default();
    let client = client.map(|client| tame(&format!("{} {}", client.name, client.version)));
    let client = client.unwrap_or_default();
    Facts { client, name, protocol: protocol.as_str().to_owned() }
}

/// Of a client's own description what is used of it, and not without end.
fn short(client: &Implementation) -> Implementation {
    let short = |text: &str| text.chars().take(CLIENT_CHARS_MAX).collect::<String>();
    Implementation::new(short(&client.name), short(&client.version))
}
