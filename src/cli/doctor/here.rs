//! What the doctor finds on this machine: the settings, the token, the database and the disk.

use std::error::Error;
use std::path::Path;

use exai_actors::storage::{self, Url};
use rustix::fs::Access;

use super::finding::Finding;
use crate::config::{Config, Inputs, Source};
use crate::security::{Token, TokenError};
use crate::unix;
use crate::wiring::StartError;

/// Free space that the database and its journal need beside the spool, in bytes.
const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Where every value that somebody set came from; and whether a file with secrets in it is anybody's to read.
pub(super) fn settings(config: &Config, inputs: &Inputs) -> Vec<Finding> {
    let mut findings = Vec::new();
    let set = config.sources().iter().map(|(key, source)| format!("{key} ({source})")).collect::<Vec<_>>();
    let set = if set.is_empty() { "every value has its default".to_owned() } else { set.join(", ") };
    findings.push(Finding::well("config", set));
    let secret =
        |key: &str| key.ends_with(".api_key") || ["storage.url", "alerts.webhook_url"].contains(&key);
    let exposed =
        config.sources().iter().filter(|(key, _)| secret(key)).find_map(|(_, source)| match source {
            Source::File { path, .. } => {
                let private = std::fs::metadata(path).is_ok_and(|file| unix::is_private(&file));
                (!private).then(|| path.display().to_string())
            }
            Source::Variable(_) | Source::Default => None,
        });
    if let Some(path) = exposed {
        let detail = format!("{path} holds a secret and other users can read it");
        findings.push(Finding::ill("config file", detail, format!("chmod 600 {path}")));
    }
    if inputs.config_folder().is_none() {
        findings.push(Finding::ill("home", "there is no folder for settings", "set HOME"));
    }
    findings
}

/// Whether there is a token, and only this user knows it.
pub(super) fn token(token: &Result<Option<Token>, TokenError>) -> Finding {
    match token {
        Ok(Some(token)) if token.is_weak() => {
            let fix = "unset EXAI_TOKEN to have one generated, or set a longer one";
            Finding::ill("token", "it is short enough to be guessed", fix)
        }
        Ok(Some(_)) => Finding::well("token", "there is one"),
        Ok(None) => {
            Finding::ill("token", "there is none yet", "run `exai token`, or start the daemon, to make it")
        }
        Err(error) => Finding::told("token", error.to_string()),
    }
}

/// What keeps `exai serve` from starting.
pub(super) fn start(problem: &StartError) -> Finding {
    Finding::told(
        "start",
        problem.source().map_or_else(|| problem.to_string(), |cause| format!("{cause}: {problem}")),
    )
}

/// Whether a file can be made at `path`, with the folders that lead there.
fn room_for(path: &Path) -> Result<(), String> {
    let there = path.ancestors().skip(1).find(|folder| folder.symlink_metadata().is_ok());
    // A bare name lies in the folder where we are.
    let there = there.unwrap_or(Path::new("."));
    let shown = there.display();
    if !there.is_dir() {
        return Err(format!("{shown} is no folder"));
    }
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("{shown}: {error}"))?;
    match rustix::fs::statvfs(there) {
        Ok(disk) if disk.f_blocks == 0 => Err(format!("{shown} lies on no disk")),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether the database answers and has a schema that this release knows.
pub(super) fn database(config: &Config) -> Finding {
    let url = &config.storage.url;
    if let Url::Sqlite(path) = url
        && !path.exists()
    {
        if let Err(problem) = room_for(path) {
            let fix = "correct storage.url (EXAI_STORAGE__URL, DATABASE_URL): a file that this user may make";
            return Finding::ill("database", format!("{url} cannot be made: {problem}"), fix);
        }
        return Finding::well("database", format!("{url} will be made at the start"));
    }
    match storage::inspect(url) {
        Ok(lacking) if lacking.is_empty() => {
            Finding::well("database", format!("{url} answers, schema up to date"))
        }
        Ok(lacking) => {
            Finding::well("database", format!("{url} answers; the start applies {}", lacking.join(", ")))
        }
        Err(error) => {
            let mut detail = format!("{url}: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                detail.push_str(&format!(": {inner}"));
                cause = inner.source();
            }
            let fix = if detail.contains("locked") {
                "end the program that holds the database's lock (a backup, a database browser), or wait for it"
            } else if detail.contains("newer release") {
                "run the newer release, or restore the backup from before the upgrade"
            } else {
                "start the database server, or correct storage.url (EXAI_STORAGE__URL, DATABASE_URL)"
            };
            Finding::ill("database", detail, fix)
        }
    }
}

/// Whether the disk of the database and the spool has room.
pub(super) fn disk(config: &Config) -> Finding {
    let Some(folder) = config.storage.state_folder.as_deref() else {
        return Finding::ill("disk", "there is no folder for the spool", "set HOME");
    };
    let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(there) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let detail = format!("{} MiB free at {}", free / 1024 / 1024, there.display());
            if free >= FREE_BYTES_MIN + config.storage.spool_mib * 1024 * 1024 {
                return Finding::well("disk", detail);
            }
            if disk.f_blocks == 0 {
                let detail = format!("{} lies on no disk", there.display());
                return Finding::ill("disk", detail, "set storage.url to a file on a disk");
            }
            Finding::ill(
                "disk",
                detail,
                "free some space there, or set storage.url to a file on another disk",
            )
        }
        Err(error) => Finding::ill("disk", format!("{}: {error}", there.display()), "mend the disk"),
    }
}
