//! How many connections there may be, in all and from one address. A connection's place is a value; dropping it gives it back.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// Counts connections; clones count together. It is locked for a few instructions, once when a connection opens and once when it
/// ends: one count for all worker threads cannot belong to an actor of any of them, and a refusal must not wait for a mailbox.
#[derive(Clone)]
pub(crate) struct Connections {
    total_max: usize,
    per_ip_max: usize,
    exempt: Arc<[IpAddr]>,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// No place for this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// Every place is taken.
    InAll,
    /// This address has as many as one may have.
    FromHere,
}

/// The place of one open connection.
pub(super) struct Place {
    ip: Option<IpAddr>,
    open: Arc<Mutex<Open>>,
}

impl Connections {
    /// At most `total_max` connections, at most `per_ip_max` from one address; loopback and the addresses in `exempt` (proxies)
    /// have no limit of their own.
    pub(crate) fn new(total_max: usize, per_ip_max: usize, exempt: &[IpAddr]) -> Self {
        Self { total_max, per_ip_max, exempt: exempt.into(), open: Arc::default() }
    }

    /// Connections now.
    #[cfg(test)]
    pub(crate) fn total(&self) -> usize {
        self.open.lock().total
    }

    /// Takes a place for a connection from `ip`.
    pub(super) fn enter(&self, ip: Option<IpAddr>) -> Result<Place, NoPlace> {
        let counted =
            ip.map(|ip| ip.to_canonical()).filter(|ip| !ip.is_loopback() && !self.exempt.contains(ip));
        let mut open = self.open.lock();
        if open.total >= self.total_max {
            return Err(NoPlace::InAll);
        }
        if let Some(ip) = counted {
            let from_here = open.by_ip.entry(ip).or_default();
            if *from_here >= self.per_ip_max {
                return Err(NoPlace::FromHere);
            }
            *from_here += 1;
        }
        open.total += 1;
        Ok(Place { ip: counted, open: Arc::clone(&self.open) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        open.total = open.total.saturating_sub(1);
        if let Some(ip) = self.ip
            && let Some(from_here) = open.by_ip.get_mut(&ip)
        {
            *from_here = from_here.saturating_sub(1);
            if *from_here == 0 {
                open.by_ip.remove(&ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn one_address_cannot_take_the_places_of_all() {
        let connections = Connections::new(4, 2, &[]);
        let first = connections.enter(ip(1)).ok();
        let second = connections.enter(ip(1)).ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(connections.enter(ip(1)).err(), Some(NoPlace::FromHere));
        let others = (2..4).map(|last| connections.enter(ip(last)).ok()).collect::<Vec<_>>();
        assert_eq!(connections.enter(ip(9)).err(), Some(NoPlace::InAll));
        drop(first);
        assert!(connections.enter(ip(1)).is_ok());
        drop((second, others));
        assert_eq!(connections.total(), 0);
        assert!(connections.open.lock().by_ip.is_empty());
    }

    #[test]
    fn loopback_and_proxies_count_in_all_only() {
        let proxy = IpAddr::from([192, 0, 2, 1]);
        let connections = Connections::new(5, 1, &[proxy]);
        let loopback = Some(IpAddr::from([127, 0, 0, 1]));
        let mapped = "::ffff:127.0.0.1".parse::<IpAddr>().ok();
        let places = [loopback, mapped, loopback, ip(1), ip(1)].map(|ip| connections.enter(ip).ok());
        assert!(places.iter().all(Option::is_some));
        assert_eq!(connections.enter(loopback).err(), Some(NoPlace::InAll));
    }
}
