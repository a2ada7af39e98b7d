//! What keeps a daemon from starting or a provider from answering, and once went unseen.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::exai::Home;
use crate::ports::free_port;
use crate::{doctor, finds, machine};

/// What `exai serve` refuses, the doctor finds, in the same words.
#[test]
fn faults_that_keep_the_daemon_from_starting() {
    let same = |home: &Home, fault: &str, fix: &str| {
        finds(home, fault, fix);
        let refused = home.run(&["serve"]);
        assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
        assert!(refused.stderr.contains(fault), "{fault}: {}", refused.stderr);
    };
    let mut models = machine();
    models.home.set("EXAI_MODELS__DEFAULT", "nope-1");
    same(&models.home, "no configured provider serves `nope-1`", "name one of ");
    let mut tokens = machine();
    let folder = tokens.home.folder().join(".config/exai");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("tokens.toml"), "not TOML").unwrap();
    fs::set_permissions(folder.join("tokens.toml"), Permissions::from_mode(0o644)).unwrap();
    same(&tokens.home, "other users can read the token", "chmod 600 ");
    fs::set_permissions(folder.join("tokens.toml"), Permissions::from_mode(0o600)).unwrap();
    same(&tokens.home, "tokens.toml: ", "`exai token add`");
    fs::remove_file(folder.join("tokens.toml")).unwrap();
    tokens.home.set("EXAI_TOKEN", "");
    assert_eq!(tokens.home.run(&["token"]).code, Some(0));
    tokens.home.set("EXAI_LISTEN__MCP", &format!("0.0.0.0:{}", free_port().port()));
    same(&tokens.home, "which other machines reach, but no token was set for that", "set EXAI_TOKEN");
    let mut tls = machine();
    tls.home.set("EXAI_LISTEN__TLS_CERT", "nowhere.crt");
    tls.home.set("EXAI_LISTEN__TLS_KEY", "nowhere.key");
    let (ran, refused) = (doctor(&tls.home, &[]), tls.home.run(&["serve"]));
    for words in [&ran.stdout, &refused.stderr] {
        assert!(words.contains("listen.tls_cert: nowhere.crt cannot be used"), "{words}");
    }
    assert!(ran.code == Some(1) && ran.stdout.contains("FAIL start: "), "{ran:?}");
}

#[test]
fn an_address_of_another_machine_and_a_web_page_in_the_place_of_a_provider() {
    let mut machine = machine();
    machine.home.set("EXAI_LISTEN__MCP", "192.0.2.1:8079");
    finds(&machine.home, "192.0.2.1 is no address of this machine", "set EXAI_LISTEN__MCP to one that is");
    machine.home.set("EXAI_LISTEN__MCP", &free_port().to_string());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let page = format!("http://{}/v1", listener.local_addr().unwrap());
    machine.home.set("EXAI_PROVIDERS__KIMI__BASE_URL", &page);
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 7\r\n\r\n<html/>";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    finds(&machine.home, "127.0.0.1 answers, but not with a list of models", "providers.kimi.base_url");
    served.join().unwrap();
}
