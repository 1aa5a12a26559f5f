//! Which part of a batch goes to the handler next. Usually all of it; after a `Suspect` verdict the halves in order,
//! until the culprit stands alone. It counts records and knows nothing else.
//! The worker of a partition owns one a batch.

/// Lengths of the parts that are still to be handed over, the next one last. Their sum is never more than what is pending.
#[derive(Debug, Default)]
pub(super) struct Parts {
    lengths: Vec<usize>,
}

impl Parts {
    /// The length of the next part; `whole` (at least 1) starts a new round when none is left.
    pub fn next(&mut self, whole: usize) -> usize {
        match self.lengths.last() {
            Some(length) => *length,
            None => {
                self.lengths.push(whole);
                whole
            }
        }
    }

    /// So many records of the next part are settled; the rest of it comes again.
    pub fn settled(&mut self, count: usize) {
        if let Some(length) = self.lengths.last_mut() {
            *length = length.saturating_sub(count);
            if *length == 0 {
                self.lengths.pop();
            }
        }
    }

    /// One record of the next part spoils it: false when it stands alone, so that it is the culprit.
    pub fn suspect(&mut self) -> bool {
        match self.lengths.pop() {
            Some(length) if length > 1 => {
                let left = length / 2;
                self.lengths.push(length - left);
                self.lengths.push(left);
                true
            }
            Some(length) => {
                self.lengths.push(length);
                false
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A handler that fails every part with a culprit in it: the culprits, and only they, are found, in order.
        #[test]
        fn finds_exactly_the_culprits(size in 1_usize..200, picks in prop::collection::btree_set(0_usize..200, 0..10)) {
            let culprits: BTreeSet<usize> = picks.into_iter().filter(|pick| *pick < size).collect();
            let mut parts = Parts::default();
            let mut at = 0;
            let mut found = Vec::new();
            let mut handled = Vec::new();
            let mut calls = 0;
            while at < size {
                calls += 1;
                let length = parts.next(size - at);
                prop_assert!(length >= 1 && at + length <= size);
                if culprits.range(at..at + length).next().is_none() {
                    handled.extend(at..at + length);
                    parts.settled(length);
                    at += length;
                } else if !parts.suspect() {
                    prop_assert_eq!(length, 1);
                    found.push(at);
                    parts.settled(1);
                    at += 1;
                }
            }
            prop_assert_eq!(&found, &culprits.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(handled.len() + found.len(), size);
            prop_assert!(handled.is_sorted());
            prop_assert!(calls <= 1 + found.len() * 2 * 9, "{calls} calls");
        }
    }
}
