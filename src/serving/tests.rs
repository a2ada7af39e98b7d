//! When the body of an answer over TLS is asked for more: only once its client's kernel, or ours, has what was said.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse};
use futures_util::stream;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

use super::*;

/// More than the kernels take with buffers this small, and less than rustls does (64 KiB).
const ANSWER_BYTES: usize = 56 * 1024;
const KERNEL_BYTES: usize = 4 * 1024;
const SOON: Duration = Duration::from_secs(10);

/// What becomes of the body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Said,
    AskedForMore,
    Dropped,
}

struct Told(String, Sender<(String, Fate)>);

impl Told {
    fn tell(&self, fate: Fate) {
        self.1.send((self.0.clone(), fate)).ok();
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.tell(Fate::Dropped);
    }
}

async fn answer(request: HttpRequest, tells: web::Data<Sender<(String, Fate)>>) -> HttpResponse {
    let told = Told(request.path().to_owned(), tells.get_ref().clone());
    let body = stream::unfold((told, false), |(told, said)| async move {
        told.tell(if said { Fate::AskedForMore } else { Fate::Said });
        (!said).then(|| (Ok::<_, Infallible>(Bytes::from(vec![b'x'; ANSWER_BYTES])), (told, true)))
    });
    HttpResponse::Ok().streaming(body)
}

type Client = StreamOwned<ClientConnection, TcpStream>;

fn ask(to: SocketAddr, trust: &Arc<ClientConfig>, path: &str) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(KERNEL_BYTES).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.connect(&to.into()).unwrap();
    let connection =
        ClientConnection::new(Arc::clone(trust), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut client = StreamOwned::new(connection, socket.into());
    write!(client, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    client
}

fn read_whole(client: &mut Client) {
    let (mut piece, mut said) = ([0; 4096], Vec::new());
    while !said.ends_with(b"\r\n0\r\n\r\n") {
        let read = client.read(&mut piece).unwrap();
        assert!(read > 0, "cut off after {} bytes", said.len());
        said.extend_from_slice(&piece[..read]);
    }
}

fn next(fates: &Receiver<(String, Fate)>) -> (String, Fate) {
    fates.recv_timeout(SOON).unwrap()
}

/// The second is there to know that the one worker has seen what the first sent.
fn two_clients(to: SocketAddr, trust: &Arc<ClientConfig>, fates: &Receiver<(String, Fate)>) {
    let mut deaf = ask(to, trust, "/deaf");
    assert_eq!(next(fates), ("/deaf".to_owned(), Fate::Said));
    deaf.write_all(b"G").unwrap();
    read_whole(&mut ask(to, trust, "/reads"));
    for fate in [Fate::Said, Fate::AskedForMore, Fate::Dropped] {
        assert_eq!(next(fates), ("/reads".to_owned(), fate));
    }
    SockRef::from(&deaf.sock).set_linger(Some(Duration::ZERO)).unwrap();
    drop(deaf);
    assert_eq!(next(fates), ("/deaf".to_owned(), Fate::Dropped));
}

#[actix_web::test]
async fn a_body_is_asked_for_more_when_the_kernel_has_what_was_said_over_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = CertificateDer::from(made.cert);
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let tls = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert).unwrap();
    let trust = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Every connection inherits it.
    SockRef::from(&listener).set_send_buffer_size(KERNEL_BYTES).unwrap();
    let to = listener.local_addr().unwrap();
    let serving =
        Serving { listener, tls: Some(tls), door: Kind::Clients, workers: Some(1), write_stall: SOON };
    let (tells, fates) = mpsc::channel();
    let server = serving
        .run(move || App::new().app_data(web::Data::new(tells.clone())).default_service(web::to(answer)));
    let server = server.unwrap();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    let trust = Arc::new(trust);
    actix_web::rt::task::spawn_blocking(move || two_clients(to, &trust, &fates)).await.unwrap();
    drop(handle.stop(false));
}
