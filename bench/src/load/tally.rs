//! What came back, by kind of request: statuses, and how long each answer took.
//! It judges nothing; `report` does.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

/// Latencies are kept in microseconds up to ten minutes, to three figures.
const HIGHEST_US: u64 = 600_000_000;

/// One sort of request within a load.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    pub method: &'static str,
    /// As the shop's `/metrics` name it: `/api/products/{id}`.
    pub route: &'static str,
    /// Any other status is an answer that should not have come.
    pub expected: &'static [u16],
}

pub struct OfKind {
    /// Answers of each status; 0 counts connections that broke.
    pub statuses: BTreeMap<u16, u64>,
    pub latency_us: Histogram<u64>,
}

/// Of one run, or of one thread of it.
pub struct Tally {
    pub kinds: Vec<OfKind>,
    /// Due in an open loop, but never sent because all connections were busy until the end; their wait so far is in `latency_us`.
    pub unsent: u64,
    pub took: Duration,
    /// The generator's own processor time.
    pub generator_us: u64,
    /// The first answer of 500 or more, or the first broken connection, in its own words.
    pub complaint: Option<String>,
}

impl Tally {
    pub fn new(kinds: usize) -> Result<Self> {
        let of_kind = || {
            Ok(OfKind {
                statuses: BTreeMap::new(),
                latency_us: Histogram::new_with_bounds(1, HIGHEST_US, 3)?,
            })
        };
        Ok(Self {
            kinds: (0..kinds).map(|_| of_kind()).collect::<Result<_>>()?,
            unsent: 0,
            took: Duration::ZERO,
            generator_us: 0,
            complaint: None,
        })
    }

    pub fn count(&mut self, kind: usize, status: u16, took: Duration) {
        let kind = &mut self.kinds[kind];
        *kind.statuses.entry(status).or_default() += 1;
        kind.latency_us.saturating_record(microseconds(took));
    }

    /// A request that was due and for which there was no connection.
    pub fn count_unsent(&mut self, waited: Duration) {
        self.unsent += 1;
        self.kinds[0]
            .latency_us
            .saturating_record(microseconds(waited));
    }

    /// Keeps the first one.
    pub fn complain(&mut self, said: impl FnOnce() -> String) {
        self.complaint.get_or_insert_with(said);
    }

    /// Threads of one run: they took as long as the longest.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        for (mine, theirs) in self.kinds.iter_mut().zip(&other.kinds) {
            for (status, count) in &theirs.statuses {
                *mine.statuses.entry(*status).or_default() += count;
            }
            mine.latency_us.add(&theirs.latency_us)?;
        }
        self.unsent += other.unsent;
        self.took = self.took.max(other.took);
        self.generator_us += other.generator_us;
        if self.complaint.is_none() {
            self.complaint.clone_from(&other.complaint);
        }
        Ok(())
    }

    pub fn broken(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.of(0)).sum()
    }
}

impl OfKind {
    pub fn of(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    pub fn all(&self) -> u64 {
        self.statuses.values().sum()
    }

    pub fn expected(&self, kind: &Kind) -> u64 {
        kind.expected.iter().map(|status| self.of(*status)).sum()
    }
}

fn microseconds(took: Duration) -> u64 {
    u64::try_from(took.as_micros())
        .unwrap_or(HIGHEST_US)
        .clamp(1, HIGHEST_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let mut all = Tally::new(2).unwrap();
        let mut one = Tally::new(2).unwrap();
        one.count(1, 201, Duration::from_millis(2));
        one.count(1, 0, Duration::from_millis(3));
        one.count_unsent(Duration::from_secs(1));
        one.took = Duration::from_secs(4);
        one.generator_us = 5;
        one.complain(|| "first".to_owned());
        one.complain(|| "second".to_owned());
        all.add(&one).unwrap();
        all.add(&one).unwrap();
        assert_eq!(all.complaint.as_deref(), Some("first"));
        assert_eq!((all.kinds[1].of(201), all.kinds[1].all()), (2, 4));
        assert_eq!((all.broken(), all.unsent, all.generator_us), (2, 2, 10));
        assert_eq!(all.took, Duration::from_secs(4));
        assert!(all.kinds[0].latency_us.max() >= 999_000);
    }
}
