//! Whether a provider's connection is fit for calls: an actor that dies too often is left alone for a while. Pure: its deaths come
//! in, with the time; its fitness comes out.

use std::time::Duration;

use crate::clock::Instant;

/// How long a connection that was given up is left alone; it doubles each time.
const PAUSE_FIRST: Duration = Duration::from_secs(5);
/// The longest it is left alone.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// A connection that lived this long has recovered: the next pause is the first again.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);

/// Whether calls can go over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fitness {
    /// They can.
    Fit,
    /// It is gone, and the pause is over: once it is started anew they can.
    ToBeStarted { since: Instant },
    /// It is gone, and is not started before `until`.
    LeftAlone { since: Instant, until: Instant },
}

/// The record of one provider's connection.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    restarts: u32,
    pause: Duration,
    born: Instant,
    gone: Option<Gone>,
}

#[derive(Debug, Clone, Copy)]
struct Gone {
    since: Instant,
    until: Instant,
}

impl Connection {
    /// A connection that starts now.
    pub(super) fn new(now: Instant) -> Self {
        Self { restarts: 0, pause: PAUSE_FIRST, born: now, gone: None }
    }

    /// It died and lives again behind the same address.
    pub(super) fn restarted(&mut self) {
        self.restarts = self.restarts.saturating_add(1);
    }

    /// It died too often and is gone. Told twice of one death, it counts once.
    pub(super) fn gave_up(&mut self, now: Instant) {
        if self.gone.is_some() {
            return;
        }
        if now.duration_since(self.born) > RECOVERED_AFTER {
            self.pause = PAUSE_FIRST;
        }
        self.gone = Some(Gone { since: now, until: now + self.pause });
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// A new one has been started in the place of the one that is gone.
    pub(super) fn started_anew(&mut self, now: Instant) {
        self.restarts = self.restarts.saturating_add(1);
        self.born = now;
        self.gone = None;
    }

    /// One that is gone may be started at once, and the next pause is the first again.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.pause = PAUSE_FIRST;
        if let Some(gone) = &mut self.gone {
            gone.until = now;
        }
    }

    /// Whether a call can go over it.
    pub(super) fn fitness(&self, now: Instant) -> Fitness {
        match self.gone {
            None => Fitness::Fit,
            Some(gone) if gone.until <= now => Fitness::ToBeStarted { since: gone.until },
            Some(Gone { since, until }) => Fitness::LeftAlone { since, until },
        }
    }

    /// Times that it has been restarted.
    pub(super) fn restarts(&self) -> u32 {
        self.restarts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// The pause after a death, in seconds.
    fn pause(connection: &mut Connection, now: Instant) -> u64 {
        connection.gave_up(now);
        match connection.fitness(now) {
            Fitness::LeftAlone { since, until } if since == now => until.duration_since(now).as_secs(),
            other @ (Fitness::Fit | Fitness::ToBeStarted { .. } | Fitness::LeftAlone { .. }) => {
                panic!("{other:?}")
            }
        }
    }

    #[test]
    fn the_pause_doubles_and_is_forgotten_after_a_good_life() {
        let mut now = clock::now();
        let mut connection = Connection::new(now);
        let mut pauses = vec![];
        for _ in 0..8 {
            let seconds = pause(&mut connection, now);
            now += Duration::from_secs(seconds);
            assert_eq!(connection.fitness(now), Fitness::ToBeStarted { since: now });
            connection.started_anew(now);
            assert_eq!(connection.fitness(now), Fitness::Fit);
            pauses.push(seconds);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(connection.restarts(), 8);
        now += RECOVERED_AFTER + Duration::from_secs(1);
        assert_eq!(pause(&mut connection, now), 5);
    }

    #[test]
    fn one_death_told_twice_counts_once() {
        let now = clock::now();
        let mut connection = Connection::new(now);
        connection.gave_up(now);
        connection.gave_up(now + Duration::from_secs(2));
        assert_eq!(connection.fitness(now + PAUSE_FIRST), Fitness::ToBeStarted { since: now + PAUSE_FIRST });
        connection.started_anew(now + PAUSE_FIRST);
        assert_eq!(pause(&mut connection, now + PAUSE_FIRST), 10);
    }

    #[test]
    fn forgiven_it_may_start_at_once() {
        let now = clock::now();
        let mut connection = Connection::new(now);
        connection.forgive(now);
        assert_eq!(connection.fitness(now), Fitness::Fit);
        connection.gave_up(now);
        connection.forgive(now);
        assert_eq!(connection.fitness(now), Fitness::ToBeStarted { since: now });
        connection.started_anew(now);
        assert_eq!(pause(&mut connection, now), 5);
    }
}
