//! What hostile and honest requests get at the gate.

use actix_web::ResponseError;
use actix_web::http::StatusCode;
use actix_web::http::header::WWW_AUTHENTICATE;
use actix_web::test::TestRequest;

use super::*;
use crate::config::Secret;

const TOKEN: &str = "correct-horse-battery-staple";

fn gate() -> Gate {
    let listen = Listen {
        allowed_hosts: vec!["exai.example".to_owned(), "pinned.example:8443".to_owned()],
        allowed_origins: vec!["https://app.example".to_owned()],
        ..Listen::default()
    };
    let bound = ["127.0.0.1:8079", "192.0.2.7:8080", "0.0.0.0:9000"].map(|address| address.parse().unwrap());
    Gate::new(&listen, &bound, &Token::from_secret(Secret::from(TOKEN)))
}

fn check(headers: &[(&str, &str)]) -> Result<(), Refusal> {
    let request =
        headers.iter().fold(TestRequest::default(), |request, header| request.append_header(*header));
    gate()
        .check(&request.to_http_request(), Scope::Client)
        .map(|pass| assert_eq!(pass.principal.as_str(), "local"))
}

fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

#[test]
fn hosts() {
    let known = [
        "localhost",
        "localhost:8079",
        "LocalHost:1",
        "127.0.0.1",
        "127.0.0.1:8079",
        "[::1]",
        "[::1]:8079",
        "[0:0:0:0:0:0:0:1]:80",
        "192.0.2.7:8080",
        "exai.example",
        "EXAI.example:443",
        "pinned.example:8443",
    ];
    for host in known {
        assert_eq!(check(&[("host", host), ("authorization", &bearer())]), Ok(()), "{host}");
    }
    let strange = [
        "",
        "evil.example",
        "localhost.evil.example",
        "evil.localhost",
        "localhost.",
        "127.0.0.1.",
        "127.0.0.2",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "0.0.0.0:9000",
        "192.0.2.7",
        "192.0.2.7:8079",
        "[::ffff:127.0.0.1]",
        "[::1",
        "::1",
        "[::1]evil",
        "localhost@evil.example",
        "evil.example@localhost",
        "user:pw@localhost",
        "localhost:8079@evil.example",
        "localhost:",
        "localhost:port",
        "localhost:+80",
        "localhost:99999",
        "localhost/",
        "localhost#",
        "localhost, evil.example",
        "localhost evil.example",
        "exai.example.",
        "xexai.example",
        "exai.example.evil.example",
        "pinned.example",
        "pinned.example:443",
        "*",
        "l\u{f6}calhost",
    ];
    for host in strange {
        assert_eq!(check(&[("host", host), ("authorization", &bearer())]), Err(Refusal::Host), "{host}");
    }
    assert_eq!(check(&[("authorization", &bearer())]), Err(Refusal::Host), "no host at all");
    let twice = [("host", "localhost"), ("host", "localhost"), ("authorization", &bearer())];
    assert_eq!(check(&twice), Err(Refusal::Host), "two hosts");
}

#[test]
fn an_absolute_target_must_be_ours_too() {
    let to = |target: &str| {
        let request = TestRequest::with_uri(target).append_header(("host", "localhost:8079"));
        gate()
            .check(&request.append_header(("authorization", bearer())).to_http_request(), Scope::Client)
            .map(drop)
    };
    assert_eq!(to("http://localhost:8079/mcp"), Ok(()));
    assert_eq!(to("http://evil.example/mcp"), Err(Refusal::Host));
    assert_eq!(to("http://localhost@evil.example/mcp"), Err(Refusal::Host));
}

