//! Kafka's range assignment, as a pure function: per topic, its partitions in runs over its subscribers in order.
//! The coordinator moves partitions towards what it says.

use std::collections::{BTreeMap, HashMap};

use crate::record::TopicPartition;

/// `members`: id and subscribed topics. Every partition of a topic with a subscriber gets exactly one owner.
#[must_use]
pub fn range(
    members: &BTreeMap<u64, Vec<String>>,
    partitions: &HashMap<String, i32>,
) -> HashMap<TopicPartition, u64> {
    let mut owners = HashMap::new();
    for (topic, count) in partitions {
        let subscribers: Vec<u64> = members
            .iter()
            .filter(|(_, topics)| topics.contains(topic))
            .map(|(id, _)| *id)
            .collect();
        if subscribers.is_empty() {
            continue;
        }
        let each = *count as usize / subscribers.len();
        let more = *count as usize % subscribers.len();
        let mut next = 0;
        for (index, member) in subscribers.iter().enumerate() {
            let share = each + usize::from(index < more);
            for partition in next..next + share {
                owners.insert(
                    TopicPartition::new(topic.clone(), partition as i32),
                    *member,
                );
            }
            next += share;
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_partition_has_one_owner_and_shares_are_even(count in 0..40_i32, members in 1..9_u64) {
            let subscribed = (0..members).map(|id| (id, vec!["t".to_owned()])).collect();
            let owners = range(&subscribed, &HashMap::from([("t".to_owned(), count)]));
            prop_assert_eq!(owners.len(), count as usize);
            let share = |id| owners.values().filter(|owner| **owner == id).count();
            let shares: Vec<usize> = (0..members).map(share).collect();
            let (least, most) = (shares.iter().min(), shares.iter().max());
            prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1));
        }
    }

    #[test]
    fn a_topic_goes_to_its_subscribers_only() {
        let members = BTreeMap::from([(1, vec!["a".to_owned()]), (2, vec!["b".to_owned()])]);
        let partitions = HashMap::from([("a".to_owned(), 2), ("c".to_owned(), 2)]);
        let owners = range(&members, &partitions);
        assert_eq!(owners.len(), 2);
        assert!(owners.values().all(|owner| *owner == 1));
    }
}
