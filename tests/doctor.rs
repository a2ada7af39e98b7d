//! `exai doctor` over the real binary: a machine where all is well, and planted faults, each found and its fix named.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "doctor/clients.rs"]
mod clients;
#[path = "support/exai.rs"]
mod exai;
#[path = "support/ports.rs"]
mod ports;
#[path = "doctor/starts.rs"]
mod starts;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Child;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use exai::{Home, Ran};
use exai_upstream::{Make, Options, Upstream};
use ports::free_port;

const TOKEN: &str = "a-token-for-the-tests-of-doctor";
const KEY: &str = "sk-of-the-tests-of-doctor";

/// A machine where all is well: a provider's double, a key that it accepts, free ports, a token.
struct Machine {
    home: Home,
    _kimi: Upstream,
}

fn machine() -> Machine {
    let options = Options { required_key: Some(KEY.to_owned()), ..Options::default() };
    let kimi = Upstream::start_with(Make::Kimi, options).unwrap();
    let mut home = Home::new();
    home.set("EXAI_PROVIDERS__KIMI__BASE_URL", &kimi.base_url());
    home.set("MOONSHOT_API_KEY", KEY);
    home.set("EXAI_TOKEN", TOKEN);
    home.set("EXAI_LISTEN__MCP", &free_port().to_string());
    home.set("EXAI_LISTEN__DASHBOARD", &free_port().to_string());
    home.set("EXAI_STORAGE__SPOOL_MIB", "1");
    Machine { home, _kimi: kimi }
}

/// Runs it; whatever it says, no secret is in it.
fn doctor(home: &Home, arguments: &[&str]) -> Ran {
    let ran = home.run(&[&["doctor"], arguments].concat());
    for secret in [KEY, TOKEN] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{ran:?}");
    }
    ran
}

/// The fault is found, as the only one, and its fix is named.
fn finds(home: &Home, fault: &str, fix: &str) {
    let ran = doctor(home, &[]);
    assert_eq!(ran.code, Some(1), "{fault}: {ran:?}");
    let failed = ran.stdout.lines().filter(|line| line.starts_with("FAIL ")).collect::<Vec<_>>();
    assert!(matches!(failed.as_slice(), [one] if one.contains(fault)), "{fault}: {}", ran.stdout);
    let fixes = ran.stdout.lines().filter_map(|line| line.trim().strip_prefix("fix: ")).collect::<Vec<_>>();
    assert!(matches!(fixes.as_slice(), [one] if one.contains(fix)), "{fix}: {}", ran.stdout);
}

/// A daemon; killed when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(home: &Home) -> Daemon {
    let daemon = Daemon(home.command(&["serve"]).spawn().unwrap());
    let ready = exai::within(Duration::from_secs(30), || home.run(&["health"]).code == Some(0));
    assert!(ready, "the daemon never got ready");
    daemon
}

