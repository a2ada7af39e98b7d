//! What the doctor finds in the files of MCP clients: whether each entry of ours leads to this daemon, opens it, and leaves a call its time.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use url::{Host, Url};

use super::finding::Finding;
use crate::cli::connect::clients::{self, Client, Transport};
use crate::cli::connect::file::ClientFile;
use crate::cli::target;
use crate::config::{Config, Inputs};
use crate::security::{self, Scope, Token, keyring};
use crate::unix;

/// What an entry may get its token from beside a header of its own.
const TOKEN_KEYS: [&str; 3] = ["headersHelper", "bearer_token_env_var", "env_http_headers"];

/// The MCP clients on this machine that know EXAI.
pub(super) fn all(config: &Config, inputs: &Inputs, token: Option<&Token>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (id, client) in clients::all() {
        let Some(path) = client.file(std::env::consts::OS, inputs) else { continue };
        let name = format!("client {}", client.name);
        let shown = path.display();
        let read = ClientFile::read(&path).map_err(|error| error.to_string());
        let entry = read.and_then(|file| {
            let text = file.text.as_deref().unwrap_or_default();
            client.syntax.get(text, &client.section).map_err(|error| format!("{shown}: {error}"))
        });
        let entry = match entry {
            Ok(None) => continue,
            Ok(Some(entry)) => entry,
            Err(error) => {
                findings.push(Finding::told(name, error));
                continue;
            }
        };
        let transport = transport(&entry);
        let look = Look { config, inputs, token, client: &client, entry: &entry };
        let private = fs::metadata(&path).is_ok_and(|file| unix::is_private(&file));
        findings.push(match look.fault(transport) {
            Err(fault) => {
                let by = transport.filter(|by| *by != client.transports[0] && client.transports.contains(by));
                let by = by.map_or_else(String::new, |by| format!(" --transport {by:?}").to_lowercase());
                Finding::ill(name, format!("{shown} {fault}"), format!("run `exai connect {id}{by}`"))
            }
            Ok(()) if look.holds_a_token() && !private => Finding::ill(
                name,
                format!("{shown} holds the token and other users can read it"),
                format!("chmod 600 {shown}"),
            ),
            Ok(()) if look.is_wrapped() => Finding::well(
                name,
                format!("{shown} has another program launch exai, whose settings are not seen here"),
            ),
            Ok(()) if look.is_filled_in() => Finding::well(
                name,
                format!("{shown} has its client fill in where it leads, which is not seen here"),
            ),
            Ok(()) => Finding::well(name, format!("{shown} leads here")),
        });
    }
    findings
}

/// What an entry speaks; none where it says neither what to launch nor where to connect.
fn transport(entry: &Value) -> Option<Transport> {
    if entry["command"].is_string() {
        return Some(Transport::Stdio);
    }
    let (_, url) = address(entry)?;
    Some(if url.scheme().starts_with("ws") { Transport::Ws } else { Transport::Http })
}

/// The address in an entry, and its key.
fn address(entry: &Value) -> Option<(&str, Url)> {
    entry.as_object()?.iter().find_map(|(key, value)| {
        let url = Url::parse(value.as_str()?).ok()?;
        matches!(url.scheme(), "ws" | "wss" | "http" | "https").then_some((key.as_str(), url))
    })
}

/// A text that the client puts a variable's or a prompt's value into.
fn is_filled_in(text: &str) -> bool {
    text.contains("${")
}

/// One entry, and what it is held against.
struct Look<'a> {
    config: &'a Config,
    inputs: &'a Inputs,
    token: Option<&'a Token>,
    client: &'a Client,
    entry: &'a Value,
}

