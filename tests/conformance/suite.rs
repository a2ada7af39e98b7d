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
    /// The checks of every scenario that the set requires.
    pub(crate) required: BTreeMap<String, Vec<Check>>,
    /// How the others went, in one line.
    pub(crate) not_scored: String,
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

    /// Whether it was made and is not satisfied; a SHOULD that is broken counts.
    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self.status.as_str(), "FAILURE" | "WARNING")
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
    let mut all = all_checks(found.path());
    let required = required(&package.join(format!("requirements/{revision}.yaml")));
    let required = required.into_iter().map(|scenario| {
        let checks = all.remove(&scenario).unwrap_or_else(|| panic!("{scenario} did not run:\n{said}"));
        (scenario, checks)
    });
    let required = required.collect();
    let others = all.iter().map(|(scenario, checks)| {
        let right = checks.iter().filter(|check| check.is_right()).count();
        let wrong = checks.iter().filter(|check| check.is_wrong()).count();
        format!("{scenario} {right} passed, {wrong} failed")
    });
    let not_scored = others.collect::<Vec<_>>().join("; ");
    Outcome { required, not_scored, ended_well: ran.status.success(), said }
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

/// The scenarios that a set requires of servers: the list under `server:` of a file that is never edited.
fn required(set: &Path) -> Vec<String> {
    let text = fs::read_to_string(set).unwrap();
    let list = text.lines().skip_while(|line| *line != "server:").skip(1);
    let list = list.map_while(|line| line.strip_prefix("  - ")).map(str::to_owned).collect::<Vec<_>>();
    assert!(list.len() >= 30, "{} lists {list:?}", set.display());
    list
}
