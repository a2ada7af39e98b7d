//! Planted panics, for tests: with the cargo feature `faults` a point can be armed and then panics once; without it a point is
//! nothing at all.

/// A place in the product where a test can plant one panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// `Session`, while it handles a frame.
    Session,
    /// `Dispatcher`, while it takes a consultation.
    Dispatcher,
    /// The task of one consultation.
    Consultation,
    /// `ProviderSupervisor`, while it hands out a ticket.
    ProviderSupervisor,
    /// `ProviderSupervisor`, while it takes another key.
    Rekey,
    /// `Provider`, while it starts an upstream call.
    Provider,
    /// The task of one upstream call.
    UpstreamCall,
    /// `StorageWriter`, while it takes a write.
    StorageWriter,
    /// `Metrics`, while it counts.
    Metrics,
}

impl Point {
    /// Every point, by the name that tests use.
    pub const ALL: [(&'static str, Point); 9] = [
        ("session", Point::Session),
        ("dispatcher", Point::Dispatcher),
        ("consultation", Point::Consultation),
        ("provider_supervisor", Point::ProviderSupervisor),
        ("rekey", Point::Rekey),
        ("provider", Point::Provider),
        ("upstream_call", Point::UpstreamCall),
        ("storage_writer", Point::StorageWriter),
        ("metrics", Point::Metrics),
    ];
}

#[cfg(not(feature = "faults"))]
/// Panics if a test has armed this point; here the feature is off and it does nothing.
pub fn point(_point: Point) {}

#[cfg(feature = "faults")]
pub use armed::{arm, point};

#[cfg(feature = "faults")]
mod armed {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Point;

    static ARMED: [AtomicU32; Point::ALL.len()] = [const { AtomicU32::new(0) }; Point::ALL.len()];

    /// Makes the next `times` passes through `point` panic.
    pub fn arm(point: Point, times: u32) {
        ARMED[point as usize].store(times, Ordering::SeqCst);
    }

    /// Panics if a test has armed this point.
    pub fn point(point: Point) {
        let taken = ARMED[point as usize]
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
        assert!(!taken, "planted by a test: {point:?}");
    }
}
