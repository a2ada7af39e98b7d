//! What the death of an actor means for the process.

use exai_actors::clock;
use exai_actors::events::{self, Direction, Facts, Kind, Lot, Weight};
use exai_actors::health::{HealthBoard, Status};
use exai_actors::supervised::Death;
use tokio_util::sync::CancellationToken;

/// What the death of an actor means for the process.
#[derive(Clone)]
pub(super) struct Deaths {
    pub(super) board: HealthBoard,
    pub(super) gave_up: CancellationToken,
}

impl Deaths {
    /// Notes the deaths of `actor`; where it is `vital`, too many of them end the process.
    pub(super) fn of(self, actor: &'static str, vital: bool) -> impl Fn(Death) + Send + 'static {
        move |death| self.note(actor, vital, death)
    }

    pub(super) fn note(&self, actor: &'static str, vital: bool, death: Death) {
        tell(actor, death);
        match death {
            Death::Restarted => {}
            Death::GaveUp if vital => {
                self.board.set(actor, Status::Down, "died too often", clock::utc_now());
                self.gave_up.cancel();
            }
            Death::GaveUp => self.board.set(actor, Status::Degraded, "died too often", clock::utc_now()),
        }
    }
}

/// Tells the connection monitor that an actor died.
pub(super) fn tell(actor: &'static str, death: Death) {
    let (direction, outcome) = match death {
        Death::Restarted => (Direction::Open, "restarted"),
        Death::GaveUp => (Direction::Close, "gave_up"),
    };
    let lot = Lot { kind: Kind::Actor, direction, outcome: outcome.into(), weight: Weight::Lasting };
    events::note(lot, || Facts { peer: actor.into(), ..Facts::default() });
}
