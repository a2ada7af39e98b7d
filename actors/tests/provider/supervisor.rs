//! A supervisor on real sockets: tickets, standing, health.

use actix::{Arbiter, ArbiterHandle};
use exai_actors::health::{HealthBoard, Status};
use exai_actors::mail;
use exai_actors::metrics::Metrics;
use exai_actors::provider::endpoint::{EndpointError, Key};
use exai_actors::provider_supervisor::messages::{BreakerState, GetStanding, TakeTicket};
use exai_actors::provider_supervisor::{self, ProviderConfig, Wiring};
use exai_upstream::{Make, Upstream, key_fingerprint};

use crate::support::{SOON, begin, dialect, outcome, prompt};

fn wiring<'a>(arbiter: &'a ArbiterHandle, board: &HealthBoard) -> Wiring<'a> {
    Wiring { arbiter, board: board.clone(), metrics: Metrics::start(arbiter, |_| {}) }
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
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
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
