//! What the container promises, where no engine is at hand: its settings, and the same start (a user that is not root, a root that
//! is read-only, no capabilities) of the real binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/exai.rs"]
mod exai;
#[path = "support/ports.rs"]
mod ports;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use exai::{Home, Ran};
use exai_upstream::{Make, Script, Upstream};
use ports::free_port;

/// What must appear in no output.
const KEY: &str = "sk-canary-of-the-container";
const TOKEN: &str = "token-canary-of-the-container";
const PROMPT: &str = "prompt-canary-of-the-container";
/// Calls that run when the container is stopped.
const SLOW_CALLS: usize = 4;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docker").join(name)).unwrap()
}

/// The names and values of `.env.example`.
fn example() -> BTreeMap<String, String> {
    let text = read(".env.example");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_example_is_a_configuration() {
    let mut home = Home::new();
    for (name, value) in example() {
        home.set(&name, &value);
    }
    home.set("MOONSHOT_API_KEY", KEY);
    // An unknown key or a bad value would be refused.
    assert_eq!(home.run(&["token"]).code, Some(0), "{:?}", home.run(&["token"]));
    home.set("EXAI_LIMITS__NO_SUCH_KEY", "1");
    assert_eq!(home.run(&["token"]).code, Some(2));
}

/// The keys that `src/config/` documents, as variables.
fn documented() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let source = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let keys = |text: &str, within: &str| {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("/// `")?.split_once('`'));
        let keys =
            lines.filter(|(key, rest)| rest.starts_with([':', ',', ' ']) && !key.contains([' ', '[', '=']));
        let keys = keys.map(|(key, _)| format!("{within}{key}")).filter(|key| key.contains('.'));
        keys.map(|key| format!("EXAI_{}", key.to_uppercase().replace('.', "__"))).collect::<Vec<_>>()
    };
    let provider = source("providers.rs");
    let provider = provider.split("pub(crate) struct Provider {").nth(1).unwrap();
    let provider = provider.split("\n}").next().unwrap();
    let named = [keys(&source("sections.rs"), ""), keys(&source("storage.rs"), "")];
    [named.concat(), keys(provider, "providers.NAME.")].concat()
}

