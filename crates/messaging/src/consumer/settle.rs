//! What becomes of a record after its handler has spoken: settled, held, or given on to another topic.
//! Pure: a word of the handler, the settings and the record's station in, a step out.
//! The worker of a partition carries the steps out.

use super::route::{Next, Routes, Station};
use super::settings::Retry;
use super::{Failure, Outcome};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing is left to do.
    Settle,
    /// It stays at the head and is handed over again, no sooner than the other side asked for.
    Hold {
        failure: Failure,
        after_ms: Option<u64>,
    },
    /// To the next retry topic; settled once it is durable there.
    Retry {
        next: Next,
        failure: Failure,
        after_ms: Option<u64>,
    },
    /// To the dead-letter topic; settled once it is durable there.
    Dead { failure: Failure },
}

/// `refusals`: how often this record's own retry has been asked for in place, this time included.
pub(super) fn step(
    outcome: Outcome,
    refusals: u32,
    retry: &Retry,
    routes: &Routes,
    station: &Station,
) -> Step {
    let (failure, after_ms) = match outcome {
        Outcome::Done => return Step::Settle,
        Outcome::Dead(failure) => return Step::Dead { failure },
        Outcome::Retry { failure, after_ms } => (failure, after_ms),
    };
    match retry {
        Retry::InPlace { attempts_max, .. } => {
            if attempts_max.is_some_and(|max| refusals >= max) {
                Step::Dead { failure }
            } else {
                Step::Hold { failure, after_ms }
            }
        }
        Retry::Topics { .. } => match routes.next(station, after_ms) {
            Some(next) => Step::Retry {
                next,
                failure,
                after_ms,
            },
            None => Step::Dead { failure },
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::consumer::Settings;

    fn routes(delays_ms: Vec<u64>) -> (Retry, Routes) {
        let retry = Retry::Topics { delays_ms };
        let settings = Settings {
            group: "g".into(),
            topics: vec!["a".into()],
            retry: retry.clone(),
            ..Settings::default()
        };
        (retry, Routes::new(&settings))
    }

    fn failure() -> Failure {
        Failure::new("K", "m")
    }

    #[test]
    fn in_place_holds_until_its_last_attempt() {
        let (_, routes) = routes(vec![]);
        let station = routes.station("a");
        let retry = Retry::in_place(Some(3));
        let of = |refusals| {
            step(
                Outcome::retry(failure()),
                refusals,
                &retry,
                &routes,
                &station,
            )
        };
        assert!(matches!(of(1), Step::Hold { .. }));
        assert!(matches!(of(2), Step::Hold { .. }));
        assert!(matches!(of(3), Step::Dead { .. }));
        let endless = Retry::in_place(None);
        let late = step(
            Outcome::retry(failure()),
            u32::MAX,
            &endless,
            &routes,
            &station,
        );
        assert!(matches!(late, Step::Hold { .. }));
    }

    proptest! {
        /// Over retry topics a record that is never done reaches the dead-letter topic after as many deliveries as there are stations.
        #[test]
        fn topics_end_in_a_dead_letter(delays in prop::collection::btree_set(1_u64..100_000, 0..8), wish in prop::option::of(0_u64..200_000)) {
            let (retry, routes) = routes(delays.iter().copied().collect());
            let mut topic = "a".to_owned();
            let mut deliveries = 0;
            loop {
                deliveries += 1;
                prop_assert!(deliveries <= delays.len() + 1);
                let outcome = Outcome::Retry { failure: failure(), after_ms: wish };
                match step(outcome, 1, &retry, &routes, &routes.station(&topic)) {
                    Step::Retry { next, .. } => topic = next.topic,
                    Step::Dead { .. } => break,
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            if wish.is_none() {
                prop_assert_eq!(deliveries, delays.len() + 1);
            }
        }
    }
}
