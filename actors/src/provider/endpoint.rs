//! Where a provider is reached and with which key, tied together for good: a request can be built through an endpoint alone, so
//! no key can travel to another provider's host. Must never show a key.

use std::fmt;
use std::net::IpAddr;

use awc::ClientRequest;
use awc::http::header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, HeaderValue};
use sha2::{Digest, Sha256};
use url::{Host, Url};

use crate::ids::ProviderName;

/// Hex digits of a key's fingerprint.
const FINGERPRINT_DIGITS: usize = 8;

/// A provider's secret. It has no `Display` and cannot be serialised; `Debug` shows stars.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// The key as the provider issued it. An empty one stands for a server that asks for none, as local ones do.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The first eight hex digits of its SHA-256: enough to tell keys apart, nothing to guess one from.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.0.as_bytes());
        digest.iter().take(FINGERPRINT_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

/// Why a base URL or a key cannot be used. Shows neither of them: an address may carry a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL.
    #[error("base_url of provider {provider} is not a URL")]
    NotAUrl {
        /// The provider.
        provider: ProviderName,
        /// What the parser says.
        #[source]
        source: url::ParseError,
    },
    /// Plain HTTP would send the key in the clear.
    #[error("base_url of provider {0} must begin with https:// (http:// is for loopback hosts alone)")]
    NotHttps(ProviderName),
    /// User, password, query or fragment.
    #[error(
        "base_url of provider {0} must be scheme, host and path alone: no user, password, query or fragment"
    )]
    Surplus(ProviderName),
    /// The key cannot stand in a header.
    #[error("the key of provider {0} has characters that no HTTP header can carry: copy it again")]
    BadKey(ProviderName),
}

/// What a provider offers under its base URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `POST`: one answer to one conversation.
    ChatCompletions,
    /// `GET`: the models that it serves.
    Models,
}

impl Resource {
    fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Models => "/models",
        }
    }
}

/// One provider's host, base URL and key, made once and never changed.
#[derive(Clone)]
pub struct Endpoint {
    provider: ProviderName,
    /// Without a slash at its end.
    base: String,
    host: String,
    fingerprint: String,
    authorization: Option<HeaderValue>,
}

impl Endpoint {
    /// Ties the key to the base URL: `https` only, except for loopback hosts (127.0.0.0/8, ::1, localhost).
    pub fn new(provider: ProviderName, base_url: &str, key: &Key) -> Result<Self, EndpointError> {
        let url = Url::parse(base_url.trim())
            .map_err(|source| EndpointError::NotAUrl { provider: provider.clone(), source })?;
        match url.scheme() {
            "https" => {}
            "http" if url.host().is_some_and(|host| is_loopback(&host)) => {}
            _ => return Err(EndpointError::NotHttps(provider)),
        }
        let bare = url.username().is_empty() && url.password().is_none();
        if !bare || url.query().is_some() || url.fragment().is_some() {
            return Err(EndpointError::Surplus(provider));
        }
        let authorization = authorization(key).map_err(|_| EndpointError::BadKey(provider.clone()))?;
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => return Err(EndpointError::NotHttps(provider)),
        };
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { provider, base, host, fingerprint: key.fingerprint(), authorization })
    }

    /// The same host with another key of the same provider.
    pub fn rekeyed(&self, key: &Key) -> Result<Self, EndpointError> {
        Self::new(self.provider.clone(), &self.base, key)
    }

    /// Whose endpoint this is.
    pub fn provider(&self) -> &ProviderName {
        &self.provider
    }

    /// The host, with its port where that is not the scheme's own.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The first eight hex digits of the SHA-256 of the key.
    pub fn key_fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// A request that sends something to `resource`, with the key in it.
    pub(super) fn post(&self, client: &awc::Client, resource: Resource) -> ClientRequest {
        let request = client
            .post(self.url(resource))
            .insert_header((ACCEPT, "text/event-stream"))
            // Z.ai chooses the language of its error messages by this, and we read some of them.
            .insert_header((ACCEPT_LANGUAGE, "en-US,en"))
            .content_type("application/json");
        self.authorized(request)
    }

    /// A request that reads `resource`, with the key in it. Beside [`Self::post`] the only way to make one.
    pub(super) fn get(&self, client: &awc::Client, resource: Resource) -> ClientRequest {
        self.authorized(client.get(self.url(resource)))
    }

    fn url(&self, resource: Resource) -> String {
        format!("{}{}", self.base, resource.path())
    }

    fn authorized(&self, request: ClientRequest) -> ClientRequest {
        match &self.authorization {
            Some(key) => request.insert_header((AUTHORIZATION, key.clone())),
            None => request,
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Endpoint({} at {}, key {})", self.provider, self.host, self.fingerprint)
    }
}

fn authorization(key: &Key) -> Result<Option<HeaderValue>, awc::http::header::InvalidHeaderValue> {
    if key.0.is_empty() {
        return Ok(None);
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.0))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => IpAddr::V4(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::V6(*address).is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base_url: &str) -> Result<Endpoint, EndpointError> {
        Endpoint::new("kimi".into(), base_url, &Key::new("sk-secret"))
    }

    #[test]
    fn https_only_except_for_loopback() {
        for good in [
            "https://api.moonshot.ai/v1",
            "http://127.0.0.1:8080/v1",
            "http://127.9.9.9",
            "http://[::1]:11434/v1",
            "http://localhost:1234/v1/",
        ] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in [
            "http://api.moonshot.ai/v1",
            "http://10.0.0.1",
            "http://localhost.evil.example",
            "ftp://127.0.0.1",
        ] {
            assert_eq!(endpoint(bad).err(), Some(EndpointError::NotHttps("kimi".into())), "{bad}");
        }
        for bad in ["https://u@h/v1", "https://u:p@h/v1", "https://h/v1?k=v", "https://h/v1#f"] {
            assert_eq!(endpoint(bad).err(), Some(EndpointError::Surplus("kimi".into())), "{bad}");
        }
        assert!(matches!(endpoint("api.moonshot.ai"), Err(EndpointError::NotAUrl { .. })));
        let torn = Endpoint::new("kimi".into(), "https://h/v1", &Key::new("sk-\nx"));
        assert_eq!(torn.err(), Some(EndpointError::BadKey("kimi".into())));
    }

    #[test]
    fn the_host_names_a_port_only_where_it_is_unusual() {
        assert_eq!(endpoint("https://api.z.ai/api/paas/v4/").unwrap().host(), "api.z.ai");
        assert_eq!(endpoint("https://api.z.ai:443/v4").unwrap().host(), "api.z.ai");
        assert_eq!(endpoint("http://[::1]:11434/v1").unwrap().host(), "[::1]:11434");
    }

    #[test]
    fn a_key_never_shows() {
        let key = Key::new("sk-secret");
        let endpoint = endpoint("https://api.moonshot.ai/v1").unwrap();
        let shown = format!("{key:?} {endpoint:?} {:?}", endpoint.authorization);
        assert!(!shown.contains("secret"), "{shown}");
        assert_eq!(Key::new("").fingerprint(), "e3b0c442");
        assert_eq!(endpoint.key_fingerprint().len(), FINGERPRINT_DIGITS);
    }
}
