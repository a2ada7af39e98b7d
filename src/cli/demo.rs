//! `exai demo`: the whole daemon with doubles of Kimi and GLM in the same process, and one real consultation with each over a real
//! WebSocket. It needs no key, reads none, and sends nothing to the outside.

mod tour;

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use exai_actors::provider::dialect::Dialect;
use exai_upstream::{Make, Upstream};
use log::LevelFilter;
use url::Url;

use super::args::Demo;
use super::{Failure, INTERRUPTED, block_on, output};
use crate::config::{Config, Inputs, Models, Provider, Secret};
use crate::security::Token;
use crate::unix::EndRequests;
use crate::{logs, wiring};
use tour::{Tour, TourError};

/// The doubles take any key; this one says that it is none.
const KEY: &str = "demo-key-for-doubles";

/// Starts everything, shows it, and serves on until Ctrl-C, or ends with `--once`.
pub(super) fn run(inputs: &Inputs, demo: &Demo) -> Result<ExitCode, Failure> {
    let folder = tempfile::Builder::new().prefix("exai-demo-").tempdir().map_err(Failure::of)?;
    let database = format!("sqlite://{}", folder.path().join("exai.db").display());
    let mut config = Config::load(&inputs.clone().with("EXAI_STORAGE__URL", database))?;
    let doubles = [
        (Make::Kimi, Dialect::Kimi, Upstream::start(Make::Kimi)),
        (Make::Glm, Dialect::Glm, Upstream::start(Make::Glm)),
    ];
    let mut running_doubles = Vec::new();
    config.providers.clear();
    for (make, dialect, double) in doubles {
        let double = double.map_err(Failure::of)?;
        let base_url = Url::parse(&double.base_url()).map_err(Failure::of)?;
        let provider = Provider::on_loopback(&make.to_string(), dialect, base_url, Secret::from(KEY));
        config.providers.push(provider);
        running_doubles.push(double);
    }
    config.left_out.clear();
    config.models = Models::default();
    if config.token.is_none() {
        config.token = Some(Token::random().map_err(Failure::of)?);
    }
    free_ports(&mut config, demo.once);
    logs::start(config.log.format, LevelFilter::Warn).map_err(Failure::of)?;
    let providers = config.providers.clone();
    let running = wiring::start(config, None)?;
    let tour =
        Tour { mcp: running.mcp, dashboard: running.dashboard, token: running.token.clone(), providers };
    guide(running, tour, demo.once)
}

/// Ports that nobody asked for are free ones where the usual ones are taken, so that a demo runs beside a daemon; one that ends by
/// itself takes free ones anyway.
fn free_ports(config: &mut Config, once: bool) {
    let asked_for = ["listen.mcp", "listen.dashboard"].map(|key| config.sources().is_set(key));
    for (address, asked_for) in
        [&mut config.listen.mcp, &mut config.listen.dashboard].into_iter().zip(asked_for)
    {
        if asked_for {
            continue;
        }
        if !once && is_taken(*address) {
            output::note(format!("{address} is taken: the demo listens on a free port instead"));
            address.set_port(0);
        } else if once {
            address.set_port(0);
        }
    }
}

fn is_taken(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// Gives the tour from a thread of its own: it is a client like any other, while this thread serves.
fn guide(running: wiring::Running, tour: Tour, once: bool) -> Result<ExitCode, Failure> {
    let stopper = running.stopper();
    let guide = std::thread::Builder::new().name("demo".to_owned()).spawn(move || {
        let mut shown = block_on(unless_ended(tour.give()));
        if !once {
            shown = shown.and_then(|()| tour.invite());
        }
        if once || shown.is_err() {
            stopper.stop();
        }
        shown
    });
    let guide = guide.map_err(Failure::of)?;
    let served = running.wait();
    match guide.join() {
        Ok(Ok(())) => Ok(served),
        Ok(Err(TourError::Ended)) if once => Ok(ExitCode::from(INTERRUPTED)),
        Ok(Err(TourError::Ended)) => Ok(served),
        Ok(Err(error)) => Err(Failure::of(Box::<dyn Error>::from(error))),
        Err(_) => {
            output::note("the demo itself panicked");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The tour, or its end by Ctrl-C: the daemon hears that too and closes the tour's connection, which is no failure then.
async fn unless_ended(tour: impl Future<Output = Result<(), TourError>>) -> Result<(), TourError> {
    let mut ends = EndRequests::listen().map_err(TourError::Signals)?;
    tokio::select! {
        biased;
        () = ends.next() => Err(TourError::Ended),
        shown = tour => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_nobody_asked_for_gives_way_and_one_that_was_asked_for_does_not() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let listening = |variables: &[(&str, &str)]| {
            let mut config =
                Config::load(&Inputs::of(&[&[("HOME", "/home/a")], variables].concat())).unwrap();
            config.listen.mcp = address;
            config.listen.dashboard.set_port(0);
            free_ports(&mut config, false);
            config.listen.mcp
        };
        assert_eq!(listening(&[]).port(), 0);
        assert_eq!(listening(&[("EXAI_LISTEN__MCP", &address.to_string())]), address);
    }
}
