//! The commands of `docker/RUNBOOK.md`, as they stand there, with the volume in a folder of the test and the containers left out.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/exai.rs"]
mod exai;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use exai::{Home, Ran};
use exai_upstream::{Make, Upstream};

/// The commands that the runbook gives to `sh` or to Python behind this image's name, ready for a shell.
fn command(image: &str, volume: &Path, out: &Path) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/RUNBOOK.md");
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with("`docker run ") && line.contains(image)).unwrap();
    let line = line.trim_matches('`').split_once(image).unwrap().1;
    let line =
        line.replace("/data", &volume.display().to_string()).replace("/out", &out.display().to_string());
    let mut command = Command::new("sh");
    command.args(["-c", &line]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A daemon that is killed when it is dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(home: &Home) -> Daemon {
    let daemon =
        Daemon(home.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let ready = exai::within(Duration::from_secs(30), || home.run(&["health"]).code == Some(0));
    assert!(ready, "the daemon never got ready");
    daemon
}

/// A home whose folder is the container's volume.
fn home(kimi: &Upstream) -> Home {
    let mut home = Home::new();
    let data = home.folder().display().to_string();
    let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        home.set(name, &data);
    }
    home.set("MOONSHOT_API_KEY", "sk-of-the-runbook");
    home.set("EXAI_PROVIDERS__KIMI__BASE_URL", &kimi.base_url());
    home.set("EXAI_STORAGE__SPOOL_MIB", "1");
    home.set("EXAI_LISTEN__MCP", &port());
    home.set("EXAI_LISTEN__DASHBOARD", &port());
    home
}

#[test]
fn every_alert_is_in_the_runbook() {
    let read = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let (rules, runbook, readme) =
        (read("src/alerts/rules.rs"), read("docker/RUNBOOK.md"), read("README.md"));
    let consts = rules.lines().filter_map(|line| line.strip_prefix("pub(super) const ")?.split('"').nth(1));
    let alerts = consts.collect::<Vec<_>>();
    assert_eq!(alerts.len(), 6, "{alerts:?}");
    for alert in alerts {
        assert!(runbook.contains(&format!("| alert `{alert}`")), "{alert} is not in the runbook");
        assert!(readme.contains(&format!("`{alert}`")), "{alert} is not in the README");
    }
}

#[test]
#[ignore = "needs root and python3: restoring gives the file to the container's user"]
fn sqlite_is_backed_up_while_exai_runs_and_restored() {
    let kimi = Upstream::start(Make::Kimi).unwrap();
    let (old, out) = (home(&kimi), tempfile::tempdir().unwrap());
    let daemon = serve(&old);
    let token = old.run(&["token"]);
    assert!(token.code == Some(0) && token.stdout.trim().len() >= 32, "{:?}", token.code);
    let first = old.run(&["ask", "what is kept?"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let backed_up = Ran::of(command("python:3-alpine", old.folder(), out.path()));
    assert_eq!(backed_up.code, Some(0), "{backed_up:?}");
    assert_eq!(
        old.run(&["ask", "what comes after the backup?"]).code,
        Some(0),
        "the backup did not disturb it"
    );
    drop(daemon);
    let restored = home(&kimi);
    assert_eq!(restored.run(&["migrate"]).code, Some(0), "there is a database to be replaced");
    let ran = Ran::of(command("busybox", restored.folder(), out.path()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(restored.folder().join("replaced/exai.db").exists());
    let migrated = restored.run(&["migrate"]);
    assert!(migrated.code == Some(0) && !migrated.stdout.contains("applied"), "{migrated:?}");
    let _daemon = serve(&restored);
    let thread = first.stderr.trim().rsplit(' ').next().unwrap();
    let on = restored.run(&["ask", "--continue", thread, "and now?"]);
    assert_eq!(on.code, Some(0), "{on:?}");
    let asked = kimi.journal().last().unwrap().messages;
    assert_eq!(
        asked, 3,
        "the restored conversation goes on: its question, its answer, and one more question"
    );
}
