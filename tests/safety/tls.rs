//! TLS on both ports: real handshakes, our own commands, and what does not speak it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use exai_upstream::{Make, Upstream};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{SOON, Server, Setup, run_to_end};

/// A folder with `cert.pem` and `key.pem`.
fn identity() -> TempDir {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    folder
}

fn with_tls(with: &mut Setup, folder: &Path) {
    for (variable, file) in [("CERT", "cert.pem"), ("KEY", "key.pem")] {
        with.set(&format!("EXAI_LISTEN__TLS_{variable}"), folder.join(file).to_str().unwrap());
    }
}

/// Shakes hands as any client does, verifying chain and name, and asks for `/health/live`: the protocol agreed on, and the answer.
fn visit(
    to: SocketAddr,
    cert: &Path,
    protocols: &[&str],
) -> Result<(Option<Vec<u8>>, String), std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(SOON))?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => break,
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    let agreed = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
    Ok((agreed, String::from_utf8_lossy(&answer).into_owned()))
}

#[tokio::test]
async fn both_ports_and_our_commands_speak_tls_and_nothing_else_does() {
    let (folder, kimi) = (identity(), Upstream::start(Make::Kimi).unwrap());
    let server = Server::start(|with| with_tls(with.provider("kimi", &kimi), folder.path())).await;
    let (mcp, dashboard, cert) = (server.mcp, server.dashboard, folder.path().join("cert.pem"));
    let visited = tokio::task::spawn_blocking(move || {
        [
            visit(dashboard, &cert, &["h2", "http/1.1"]),
            visit(mcp, &cert, &["h2", "http/1.1"]),
            visit(mcp, &cert, &["h2"]),
        ]
    });
    let [page, door, http2] = visited.await.unwrap();
    let (agreed, answer) = page.unwrap();
    assert_eq!(agreed.as_deref(), Some(&b"http/1.1"[..]));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (agreed, answer) = door.unwrap();
    assert_eq!(agreed.as_deref(), Some(&b"http/1.1"[..]));
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    assert!(http2.is_err(), "HTTP/2 was agreed on: {http2:?}");
    // Whoever speaks in the clear is cut off at once, gets no page, and harms nobody.
    for port in [mcp, dashboard] {
        let mut plain = tokio::net::TcpStream::connect(port).await.unwrap();
        plain.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        let ended = tokio::time::timeout(SOON, plain.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "a plain request hangs");
        assert!(!String::from_utf8_lossy(&said).contains("HTTP/"), "answered in the clear: {said:?}");
    }
    // Over WebSocket, with one `chat`; then over HTTP.
    let (code, said) = server.run(&["ask", "Over TLS?"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(kimi.journal().len(), 1);
    for command in ["health", "status", "events", "reload"] {
        let (code, said) = server.run(&[command]).await;
        assert_eq!(code, Some(0), "{command}: {said}");
    }
}

#[tokio::test]
async fn our_commands_trust_one_certificate() {
    let folder = identity();
    let server = Server::start(|with| with_tls(with, folder.path())).await;
    let another = identity();
    fs::copy(another.path().join("cert.pem"), folder.path().join("cert.pem")).unwrap();
    for arguments in [&["health"][..], &["ask", "to whom?"]] {
        let (code, said) = server.run(arguments).await;
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(said.contains("listen.tls_cert"), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let (one, other) = (identity(), identity());
    let key = fs::read_to_string(one.path().join("key.pem")).unwrap();
    let secret = key.lines().nth(1).unwrap();
    fs::copy(other.path().join("cert.pem"), one.path().join("cert.pem")).unwrap();
    fs::write(other.path().join("key.pem"), "no key at all").unwrap();
    let missing = tempfile::tempdir().unwrap();
    for (folder, file, why) in [
        (&one, "key.pem", "cannot be used together"),
        (&other, "key.pem", "it has no private key"),
        (&missing, "cert.pem", "No such file"),
    ] {
        let (code, said) = run_to_end(|with| {
            with.set("EXAI_LISTEN__MCP", "127.0.0.1:0").set("EXAI_LISTEN__DASHBOARD", "127.0.0.1:0");
            with.set("EXAI_TOKEN", crate::server::TOKEN);
            with_tls(with, folder.path());
        })
        .await;
        assert_ne!(code, Some(0), "{said}");
        assert!(said.contains(file) && said.contains(why), "{said}");
        assert!(!said.contains(secret), "a private key was shown");
    }
}
