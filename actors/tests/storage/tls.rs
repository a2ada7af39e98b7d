//! What each `sslmode` accepts of a real server's certificate.

use std::path::Path;
use std::process::Command;

use exai_actors::storage::{self, Url};

use crate::outages::Server;

/// An authority, and a certificate of its own for `localhost` alone.
const MAKE: &str = r#"set -e; cd "$1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr
printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.pem
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=other -keyout other.key -out other.pem
"#;

fn certificates(folder: &Path) {
    let made = Command::new("sh").arg("-c").arg(MAKE).arg("sh").arg(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Whether a connection comes about, and whether it is encrypted.
async fn connects(url: &str) -> bool {
    let url = url.parse::<Url>().unwrap();
    std::thread::spawn(move || storage::migrate(&url).is_ok()).join().unwrap()
}

#[actix::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn each_mode_verifies_what_libpq_says() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let server = Server::start(&format!("{} {}", file("server.pem"), file("server.key")));
    // The certificate is for `localhost`, so by its address the server bears a wrong name.
    let (right, wrong) = (server.url.replace("127.0.0.1", "localhost"), server.url.clone());
    let (ca, other) = (file("ca.pem"), file("other.pem"));
    for (host, options, expected) in [
        (&wrong, "sslmode=disable".to_owned(), true),
        (&wrong, "sslmode=prefer".to_owned(), true),
        (&wrong, "sslmode=require".to_owned(), true),
        (&wrong, format!("sslmode=require&sslrootcert={ca}"), true),
        (&wrong, format!("sslmode=require&sslrootcert={other}"), false),
        (&wrong, format!("sslmode=verify-ca&sslrootcert={ca}"), true),
        (&wrong, format!("sslmode=verify-ca&sslrootcert={other}"), false),
        (&wrong, format!("sslmode=verify-full&sslrootcert={ca}"), false),
        (&right, format!("sslmode=verify-full&sslrootcert={ca}"), true),
        (&right, format!("sslmode=verify-full&sslrootcert={other}"), false),
        (&right, "sslmode=verify-full".to_owned(), false),
        (&right, "sslmode=verify-full&sslrootcert=/nowhere.pem".to_owned(), false),
    ] {
        assert_eq!(connects(&format!("{host}?{options}")).await, expected, "{options}");
    }
}

#[actix::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let server = Server::start("");
    assert!(connects(&format!("{}?sslmode=prefer", server.url)).await);
    assert!(!connects(&format!("{}?sslmode=require", server.url)).await);
}
