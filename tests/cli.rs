//! The commands as an operator meets them: the real binary, its exit codes, what it says and where.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/exai.rs"]
mod exai;
#[path = "support/ports.rs"]
mod ports;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::time::Duration;

use exai::Home;
use ports::free_port;

const SOON: Duration = Duration::from_secs(20);

/// A daemon on free ports; killed when dropped.
struct Daemon {
    child: Child,
    dashboard: SocketAddr,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(home: &mut Home) -> Daemon {
    let (mcp, dashboard) = (free_port(), free_port());
    home.set("EXAI_LISTEN__MCP", &mcp.to_string());
    home.set("EXAI_LISTEN__DASHBOARD", &dashboard.to_string());
    let child = home.command(&["serve"]).spawn().unwrap();
    let daemon = Daemon { child, dashboard };
    assert!(exai::within(SOON, || home.run(&["health"]).code == Some(0)), "the daemon never got ready");
    daemon
}

/// One HTTP exchange: status and the whole answer.
fn http(to: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[test]
fn usage_is_explained() {
    let home = Home::new();
    let bare = home.run(&[]);
    assert_eq!(bare.code, Some(2), "{bare:?}");
    for command in ["serve", "demo", "ask", "status", "health", "connect", "doctor", "migrate", "token"] {
        assert!(bare.stderr.contains(command), "{bare:?}");
    }
    assert_eq!(home.run(&["--help"]).code, Some(0));
    assert_eq!(home.run(&["--version"]).stdout.trim(), format!("exai {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(home.run(&["sreve"]).code, Some(2));
    assert_eq!(home.run(&["ask"]).code, Some(2));
}

#[test]
fn without_a_daemon_every_client_says_how_to_start_one() {
    let mut home = Home::new();
    home.set("EXAI_LISTEN__MCP", &free_port().to_string());
    home.set("EXAI_LISTEN__DASHBOARD", &free_port().to_string());
    for command in [&["ask", "anyone?"][..], &["status"], &["status", "--json"], &["health"]] {
        let ran = home.run(command);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{command:?} {ran:?}");
        assert!(
            ran.stderr.starts_with("error: ") && ran.stderr.contains("exai serve"),
            "{command:?} {ran:?}"
        );
    }
}

#[test]
fn a_host_without_an_address_is_named_as_the_trouble() {
    let ran = Home::new().run(&["ask", "anyone?", "--url", "ws://nobody.invalid:8079/mcp"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("ws://nobody.invalid:8079/mcp cannot be reached"), "{ran:?}");
}

#[test]
fn a_prompt_that_is_too_large_is_refused_before_anybody_is_asked() {
    let mut home = Home::new();
    home.set("EXAI_LIMITS__MESSAGE_BYTES", "2048");
    home.set("EXAI_LISTEN__MCP", &free_port().to_string());
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; 3000]).unwrap();
    drop(writer);
    let mut command = home.command(&["ask", "-"]);
    command.stdin(reader);
    let ran = exai::Ran::of(command);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let words = "error: the prompt has 3000 bytes; limits.message_bytes allows 2048";
    assert!(ran.stderr.starts_with(words), "{ran:?}");
}

#[test]
fn the_token_is_made_once() {
    let mut home = Home::new();
    let first = home.run(&["token"]);
    assert_eq!((first.code, first.stdout.trim().len()), (Some(0), 64), "{first:?}");
    assert_eq!(home.run(&["token"]).stdout, first.stdout);
    home.set("EXAI_TOKEN", "another-token-of-mine");
    assert_eq!(home.run(&["token"]).stdout.trim(), "another-token-of-mine");
}

#[test]
fn an_answer_that_is_lost_is_a_failure_and_a_reader_that_left_is_none() {
    let home = Home::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = home.command(&["token"]);
    command.stdout(full);
    let ran = exai::Ran::of(command);
    assert!(
        ran.code == Some(1) && ran.stderr.starts_with("error: writing to standard output\n  because: "),
        "{ran:?}"
    );
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = home.command(&["token"]);
    command.stdout(writer);
    let ran = exai::Ran::of(command);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
}

#[test]
fn migrate_says_what_it_applied_and_then_has_nothing_to_do() {
    let home = Home::new();
    let first = home.run(&["migrate"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.stdout.starts_with("applied 0001"), "{first:?}");
    let second = home.run(&["migrate"]);
    assert!(second.code == Some(0) && !second.stdout.contains("applied"), "{second:?}");
}

#[test]
fn a_taken_port_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut home = Home::new();
    home.set("EXAI_LISTEN__MCP", &taken.local_addr().unwrap().to_string());
    home.set("EXAI_LISTEN__DASHBOARD", &free_port().to_string());
    let ran = home.run(&["serve"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("error: ") && ran.stderr.contains("EXAI_LISTEN__MCP"), "{ran:?}");
}

#[test]
fn log_lines_tell_their_zone() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let zones =
        [("", "+00:00"), ("Asia/Tokyo", "+09:00"), ("America/Caracas", "-04:00"), ("No/Where", "+00:00")];
    for (format, (zone, offset)) in
        ["text", "json"].into_iter().flat_map(|format| zones.map(|zone| (format, zone)))
    {
        let mut home = Home::new();
        home.set("EXAI_LISTEN__MCP", &taken.local_addr().unwrap().to_string());
        home.set("EXAI_LOG__FORMAT", format);
        if !zone.is_empty() {
            home.set("TZ", zone);
        }
        let ran = home.run(&["serve"]);
        let lines =
            ran.stderr.lines().filter(|line| line.contains("no provider has a key")).collect::<Vec<_>>();
        assert!(matches!(lines.as_slice(), [line] if line.contains(offset)), "{format} {zone}: {ran:?}");
    }
}

#[test]
fn the_doors_are_shut_to_strangers() {
    let mut home = Home::new();
    let daemon = serve(&mut home);
    let token = home.run(&["token"]).stdout.trim().to_owned();
    let get = |path: &str, headers: &str| {
        http(daemon.dashboard, &format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n"))
    };
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(get("/health/live", "Host: anything\r\n").0, 200);
    assert_eq!(get("/health/ready", "Host: 10.1.2.3\r\n").0, 200);
    assert_eq!(get("/health", "Host: localhost\r\n").0, 401);
    assert_eq!(get("/health", &format!("Host: localhost\r\n{bearer}")).0, 200);
    assert_eq!(get("/health", &format!("Host: localhost:1\r\nHost: localhost:1\r\n{bearer}")).0 / 100, 4);
    assert_eq!(get("/health", &format!("Host: evil.example\r\n{bearer}")).0, 403);
    assert_eq!(get("/health", &format!("Host: localhost\r\nOrigin: null\r\n{bearer}")).0, 403);
    assert_eq!(get(&format!("/health?token={token}"), "Host: localhost\r\n").0, 400);
    let (status, answer) = get("/nothing", "Host: localhost\r\n");
    assert!(status == 404 && answer.contains("not_found"), "{answer}");
    let mcp = home.get("EXAI_LISTEN__MCP").parse().unwrap();
    for path in ["/nothing", "/mcp"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}Connection: close\r\n\r\n");
        let (_, answer) = http(mcp, &request);
        assert!(answer.contains("\r\n\r\n{\"error\":{\"kind\":"), "{answer}");
    }
    let pretender = Home::new();
    let mut ask = pretender.command(&["ask", "anyone?"]);
    ask.env("EXAI_TOKEN", "not-the-token").env("EXAI_LISTEN__MCP", home.get("EXAI_LISTEN__MCP"));
    let ran = exai::Ran::of(ask);
    assert!(ran.code == Some(1) && ran.stderr.contains("the token is wrong"), "{ran:?}");
    let viewer = home.run(&["token", "add", "viewer", "--scope", "dashboard"]);
    let mut ask = pretender.command(&["ask", "anyone?"]);
    ask.env("EXAI_TOKEN", viewer.stdout.trim()).env("EXAI_LISTEN__MCP", home.get("EXAI_LISTEN__MCP"));
    let ran = exai::Ran::of(ask);
    assert!(ran.code == Some(1) && ran.stderr.contains("exai token add NAME --scope client"), "{ran:?}");
}

#[test]
fn the_demo_consults_both_doubles_and_ends() {
    let ran = Home::new().run(&["demo", "--once"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stderr, "", "{ran:?}");
    for words in
        ["1. initialize", "2. tools/list", "kimi-k2.6 via kimi (127.0.0.1:", "glm-5.2 via glm (127.0.0.1:"]
    {
        assert!(ran.stdout.contains(words), "{words} in {}", ran.stdout);
    }
}
