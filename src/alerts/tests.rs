//! Each alert begins once and is over once, whatever its sign does meanwhile.

use std::time::Duration;

use exai_actors::clock::Moment;

use super::rules::{
    BREAKER_OPEN, BUDGET_NEAR, DISK_LOW, ERROR_RATE, Rules, SPOOL_GROWING, STORAGE_AWAY, Seen, Spent,
};

const SECOND: Duration = Duration::from_secs(1);

struct World {
    rules: Rules,
    moment: Moment,
}

impl World {
    fn new() -> Self {
        let mut world = Self { rules: Rules::new(60 * SECOND), moment: Moment::read() };
        world.look(&Seen::default());
        world
    }

    /// A second passes.
    fn look(&mut self, seen: &Seen) -> Vec<(&'static str, bool)> {
        self.moment.now += SECOND;
        let notices = self.rules.look(seen, self.moment);
        notices.into_iter().map(|notice| (notice.alert, notice.is_over)).collect()
    }

    /// So many seconds of the same.
    fn pass(&mut self, seconds: u32, seen: &Seen) -> Vec<(&'static str, bool)> {
        (0..seconds).flat_map(|_| self.look(seen)).collect()
    }
}

#[test]
fn a_sign_that_stays_is_told_once_and_its_end_once() {
    let away = || Some("no connection".to_owned());
    let table = [
        (Seen { shut_breakers: vec!["kimi".to_owned()], ..Seen::default() }, BREAKER_OPEN, 60),
        (Seen { spool_rows: 3, ..Seen::default() }, SPOOL_GROWING, 10),
        (Seen { disk: away(), ..Seen::default() }, DISK_LOW, 10),
        (Seen { storage: away(), ..Seen::default() }, STORAGE_AWAY, 5),
    ];
    for (seen, alert, after) in table {
        let mut world = World::new();
        assert_eq!(world.pass(after, &seen), [], "{alert} came too soon");
        assert_eq!(world.pass(300, &seen), [(alert, false)], "{alert}");
        assert_eq!(world.pass(9, &Seen::default()), [], "{alert} was over too soon");
        assert_eq!(world.pass(300, &Seen::default()), [(alert, true)], "{alert}");
    }
}

#[test]
fn what_is_short_is_not_told_and_what_flaps_is_one_alert() {
    let away = Seen { storage: Some("no connection".to_owned()), ..Seen::default() };
    let mut world = World::new();
    for _ in 0..20 {
        assert_eq!(world.pass(4, &away), []);
        assert_eq!(world.pass(1, &Seen::default()), []);
    }
    assert_eq!(world.pass(6, &away), [(STORAGE_AWAY, false)]);
    for _ in 0..20 {
        assert_eq!(world.pass(2, &Seen::default()), []);
        assert_eq!(world.pass(2, &away), []);
    }
}

#[test]
fn two_breakers_are_two_alerts() {
    let shut = |names: &[&str]| Seen {
        shut_breakers: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Seen::default()
    };
    let mut world = World::new();
    assert_eq!(world.pass(61, &shut(&["kimi"])).len(), 1);
    assert_eq!(world.pass(61, &shut(&["kimi", "glm/glm-5.3"])), [(BREAKER_OPEN, false)]);
    assert_eq!(world.pass(11, &shut(&["kimi"])), [(BREAKER_OPEN, true)]);
}

#[test]
fn the_error_rate_is_that_of_the_last_minute() {
    let calls = |completed, failed| Seen { completed, failed, ..Seen::default() };
    let mut world = World::new();
    assert_eq!(world.pass(5, &calls(0, 9)), [], "nine are too few to judge");
    assert_eq!(world.pass(5, &calls(0, 10)), [(ERROR_RATE, false)]);
    assert_eq!(world.pass(120, &calls(0, 10)), [(ERROR_RATE, true)]);
    assert_eq!(world.pass(5, &calls(100, 99)), [], "89 of 189");
    assert_eq!(world.pass(70, &calls(100, 99)), []);
    assert_eq!(world.pass(5, &calls(105, 104)), [(ERROR_RATE, false)], "half of ten");
}

#[test]
fn four_fifths_of_a_days_budget_are_told_once_a_day() {
    let bill = |today_usd| Seen { spent: Some(Spent { today_usd, budget_usd: 5.0 }), ..Seen::default() };
    let mut world = World::new();
    assert_eq!(world.pass(60, &bill(3.99)), []);
    assert_eq!(world.pass(60, &bill(4.0)), [(BUDGET_NEAR, false)]);
    assert_eq!(world.pass(60, &bill(40.0)), [], "it was told");
    assert_eq!(world.pass(11, &bill(0.0)), [(BUDGET_NEAR, true)], "midnight");
    assert_eq!(world.pass(11, &bill(4.5)), [(BUDGET_NEAR, false)]);
}