#[test]
fn all_is_well_without_a_daemon_and_with_one() {
    let machine = machine();
    let ran = doctor(&machine.home, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("ok   provider kimi: 127.0.0.1 accepts the key"), "{ran:?}");
    assert!(ran.stdout.contains("MOONSHOT") || ran.stdout.contains("EXAI_LISTEN__MCP"), "{ran:?}");
    let _daemon = serve(&machine.home);
    machine.home.run(&["connect", "cursor"]);
    let ran = doctor(&machine.home, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in
        ["ok   daemon: takes calls", "ok   question: answered", "ok   client Cursor: ", "schema up to date"]
    {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let ran = doctor(&machine.home, &["--json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told["ok"], true);
    let checks = told["checks"].as_array().unwrap();
    assert!(checks.len() >= 8, "{told}");
    for check in checks {
        assert!(check.as_object().unwrap().keys().eq(["check", "detail", "fix", "ok"]), "{check}");
        assert!(check["ok"] == true && check["fix"].is_null() && check["detail"].is_string(), "{check}");
    }
    let mut stranger = machine;
    stranger.home.set("EXAI_TOKEN", "not-the-token-of-the-daemon");
    let ran = stranger.home.run(&["doctor"]);
    assert!(ran.code == Some(1) && ran.stdout.contains("FAIL question: "), "{ran:?}");
}

/// The promise is two seconds on a machine that does nothing else: of some tries one had such a moment.
#[test]
#[expect(clippy::disallowed_methods, reason = "a person's time is real time")]
fn all_is_well_within_two_seconds() {
    let machine = machine();
    let _daemon = serve(&machine.home);
    let took = (0..5).map(|_| {
        let began = std::time::Instant::now();
        assert_eq!(doctor(&machine.home, &[]).code, Some(0));
        began.elapsed()
    });
    let took = took.collect::<Vec<_>>();
    assert!(took.iter().min().unwrap() < &Duration::from_secs(2), "{took:?}");
}

#[test]
fn faults_of_the_settings() {
    let machine = machine();
    machine.home.write_config("[limits]\nglobl = 3\n");
    finds(&machine.home, "exai.toml line 2: `limits.globl`: unknown key", "remove it, or use `global`");
    machine
        .home
        .write_config("[providers.glm]\napi_key = \"sk-glm\"\nbase_url = \"http://127.0.0.1:9/v4\"\n");
    fs::set_permissions(machine.home.folder().join("exai.toml"), Permissions::from_mode(0o644)).unwrap();
    let ran = doctor(&machine.home, &[]);
    assert!(
        ran.stdout.contains("FAIL config file: ") && ran.stdout.contains("fix: chmod 600 exai.toml"),
        "{ran:?}"
    );
}

#[test]
fn faults_of_keys_and_providers() {
    let mut machine = machine();
    machine.home.set("MOONSHOT_API_KEY", "sk-another");
    finds(&machine.home, "provider kimi: 127.0.0.1 refuses the key", "set the right key: MOONSHOT_API_KEY");
    machine.home.set("EXAI_PROVIDERS__KIMI__BASE_URL", &format!("http://{}/v1", free_port()));
    finds(&machine.home, "provider kimi: 127.0.0.1 is not reached", "providers.kimi.base_url");
    machine.home.set("MOONSHOT_API_KEY", "");
    finds(&machine.home, "keys: kimi: no key", "set MOONSHOT_API_KEY or ZAI_API_KEY");
}

#[test]
fn a_clock_that_is_off() {
    let mut machine = machine();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    machine
        .home
        .set("EXAI_PROVIDERS__KIMI__BASE_URL", &format!("http://{}/v1", listener.local_addr().unwrap()));
    // The provider's double has no clock in its headers: this one has nothing else.
    let old = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let head = "HTTP/1.1 200 OK\r\nDate: Sun, 01 Nov 2020 00:00:00 GMT\r\nContent-Length: 11\r\n\r\n{\"data\":[]}";
        stream.write_all(head.as_bytes()).unwrap();
    });
    finds(&machine.home, "s ahead of the providers' clocks", "set this machine's clock");
    old.join().unwrap();
}

#[test]
fn faults_of_the_database() {
    let mut machine = machine();
    for path in ["/etc/passwd/x.db", "/proc/nope/x.db"] {
        machine.home.set("EXAI_STORAGE__URL", &format!("sqlite://{path}"));
        let ran = doctor(&machine.home, &[]);
        assert!(ran.code == Some(1) && ran.stdout.contains("FAIL database: "), "{path}: {ran:?}");
    }
    let file = machine.home.folder().join("exai.db");
    machine.home.set("EXAI_STORAGE__URL", &format!("sqlite://{}", file.display()));
    assert_eq!(machine.home.run(&["migrate"]).code, Some(0));
    let mut other = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    finds(&machine.home, "locked", "end the program that holds the database's lock");
    other.batch_execute("ROLLBACK").unwrap();
    let rows = "INSERT INTO schema_migrations (name, checksum, applied_at) VALUES ('9999_later', 'x', 0)";
    other.batch_execute(rows).unwrap();
    drop(other);
    finds(&machine.home, "9999_later", "run the newer release");
    machine.home.set("EXAI_STORAGE__URL", &format!("postgres://exai:hunter2@{}/exai", free_port()));
    finds(&machine.home, "database: postgres://", "start the database server");
    assert!(!doctor(&machine.home, &[]).stdout.contains("hunter2"));
}

#[test]
fn a_port_that_another_program_has() {
    let mut machine = machine();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    machine.home.set("EXAI_LISTEN__MCP", &taken.local_addr().unwrap().to_string());
    finds(&machine.home, "another program has 127.0.0.1:", "EXAI_LISTEN__MCP");
}

#[test]
fn faults_of_the_token() {
    let mut machine = machine();
    machine.home.set("EXAI_TOKEN", "");
    finds(&machine.home, "token: there is none yet", "run `exai token`");
    machine.home.run(&["token"]);
    let file = machine.home.folder().join(".config/exai/token");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    finds(&machine.home, "other users can read the token", "chmod 600");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    finds(&machine.home, "the token's file cannot be read", "give it to this user with its folder");
    machine.home.set("EXAI_TOKEN", "short");
    finds(&machine.home, "short enough to be guessed", "unset EXAI_TOKEN");
}

#[test]
#[ignore = "needs root: the token's file is somebody else's"]
fn a_token_that_this_user_may_not_read() {
    let mut machine = machine();
    machine.home.set("EXAI_TOKEN", "");
    machine.home.run(&["token"]);
    let program = machine.home.folder().join("exai");
    fs::copy(env!("CARGO_BIN_EXE_exai"), &program).unwrap();
    for folder in ["", ".config", ".config/exai"] {
        fs::set_permissions(machine.home.folder().join(folder), Permissions::from_mode(0o755)).unwrap();
    }
    let doctor = machine.home.command(&["doctor"]);
    let mut other = std::process::Command::new("setpriv");
    other.args(["--reuid", "10001", "--regid", "10001", "--clear-groups"]).arg(&program).arg("doctor");
    other.current_dir(machine.home.folder()).env_clear();
    other.envs(doctor.get_envs().filter_map(|(name, value)| Some((name, value?))));
    other.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let ran = Ran::of(other);
    assert!(ran.code == Some(1) && ran.stdout.contains("the token's file cannot be read"), "{ran:?}");
    assert!(ran.stdout.contains("fix: give it to this user"), "{ran:?}");
}

#[test]
#[ignore = "needs root: mounts a small disk that is full"]
fn a_full_disk() {
    let machine = machine();
    let mut doctor = machine.home.command(&["doctor"]);
    let script = "mkdir -p d && mount -t tmpfs -o size=64k none d && EXAI_STORAGE__URL=sqlite://$PWD/d/exai.db exec \"$0\" doctor";
    let mut private = std::process::Command::new("unshare");
    private.args(["--mount", "sh", "-c", script]).arg(doctor.get_program());
    private.current_dir(machine.home.folder()).env_clear();
    private.envs(doctor.get_envs().filter_map(|(name, value)| Some((name, value?))));
    doctor.stdout(std::process::Stdio::null());
    private.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let ran = Ran::of(private);
    assert!(ran.code == Some(1) && ran.stdout.contains("FAIL disk: 0 MiB free"), "{ran:?}");
    assert!(ran.stdout.contains("fix: free some space there"), "{ran:?}");
}
