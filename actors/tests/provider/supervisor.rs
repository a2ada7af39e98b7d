//! A supervisor on real sockets: tickets, standing, health.

use std::time::Duration;

use actix::{Addr, Arbiter, ArbiterHandle};
use exai_actors::clock;
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::health::{HealthBoard, Status};
use exai_actors::mail;
use exai_actors::metrics;
use exai_actors::provider::endpoint::{EndpointError, Key};
use exai_actors::provider::messages::UpstreamFailure;
use exai_actors::provider_supervisor::messages::{BreakerState, GetStanding, Settled, TakeTicket};
use exai_actors::provider_supervisor::{self, ProviderConfig, ProviderSupervisor, Wiring};
use exai_upstream::{Make, Script, Upstream, key_fingerprint};
use futures_util::future::join_all;

use crate::support::{SOON, begin, dialect, outcome, prompt};

fn wiring<'a>(arbiter: &'a ArbiterHandle, board: &HealthBoard) -> Wiring<'a> {
    Wiring {
        arbiter,
        board: board.clone(),
        metrics: metrics::start(metrics::Wiring { arbiter, flushing: None }, |_| {}).address,
    }
}

#[actix::test]
async fn a_ticket_leads_to_an_answer() {
    let upstream = Upstream::start(Make::Kimi).unwrap();
    let key = Key::new("sk-one");
    let config = ProviderConfig::new("kimi".into(), dialect(Make::Kimi), upstream.base_url(), key);
    let board = HealthBoard::default();
    let supervisor =
        provider_supervisor::start(&config, wiring(&Arbiter::current(), &board), |_, _| {}).unwrap();
    let ticket = mail::ask(&supervisor, TakeTicket { model: "kimi-k2.6".into(), attempt: 1 }, SOON)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ticket.breaker, BreakerState::Closed);
    let running = begin(&ticket.provider, prompt(&"kimi".into(), "kimi-k2.6+slow-headers=50"));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let standing = mail::ask(&supervisor, GetStanding, SOON).await.unwrap();
    assert_eq!(standing.host, upstream.addr().to_string());
    assert_eq!(standing.key_fingerprint, key_fingerprint("sk-one"));
    assert_eq!((standing.restarts, standing.in_flight), (0, 1));
    outcome(running).await.unwrap();
    assert_eq!(board.get("provider:kimi").unwrap().status, Status::Ok);
}

#[actix::test]
async fn a_base_url_in_the_clear_is_refused() {
    let config = ProviderConfig::new("p".into(), dialect(Make::Glm), "http://api.z.ai/v4", Key::new("k"));
    let refused =
        provider_supervisor::start(&config, wiring(&Arbiter::current(), &HealthBoard::default()), |_, _| {});
    assert_eq!(refused.err(), Some(EndpointError::NotHttps("p".into())));
}

/// One call, if it may go: its outcome is settled as its caller would.
async fn call(supervisor: &Addr<ProviderSupervisor>) -> Result<(), CallError> {
    let wanted = TakeTicket { model: "kimi-k2.6".into(), attempt: 1 };
    let ticket = mail::ask(supervisor, wanted, SOON).await.unwrap()?;
    let outcome = outcome(begin(&ticket.provider, prompt(&"kimi".into(), "kimi-k2.6"))).await;
    ticket.settle(match outcome {
        Ok(_) => Settled::Answered,
        Err(UpstreamFailure { class, retry_after, .. }) => Settled::Failed { class, retry_after },
    });
    Ok(())
}

#[actix::test]
async fn nothing_goes_upstream_while_open_and_one_call_at_a_time_in_half_open() {
    let upstream = Upstream::start(Make::Kimi).unwrap();
    let key = Key::new("sk-one");
    let config = ProviderConfig::new("kimi".into(), dialect(Make::Kimi), upstream.base_url(), key);
    let arbiter = Arbiter::current();
    let wiring = wiring(&arbiter, &HealthBoard::default());
    let supervisor = provider_supervisor::start(&config, wiring, |_, _| {}).unwrap();
    upstream.set_default(Script::of("refuse=server_error"));
    for _ in 0..5 {
        call(&supervisor).await.unwrap();
    }
    let mut took = vec![];
    for _ in 0..1_000 {
        let asked = clock::now();
        assert_eq!(call(&supervisor).await.unwrap_err().kind, ErrorKind::BreakerOpen);
        took.push(clock::now().duration_since(asked));
    }
    took.sort();
    assert!(took[990] <= Duration::from_millis(5), "{:?}", took[990]);
    let wait = Duration::from_millis(call(&supervisor).await.unwrap_err().retry_after_ms.unwrap());
    assert!(wait <= Duration::from_secs(6), "{wait:?}");
    assert_eq!(upstream.journal().len(), 5);

    upstream.set_default(Script::of("tokens=3+slow-headers=30+pace=0"));
    tokio::time::sleep(wait).await;
    for probe in 1..=3 {
        let called = join_all((0..1_000).map(|_| call(&supervisor))).await;
        assert_eq!(called.iter().filter(|called| called.is_ok()).count(), 1);
        assert_eq!(upstream.journal().len(), 5 + probe);
    }
    let called = join_all((0..100).map(|_| call(&supervisor))).await;
    assert!(called.iter().all(Result::is_ok), "closed again");
}