impl Look<'_> {
    /// The first fault, as the end of a sentence about the file. It quotes no token.
    fn fault(&self, transport: Option<Transport>) -> Result<(), String> {
        match transport {
            _ if self.is_filled_in() => {}
            Some(Transport::Stdio) => self.launched()?,
            Some(by @ (Transport::Ws | Transport::Http)) => self.addressed(by)?,
            None => return Err("says neither what to launch nor where to connect".to_owned()),
        }
        let deadline = self.config.limits.deadline;
        match transport.and_then(|by| self.client.patience(by, self.entry)) {
            Some((key, wait)) if wait < deadline => Err(format!(
                "gives a call up after {} s (`{key}`), before its time is over (limits.deadline_s, {} s)",
                wait.as_secs_f64(),
                deadline.as_secs()
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it launches a program that launches exai, as in a container.
    fn is_wrapped(&self) -> bool {
        let is_exai = |word: &str| Path::new(word).file_name() == Some(OsStr::new("exai"));
        let command = self.entry["command"].as_str();
        command.is_some_and(|command| !is_exai(command))
            && self.arguments().flat_map(str::split_whitespace).any(is_exai)
    }

    /// Whether its client puts values that are not seen here into where it leads.
    fn is_filled_in(&self) -> bool {
        if let Some(command) = self.entry["command"].as_str() {
            let decides = |name: &str| name.starts_with("EXAI_") && name != "EXAI_TOKEN";
            let variables = self.variables().filter(|(name, _)| decides(name)).map(|(_, value)| value);
            return self.arguments().chain(variables).chain([command]).any(is_filled_in);
        }
        let mut texts = self.entry.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str());
        match address(self.entry) {
            Some((key, _)) => {
                self.entry[key].as_str().and_then(|url| url.rsplit('@').next()).is_some_and(is_filled_in)
            }
            None => texts.any(is_filled_in),
        }
    }

    fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let variables = self.entry["env"].as_object().into_iter().flatten();
        variables.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }

    fn arguments(&self) -> impl Iterator<Item = &str> {
        self.entry["args"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// An entry that launches a bridge: this program, with settings that lead here.
    fn launched(&self) -> Result<(), String> {
        let command = self.entry["command"].as_str().unwrap_or_default();
        let found =
            self.program(command).ok_or_else(|| format!("launches {command}, which does not exist"))?;
        let ours = std::env::current_exe().map_err(|error| format!("cannot be compared: {error}"))?;
        if self.is_wrapped() {
            return Ok(());
        }
        let file = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
        if file(&found) != file(&ours) {
            return Err(format!("launches {command}, which is not this exai, {}", ours.display()));
        }
        let arguments = self.arguments().collect::<Vec<_>>();
        if !arguments.contains(&"stdio") {
            return Err("launches exai without the argument `stdio`".to_owned());
        }
        let named =
            arguments.iter().enumerate().find_map(|(n, argument)| match argument.strip_prefix("--config") {
                Some("") => arguments.get(n + 1).copied(),
                Some(rest) => rest.strip_prefix('='),
                None => None,
            });
        let (filled_in, variables): (Vec<_>, Vec<_>) =
            self.variables().partition(|(_, value)| is_filled_in(value));
        let inputs = self.inputs.elsewhere(named.map(PathBuf::from), &variables);
        let theirs = Config::load(&inputs)
            .map_err(|error| format!("launches a bridge that refuses to start: {error}"))?;
        let (here, there) = (target::reach(self.config.listen.mcp), target::reach(theirs.listen.mcp));
        if here != there {
            return Err(format!("does not lead to {here}: its bridge goes to {there}"));
        }
        self.by_tls(theirs.listen.tls_cert.is_some())?;
        if filled_in.iter().any(|(name, _)| *name == "EXAI_TOKEN") {
            return Ok(());
        }
        match Token::existing(&theirs) {
            Ok(Some(token)) => self.opened_by(token.reveal()),
            Ok(None) => Ok(()),
            Err(error) => Err(format!("launches a bridge without a token: {error}")),
        }
    }

    /// The file that a command means.
    fn program(&self, command: &str) -> Option<PathBuf> {
        if command.contains('/') {
            return Some(PathBuf::from(command)).filter(|file| file.exists());
        }
        let folders = self.inputs.path("PATH")?;
        let files = std::env::split_paths(OsStr::new(&folders)).map(|folder| folder.join(command));
        files.into_iter().find(|file| file.exists())
    }

    /// An entry that connects by itself.
    fn addressed(&self, transport: Transport) -> Result<(), String> {
        let (key, url) = address(self.entry).ok_or("holds no address")?;
        let here = target::reach(self.config.listen.mcp);
        let shape = self
            .client
            .shape(transport)
            .ok_or_else(|| format!("has an address of {}, which it does not speak", url.scheme()))?;
        for (wanted, value) in shape {
            match value.as_str() {
                Some("{ws}" | "{http}") if wanted != key => {
                    return Err(format!(
                        "has the address as `{key}`, where it is not looked for: that is `{wanted}`"
                    ));
                }
                Some("{ws}" | "{http}") => {}
                Some(kind) if wanted == "type" && self.entry["type"] != *kind => {
                    return Err(format!("needs `type` to be `{kind}`"));
                }
                Some(_) | None => {}
            }
        }
        if !self.goes_by_a_proxy(&url) {
            let is_ours = |ip: IpAddr| {
                // Whoever listens on every address is reached by each of this machine's.
                let every = self.config.listen.mcp.ip().is_unspecified();
                here.ip() == ip || (every && TcpListener::bind((ip, 0)).is_ok())
            };
            let leads_here = match url.host() {
                Some(Host::Ipv4(ip)) => is_ours(ip.into()),
                Some(Host::Ipv6(ip)) => is_ours(ip.into()),
                Some(Host::Domain(name)) => name == "localhost" && here.ip().is_loopback(),
                None => false,
            };
            if !leads_here || url.port_or_known_default() != Some(here.port()) || url.path() != "/mcp" {
                return Err(format!("does not lead to {here}, path /mcp"));
            }
            self.by_tls(matches!(url.scheme(), "wss" | "https"))?;
        }
        if url.password().is_some() || self.authorization().is_some() {
            return self.tokens().try_for_each(|token| self.opened_by(&token));
        }
        let has_another = TOKEN_KEYS.iter().any(|key| !self.entry[*key].is_null());
        has_another.then_some(()).ok_or_else(|| "presents no token".to_owned())
    }

    /// A name that the operator lets clients call EXAI: what has it is not ours to look into.
    fn goes_by_a_proxy(&self, url: &Url) -> bool {
        let hosts = &self.config.listen.allowed_hosts;
        url.domain().is_some_and(|name| hosts.iter().any(|host| host.split(':').next() == Some(name)))
    }

    fn by_tls(&self, theirs: bool) -> Result<(), String> {
        match (theirs, self.config.listen.tls_cert.is_some()) {
            (true, false) => Err("speaks TLS (wss, https), and EXAI has none (listen.tls_cert)".to_owned()),
            (false, true) => {
                Err("speaks without TLS, and EXAI has it (wss, https; listen.tls_cert)".to_owned())
            }
            (true, true) | (false, false) => Ok(()),
        }
    }

    /// Whether the token opens the door of clients: the one without a name, or a named one.
    fn opened_by(&self, token: &str) -> Result<(), String> {
        let named = || {
            let entries = self.config.tokens_file.as_deref().and_then(|file| keyring::read(file).ok());
            entries.is_some_and(|entries| entries.values().any(|entry| entry.opens(token, Scope::Client)))
        };
        if self.token.is_some_and(|ours| ours.reveal() == token) || named() {
            return Ok(());
        }
        Err("has another token than EXAI's".to_owned())
    }

    fn authorization(&self) -> Option<&str> {
        let tables = self.entry.as_object()?.values().filter_map(Value::as_object).flatten();
        tables.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?.1.as_str()
    }

    /// The tokens that an entry with an address shows.
    fn tokens(&self) -> impl Iterator<Item = String> {
        let password = address(self.entry).and_then(|(_, url)| url.password().map(str::to_owned));
        // So the braces of `${` come out of an address.
        let password = password.filter(|password| !password.contains("$%7B"));
        let header = self.authorization().and_then(security::token_in);
        password.into_iter().chain(header.filter(|token| !is_filled_in(token)))
    }

    fn holds_a_token(&self) -> bool {
        let given = self.entry["env"]["EXAI_TOKEN"].as_str();
        self.tokens().next().is_some() || given.is_some_and(|token| !is_filled_in(token))
    }
}