#[test]
fn the_example_has_every_key() {
    let text = read(".env.example");
    let there =
        |key: &str| text.lines().any(|line| line.trim_start_matches('#').starts_with(&format!("{key}=")));
    let documented = documented();
    assert!(documented.len() >= 30, "{documented:?}");
    for key in &documented {
        let example =
            key.replace("PROVIDERS__NAME", "PROVIDERS__LOCAL").replace("CLIENTS__NAME", "CLIENTS__CURSOR");
        assert!(there(&example), "{key} is not in .env.example");
    }
    // What is commented out is a configuration as well.
    let mut home = Home::new();
    let hidden = text.lines().filter_map(|line| line.strip_prefix("#EXAI_")?.split_once('='));
    let hidden = hidden.collect::<Vec<_>>();
    assert!(hidden.len() >= 20, "{hidden:?}");
    for (name, value) in hidden {
        home.set(&format!("EXAI_{name}"), value);
    }
    let ran = home.run(&["migrate"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn compose_asks_for_no_variable_that_the_example_leaves_out() {
    let (compose, example) = (read("compose.yml"), example());
    let asked = compose.split("${").skip(1).filter_map(|rest| rest.split([':', '}']).next());
    for name in asked.filter(|name| *name != "EXAI_IMAGE") {
        assert!(example.contains_key(name), "{name}");
    }
    for promise in [
        "read_only: true",
        "cap_drop: [ALL]",
        "unless-stopped",
        "/exai\", \"health\"",
        "profiles: [postgres]",
    ] {
        assert!(compose.contains(promise), "{promise}");
    }
}

#[test]
fn the_image_is_built_in_stages_and_runs_as_nobody_who_matters() {
    let file = read("Dockerfile");
    let lines = file.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
    let last = lines.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
    let stage = &lines[last..];
    assert!(lines[..last].iter().any(|line| line.starts_with("FROM ") && line.ends_with(" AS build")));
    for promise in [
        "FROM scratch",
        "USER 10001:10001",
        "STOPSIGNAL SIGTERM",
        "ENTRYPOINT [\"/exai\"]",
        "CMD [\"serve\"]",
    ] {
        assert!(stage.contains(&promise), "{promise}");
    }
    assert!(
        stage
            .iter()
            .any(|line| line.starts_with("HEALTHCHECK ") && line.ends_with("CMD [\"/exai\", \"health\"]"))
    );
}

#[test]
#[ignore = "needs root: unshare and setpriv make the container's start"]
fn the_containers_start_serves_and_drains() {
    let kimi = Upstream::start(Make::Kimi).unwrap();
    let mut home = Home::new();
    fs::set_permissions(home.folder(), Permissions::from_mode(0o755)).unwrap();
    let program = home.folder().join("exai");
    fs::copy(env!("CARGO_BIN_EXE_exai"), &program).unwrap();
    fs::create_dir(home.folder().join("data")).unwrap();
    let data = home.folder().join("data").display().to_string();
    let port = || free_port().to_string();
    for (name, value) in [
        ("EXAI_TOKEN", TOKEN),
        ("MOONSHOT_API_KEY", KEY),
        ("RUST_LOG", "debug"),
        ("EXAI_STORAGE__SPOOL_MIB", "1"),
    ] {
        home.set(name, value);
    }
    home.set("EXAI_PROVIDERS__KIMI__BASE_URL", &kimi.base_url());
    home.set("EXAI_LISTEN__MCP", &port());
    home.set("EXAI_LISTEN__DASHBOARD", &port());
    let variables =
        ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"].map(|name| format!("{name}={data}")).join(" ");
    let script = format!(
        "set -e; mount --make-rprivate /; mount -t tmpfs -o size=64m,mode=700,uid=10001,gid=10001 none {data}; \
         mount -o remount,ro,bind /; if touch {program}.x 2>/dev/null; then exit 9; fi; cd /; \
         exec env {variables} setpriv --reuid 10001 --regid 10001 --clear-groups --inh-caps=-all --bounding-set=-all \
         --no-new-privs {program} serve",
        program = program.display()
    );
    let mut start = Command::new("unshare");
    start
        .args(["--mount", "sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    start.envs(home.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = start.spawn().unwrap();
    let mut said = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        said.read_to_string(&mut text).unwrap();
        text
    });
    let ready = exai::within(Duration::from_secs(30), || home.run(&["health"]).code == Some(0));
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let asked = home.run(&["ask", PROMPT]);
    // What runs when it is told to stop is answered first.
    kimi.set_default(Script::of("delay=1500"));
    let slow = (0..SLOW_CALLS).map(|n| home.command(&["ask", &format!("{PROMPT} {n}")]).spawn().unwrap());
    let slow = slow.collect::<Vec<_>>();
    let under_way = exai::within(Duration::from_secs(20), || kimi.journal().len() > SLOW_CALLS);
    let mut stop = Command::new("kill");
    stop.args(["-TERM", &child.id().to_string()]).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ran::of(stop);
    let ended = exai::within(Duration::from_secs(35), || child.try_wait().unwrap().is_some());
    if !ended {
        child.kill().unwrap();
    }
    let code = child.wait().unwrap().code();
    let log = reader.join().unwrap();
    let slow = slow.into_iter().map(|child| child.wait_with_output().unwrap()).collect::<Vec<_>>();
    assert!(ready, "it never got ready: {log}");
    for line in
        ["Uid:\t10001\t10001", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"]
    {
        assert!(status.contains(line), "{line} in {status}");
    }
    assert_eq!((asked.code, ended, code), (Some(0), true, Some(0)), "{asked:?} {log}");
    assert!(
        under_way && slow.iter().all(|ask| ask.status.success() && !ask.stdout.is_empty()),
        "{slow:?} {log}"
    );
    for canary in [KEY, TOKEN, PROMPT, asked.stdout.trim()] {
        assert!(!canary.is_empty() && !log.contains(canary), "{canary} in {log}");
    }
}
