//! `exai demo`: the whole daemon with doubles of Kimi and GLM in the same process, and one real consultation with each over a real
//! WebSocket. It needs no key, reads none, and sends nothing to the outside.

mod tour;

use std::error::Error;
use std::process::ExitCode;

use exai_actors::provider::dialect::Dialect;
use exai_upstream::{Make, Upstream};
use log::LevelFilter;
use url::Url;

use super::args::Demo;
use super::{Failure, block_on, output};
use crate::config::{Config, Inputs, Models, Provider, Secret};
use crate::security::Token;
use crate::{logs, wiring};
use tour::Tour;

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
    if demo.once {
        ephemeral_ports(&mut config);
    }
    logs::start(config.log.format, LevelFilter::Warn).map_err(Failure::of)?;
    let providers = config.providers.clone();
    let running = wiring::start(config)?;
    let tour =
        Tour { mcp: running.mcp, dashboard: running.dashboard, token: running.token.clone(), providers };
    guide(running, tour, demo.once)
}

/// Ports that nobody asked for are free ones, so that a demo that ends by itself runs anywhere.
fn ephemeral_ports(config: &mut Config) {
    if !config.sources().is_set("listen.mcp") {
        config.listen.mcp.set_port(0);
    }
    if !config.sources().is_set("listen.dashboard") {
        config.listen.dashboard.set_port(0);
    }
}

/// Gives the tour from a thread of its own: it is a client like any other, while this thread serves.
fn guide(running: wiring::Running, tour: Tour, once: bool) -> Result<ExitCode, Failure> {
    let stopper = running.stopper();
    let guide = std::thread::Builder::new().name("demo".to_owned()).spawn(move || {
        let mut shown = block_on(tour.give());
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
        Ok(Err(error)) => Err(Failure::of(Box::<dyn Error>::from(error))),
        Err(_) => {
            output::note("the demo itself panicked");
            Ok(ExitCode::FAILURE)
        }
    }
}
