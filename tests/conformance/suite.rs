//! Runs the suite and reads what it found.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// How long one scenario may take, in milliseconds: the machine may be busy.
const SCENARIO_WITHIN_MS: &str = "120000";

/// One check.
pub(crate) struct Check {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) error: String,
}

/// What one run found.
pub(crate) struct Outcome {
    /// The checks of every scenario that the set names, those that it does not score too.
    pub(crate) scenarios: BTreeMap<String, Vec<Check>>,
    /// The scenarios that it requires.
    pub(crate) required: Vec<String>,
    /// Whether the suite itself is satisfied.
    pub(crate) ended_well: bool,
    /// All that it said.
    pub(crate) said: String,
}

impl Check {
    /// Whether it was made and is satisfied.
    pub(crate) fn is_right(&self) -> bool {
        self.status == "SUCCESS"
    }

    /// Whether it is not satisfied, or could not be made; a SHOULD that is broken counts.
    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self.status.as_str(), "FAILURE" | "WARNING" | "SKIPPED")
    }
}

/// Runs a frozen set against `door`.
pub(crate) fn run(revision: &str, door: SocketAddr) -> Outcome {
    let folder = PathBuf::from(
        std::env::var_os("EXAI_TEST_CONFORMANCE").expect("EXAI_TEST_CONFORMANCE names the suite's folder"),
    );
    let package = folder.join("node_modules/@modelcontextprotocol/conformance");
    let found = tempfile::tempdir().unwrap();
    let mut suite = Command::new(folder.join("node_modules/.bin/node"));
    suite.arg(package.join("dist/index.js")).args(["server", "--url", &format!("http://{door}/mcp")]);
    suite.args(["--requirements", revision, "--timeout", SCENARIO_WITHIN_MS, "--output-dir"]);
    let ran = suite.arg(found.path()).current_dir(found.path()).output().unwrap();
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    let scenarios = all_checks(found.path());
    let Set { required, not_scored } = set(&package.join(format!("requirements/{revision}.yaml")));
    for scenario in required.iter().chain(&not_scored) {
        assert!(scenarios.contains_key(scenario), "{scenario} did not run:\n{said}");
    }
    Outcome { scenarios, required, ended_well: ran.status.success(), said }
}

/// Every scenario's checks: each lies in a folder named after it and the time.
fn all_checks(found: &Path) -> BTreeMap<String, Vec<Check>> {
    let folders = fs::read_dir(found).unwrap().map(|entry| entry.unwrap().path());
    let read = folders.filter_map(|folder| {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let named = name.strip_prefix("server-")?;
        let scenario = &named[..named.len().checked_sub("-2026-07-28T00-00-00-000Z".len())?];
        let text = fs::read_to_string(folder.join("checks.json")).unwrap();
        let checks: Vec<Value> = serde_json::from_str(&text).unwrap();
        let words = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
        let checks = checks.iter().map(|check| Check {
            id: words(check, "id"),
            status: words(check, "status"),
            error: words(check, "errorMessage"),
        });
        Some((scenario.to_owned(), checks.collect()))
    });
    read.collect()
}

/// The scenarios that a set has for servers.
struct Set {
    required: Vec<String>,
    not_scored: Vec<String>,
}

/// Reads a set: a file that is never edited.
fn set(path: &Path) -> Set {
    let text = fs::read_to_string(path).unwrap();
    let (_, lists) = text.split_once("\nserver:\n").unwrap();
    let (_, others) = text.split_once("\nnot_scored:\n").unwrap();
    let required = lists.lines().map_while(|line| line.strip_prefix("  - ")).map(str::to_owned);
    let required = required.collect::<Vec<_>>();
    assert!(required.len() >= 30, "{} lists {required:?}", path.display());
    let others = others.split("  - scenario: ").filter(|other| other.contains("\n    leg: server\n"));
    let not_scored = others.filter_map(|other| other.lines().next()).map(str::to_owned).collect();
    Set { required, not_scored }
}