#[test]
fn origins() {
    let from =
        |origin: &str, host: &str| check(&[("host", host), ("origin", origin), ("authorization", &bearer())]);
    let welcome = [
        ("https://app.example", "localhost:8080"),
        ("https://app.example:443", "exai.example"),
        ("http://localhost:8080", "localhost:8080"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]:18080", "[::1]:18080"),
        ("http://localhost", "localhost:80"),
    ];
    for (origin, host) in welcome {
        assert_eq!(from(origin, host), Ok(()), "{origin} at {host}");
    }
    let strange = [
        ("null", "localhost:8080"),
        ("", "localhost:8080"),
        ("http://evil.example", "localhost:8080"),
        ("https://app.example.evil.example", "localhost:8080"),
        ("https://app.example:8443", "localhost:8080"),
        ("http://app.example", "localhost:8080"),
        ("https://app.example/", "localhost:8080"),
        ("https://user@app.example", "localhost:8080"),
        ("https://app.example https://evil.example", "localhost:8080"),
        ("http://localhost:3000", "localhost:8080"),
        ("http://127.0.0.1:8080", "localhost:8080"),
        ("https://localhost:8080", "localhost:8080"),
        ("http://exai.example", "exai.example"),
        ("file://", "localhost:8080"),
        ("localhost:8080", "localhost:8080"),
        ("http://localhost.:8080", "localhost:8080"),
    ];
    for (origin, host) in strange {
        assert_eq!(from(origin, host), Err(Refusal::Origin), "{origin} at {host}");
    }
    let app = ("origin", "https://app.example");
    assert_eq!(check(&[("host", "localhost"), app, app, ("authorization", &bearer())]), Err(Refusal::Origin));
}

#[test]
fn tokens() {
    let with = |authorization: &str| check(&[("host", "localhost"), ("authorization", authorization)]);
    let basic = |pair: &str| format!("Basic {}", BASE64_STANDARD.encode(pair));
    let good = [
        bearer(),
        format!("bearer {TOKEN}"),
        format!("BEARER   {TOKEN} "),
        basic(&format!("exai:{TOKEN}")),
        basic(&format!(":{TOKEN}")),
        basic(&format!("anyone:{TOKEN}")).replace("Basic", "basic"),
    ];
    for authorization in good {
        assert_eq!(with(&authorization), Ok(()), "{authorization}");
    }
    let bad = [
        String::new(),
        TOKEN.to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer {TOKEN}x"),
        format!("Bearer {}", &TOKEN[1..]),
        format!("Bearer {TOKEN},{TOKEN}"),
        format!("Bearer \"{TOKEN}\""),
        format!("Bearer {}", TOKEN.to_uppercase()),
        format!("Token {TOKEN}"),
        format!("Basic {TOKEN}"),
        basic(TOKEN),
        basic(&format!("{TOKEN}:")),
        basic(&format!("exai:{TOKEN}:")),
        basic("exai:"),
        "Basic !!!!".to_owned(),
    ];
    for authorization in bad {
        assert_eq!(with(&authorization), Err(Refusal::Token), "{authorization}");
    }
    assert_eq!(check(&[("host", "localhost")]), Err(Refusal::Token), "no token at all");
    let twice = [("host", "localhost"), ("authorization", &*bearer()), ("authorization", &*bearer())];
    assert_eq!(check(&twice), Err(Refusal::Token), "two tokens");
}

#[test]
fn a_token_in_the_query_opens_nothing() {
    let target = format!("/mcp?token={TOKEN}&access_token={TOKEN}");
    let request = TestRequest::with_uri(&target).append_header(("host", "localhost")).to_http_request();
    assert_eq!(gate().check(&request, Scope::Client).map(drop), Err(Refusal::Query));
}

#[actix_web::test]
async fn refusals_are_typed_and_say_how_to_come_in() {
    let response = Refusal::Token.error_response();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let schemes =
        response.headers().get_all(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(schemes.collect::<Vec<_>>().len(), 2);
    let body = actix_web::body::to_bytes(Refusal::Origin.error_response().into_body()).await.unwrap();
    let body = serde_json::from_slice::<serde_json::Value>(&body).unwrap();
    assert_eq!(body["error"]["kind"], "unauthorized");
    assert_eq!(body["error"]["detail"]["refused"], "origin");
    assert_eq!(Refusal::Host.error_response().status(), StatusCode::FORBIDDEN);
}
