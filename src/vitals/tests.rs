//! What signs mean what, and that busy is not sick.

use std::time::Duration;

use exai_actors::clock::{Moment, UtcMillis};
use exai_actors::health::Status;

use super::judge::{Disk, Finding, Judge, Signs, SpoolSigns, Thread};

const SECOND: Duration = Duration::from_secs(1);

fn well() -> Signs {
    Signs {
        threads: vec![Thread { name: "core", late: Duration::ZERO }],
        restarts: 0,
        records_waiting: 0,
        in_flight: 0,
        waiting: 0,
        permits: 64,
        spool: Some(SpoolSigns { rows: 0, bytes: 0, bytes_max: 64 << 20, damaged: false }),
        disk: Disk::Room { free: 10 << 30, size: 20 << 30 },
        resident_bytes: Some(50 << 20),
    }
}

/// A judge and its time.
struct World {
    judge: Judge,
    moment: Moment,
}

impl World {
    fn new() -> Self {
        Self { judge: Judge::default(), moment: Moment { utc: UtcMillis(1_000_000), ..Moment::read() } }
    }

    fn pass(&mut self, time: Duration) {
        self.moment.now += time;
        self.moment.utc.0 += i64::try_from(time.as_millis()).unwrap();
    }

    fn look(&mut self, signs: &Signs) -> [Finding; 6] {
        self.judge.judge(signs, self.moment)
    }

    /// The parts that are not well.
    fn sick(&mut self, signs: &Signs) -> Vec<(&'static str, Status)> {
        let findings = self.look(signs).into_iter().filter(|finding| finding.status != Status::Ok);
        findings.map(|finding| (finding.part, finding.status)).collect()
    }
}

#[test]
fn each_sickness_is_its_own_and_goes_by_itself() {
    use Status::{Degraded, Down};
    let late = |seconds| vec![Thread { name: "core", late: SECOND * seconds }];
    let spool = |rows, damaged| Some(SpoolSigns { rows, bytes: rows * 100, bytes_max: 64 << 20, damaged });
    let table: [(Signs, &str, Status); 8] = [
        (Signs { threads: late(4), ..well() }, "actors", Degraded),
        (Signs { threads: late(11), ..well() }, "actors", Down),
        (Signs { spool: None, ..well() }, "spool", Degraded),
        (Signs { spool: spool(1, false), ..well() }, "spool", Degraded),
        (Signs { spool: spool(0, true), ..well() }, "spool", Degraded),
        (Signs { disk: Disk::Silent, ..well() }, "disk", Degraded),
        (Signs { disk: Disk::Room { free: 0, size: 24 << 20 }, ..well() }, "disk", Degraded),
        (Signs { disk: Disk::Room { free: 200 << 20, size: 20 << 30 }, ..well() }, "disk", Degraded),
    ];
    for (signs, part, status) in table {
        let mut world = World::new();
        assert_eq!(world.sick(&well()), []);
        world.pass(SECOND);
        assert_eq!(world.sick(&signs), [(part, status)], "{signs:?}");
        world.pass(SECOND);
        assert_eq!(world.sick(&well()), [], "{signs:?}");
    }
}

#[test]
fn busy_is_not_sick() {
    let busy = Signs {
        in_flight: 64,
        waiting: 512,
        records_waiting: 900,
        disk: Disk::Room { free: 10 << 20, size: 24 << 20 },
        resident_bytes: Some(4 << 30),
        ..well()
    };
    let mut world = World::new();
    world.look(&well());
    for _ in 0..40 {
        world.pass(SECOND);
        assert_eq!(world.sick(&busy), []);
    }
}

#[test]
fn calls_that_wait_for_nothing_are_told_of() {
    let stuck = Signs { waiting: 1, ..well() };
    let mut world = World::new();
    for _ in 0..4 {
        assert_eq!(world.sick(&stuck), []);
    }
    assert_eq!(world.sick(&stuck), [("permits", Status::Degraded)]);
    assert_eq!(world.sick(&well()), []);
}

#[test]
fn a_restart_and_a_jump_are_told_of_for_a_minute() {
    let restarted = Signs { restarts: 2, ..well() };
    let mut world = World::new();
    world.look(&well());
    world.pass(SECOND);
    world.moment.utc.0 -= 5_000;
    assert_eq!(world.sick(&restarted), [("actors", Status::Degraded), ("clock", Status::Degraded)]);
    world.pass(SECOND * 59);
    assert_eq!(world.sick(&restarted).len(), 2);
    world.pass(SECOND);
    assert_eq!(world.sick(&restarted), []);
}

#[test]
fn memory_that_grows_for_an_hour_is_told_of_and_a_burst_is_not() {
    let of = |mib: u64| Signs { resident_bytes: Some(mib << 20), ..well() };
    let mut world = World::new();
    for minute in 0..60 {
        // Each minute has a burst; the lowest mark is what counts.
        assert_eq!(world.sick(&of(50)), [], "minute {minute}");
        world.pass(SECOND * 30);
        assert_eq!(world.sick(&of(2_000)), [], "minute {minute}");
        world.pass(SECOND * 30);
    }
    for minute in 0..60 {
        world.look(&of(50 + minute * 10));
        world.pass(SECOND * 60);
    }
    assert_eq!(world.sick(&of(650)), [("memory", Status::Degraded)]);
    for _ in 0..10 {
        world.pass(SECOND * 60);
        world.look(&of(60));
    }
    assert_eq!(world.sick(&of(60)), []);
}
