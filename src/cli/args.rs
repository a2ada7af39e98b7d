//! The command line as it is written. It decides nothing.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use url::Url;

use super::connect::clients::{self, Transport};
use crate::security::Scope;

/// Lets coding agents consult Kimi, GLM and other models over MCP.
#[derive(Debug, Parser)]
#[command(name = "exai", version, about, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 bad configuration or usage, 130 cancelled by Ctrl-C. A reader of the output that goes away changes none."
)]
pub(crate) struct Line {
    /// The configuration file; else EXAI_CONFIG, ./exai.toml, or the user's configuration folder
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon
    Serve(Serve),
    /// Show everything without a key: the daemon with doubles of Kimi and GLM in the same process
    Demo(Demo),
    /// Storm a daemon of one's own for a moment, kills and all, and say which promises it kept
    Chaos(Chaos),
    /// Ask a model through the running daemon
    Ask(Ask),
    /// Be an MCP server on standard input and output, for clients that launch one: a bridge to the daemon, which it starts where there is
    /// none
    Stdio,
    /// Say how the running daemon is
    Status(Status),
    /// Hold the running daemon's counters against its journal and its rollups
    Audit(Audit),
    /// Show what happened on the running daemon's connections lately
    Events(Events),
    /// Exit 0 if the running daemon can take calls, 1 if not; for container health checks
    Health,
    /// Bring the database's tables up to date
    Migrate,
    /// Put EXAI among the servers of an MCP client
    Connect(Connect),
    /// Check everything that EXAI needs, and say how to mend what is wrong
    Doctor(Doctor),
    /// Print the token that clients present, making it if there is none; or add, list and revoke named ones
    Token(Token),
    /// Have the running daemon read its keys and limits again, without losing a call (SIGHUP does the same)
    Reload,
}

/// `exai token`
#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) command: Option<TokenCommand>,
}

/// `exai token ...`
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a named token and print it, once
    Add {
        /// Its name, which is the owner of its conversations and calls
        name: String,
        /// What it opens: client (default), dashboard, admin; several with commas
        #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
        scopes: Vec<Scope>,
    },
    /// List the named tokens: name, scopes, when made
    List,
    /// Have a named token open nothing any more
    Revoke {
        /// Its name
        name: String,
    },
}

/// `exai serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Live on when whoever started it, or its terminal, ends; `exai stdio` starts it so
    #[arg(long, hide = true)]
    pub(crate) own_session: bool,
}

/// `exai demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Exit after the two consultations
    #[arg(long)]
    pub(crate) once: bool,
}

/// `exai chaos`
#[derive(Debug, Args)]
pub(crate) struct Chaos {
    /// How long, about
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// What everything random is drawn from, to storm the same again; else a new one
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

/// `exai ask`
#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// What to ask; `-` reads it from standard input
    pub(crate) prompt: String,
    /// The model, by id or alias
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// The conversation to go on with (`continuation_id` of an earlier receipt)
    #[arg(long = "continue", value_name = "ID")]
    pub(crate) continuation: Option<String>,
    /// Where the daemon's MCP door is; else as configured
    #[arg(long, value_name = "WS-URL", value_parser = address)]
    pub(crate) url: Option<Url>,
}

fn address(text: &str) -> Result<Url, String> {
    Url::parse(text).ok().filter(Url::has_host).ok_or_else(|| "write it as ws://host:port/mcp".to_owned())
}

/// `exai status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `exai audit`
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// For how many seconds a difference may last: counters reach the database with the next flush
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(crate) within: u64,
}

/// `exai events`
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Only of this kind: websocket, http, database, actor, server, or a provider's name
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// From this sequence number on, or from this time on (2026-11-24T12:00:00Z)
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) since: Option<String>,
    /// Go on with what happens, until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print JSON, one event a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `exai connect`
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// The client: claude-code, claude-desktop, vscode, cursor, windsurf, codex or gemini
    #[arg(value_parser = clients::known)]
    pub(crate) client: String,
    /// How it shall reach EXAI; else in the best way that it knows
    #[arg(long)]
    pub(crate) transport: Option<Transport>,
    /// Its file, such as a project's own; else the user's
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Take EXAI out again
    #[arg(long)]
    pub(crate) remove: bool,
    /// Only show what the file would be, token and all
    #[arg(long)]
    pub(crate) print: bool,
}

/// `exai doctor`
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
