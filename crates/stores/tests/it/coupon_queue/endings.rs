//! How places end: results, changed terms, and new epochs.

use std::sync::Arc;

use commerce::coupon::Queue;
use commerce::coupon::model::Holder;
use commerce::coupon::queue::{Joined, Known, Settlement, Terms};

use super::{
    NOW, coupon, depth, fill, held, join, lease, numbers, open, settle, standing, terms, user,
    users,
};

pub async fn results_end_a_place(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    open(queue, 10).await;
    fill(queue, 4).await;
    let issued = Settlement::Issued(held(11));
    settle(queue, 1, 1, issued).await;
    assert_eq!(join(queue, 1).await, Joined::Settled(issued));
    // A refusal of another number than the user's is of an older epoch; and none undoes a coupon.
    settle(queue, 2, 99, Settlement::Restarted).await;
    assert_eq!(standing(queue, 2).await.unwrap().settled, None);
    settle(queue, 1, 1, Settlement::SoldOut).await;
    assert_eq!(standing(queue, 1).await.unwrap().settled, Some(issued));
    settle(queue, 2, 2, Settlement::SoldOut).await;
    assert_eq!(join(queue, 2).await, Joined::Settled(Settlement::SoldOut));
    // Who was refused for the queue's sake may join again, with a new number.
    settle(queue, 3, 3, Settlement::Restarted).await;
    let Joined::Queued(place) = join(queue, 3).await else {
        panic!("not queued");
    };
    assert_eq!(place.sequence, 5);
    settle(queue, 3, 3, Settlement::Restarted).await;
    assert_eq!(standing(queue, 3).await.unwrap().settled, None);
    // Somebody who never joined may hold a coupon.
    settle(queue, 50, 1, Settlement::Issued(held(12))).await;
    let joined = join(queue, 50).await;
    assert_eq!(joined, Joined::Settled(Settlement::Issued(held(12))));
    let left = lease(queue, "a", NOW, 10).await;
    assert_eq!(numbers(&left), [(4, 4), (3, 5)]);
    let depth = depth(queue, &terms(1, 0, 10)).await;
    assert_eq!((depth.waiting, depth.leased, depth.unsettled), (0, 2, 0));
}

pub async fn terms_are_followed(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    queue.rebuild(&terms(2, 10, 1), &[]).await.unwrap();
    fill(queue, 1).await;
    assert_eq!(join(queue, 2).await, Joined::SoldOut);
    let mut more = terms(2, 10, 2);
    more.version += 1;
    depth(queue, &more).await;
    assert!(matches!(join(queue, 2).await, Joined::Queued(_)));
    // An older version comes late: it changes nothing.
    depth(queue, &terms(2, 10, 1)).await;
    let joined = queue.join(coupon(), user(2), NOW).await.unwrap();
    assert!(matches!(joined, Joined::AlreadyQueued(_)));
    depth(queue, &more).await;
    assert_eq!(join(queue, 3).await, Joined::SoldOut);
    let known = |terms: Terms| async move { queue.refresh(&terms).await.unwrap() };
    assert_eq!(known(terms(1, 0, 1)).await, Known::Newer);
    assert_eq!(known(terms(3, 20, 1)).await, Known::Older);
}

pub async fn slots_shrink_only_to_what_is_given(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    assert_eq!(queue.shrink(coupon(), 1).await.unwrap(), Ok(()));
    open(queue, 10).await;
    fill(queue, 3).await;
    assert_eq!(queue.shrink(coupon(), 2).await.unwrap(), Err(3));
    assert_eq!(queue.shrink(coupon(), 3).await.unwrap(), Ok(()));
    assert_eq!(join(queue, 4).await, Joined::SoldOut);
    // The database never heard of it: its terms stand.
    depth(queue, &terms(1, 0, 10)).await;
    assert!(matches!(join(queue, 4).await, Joined::Queued(_)));
}

pub async fn a_new_epoch_keeps_holders_and_order(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    open(queue, 10).await;
    fill(queue, 8).await;
    let leased = lease(queue, "a", NOW, 4).await;
    queue
        .acknowledge(&leased, &users(&leased)[..3])
        .await
        .unwrap();
    settle(queue, 1, 1, Settlement::Issued(held(11))).await;
    settle(queue, 2, 2, Settlement::Closed).await;
    // 3 was issued, and the queue never heard; 99 holds one that did not come through the queue.
    let holder = |who, id, sequence| Holder {
        user: user(who),
        user_coupon: held(id),
        sequence,
    };
    let holders = [holder(1, 11, 1), holder(3, 13, 3), holder(99, 19, 0)];
    queue.suspend(coupon()).await.unwrap();
    let next = terms(2, 10, 4);
    queue.rebuild(&next, &holders).await.unwrap();
    // Again, as after a crash, and with an older epoch: nothing happens.
    queue.rebuild(&next, &[]).await.unwrap();
    queue.rebuild(&terms(1, 0, 10), &[]).await.unwrap();
    for (who, id) in [(1, 11), (3, 13), (99, 19)] {
        let joined = join(queue, who).await;
        assert_eq!(joined, Joined::Settled(Settlement::Issued(held(id))));
    }
    assert_eq!(join(queue, 2).await, Joined::Settled(Settlement::Closed));
    assert_eq!(join(queue, 8).await, Joined::Settled(Settlement::SoldOut));
    assert_eq!(join(queue, 20).await, Joined::SoldOut);
    let waiting = lease(queue, "a", NOW, 10).await;
    assert_eq!(waiting.epoch, 2);
    assert_eq!(numbers(&waiting), [(4, 11), (5, 12), (6, 13), (7, 14)]);
}

pub async fn a_stale_leader_is_fenced(queue: Arc<dyn Queue>) {
    let queue = queue.as_ref();
    open(queue, 10).await;
    fill(queue, 2).await;
    let stale = lease(queue, "a", NOW, 1).await;
    queue.suspend(coupon()).await.unwrap();
    queue.rebuild(&terms(2, 10, 10), &[]).await.unwrap();
    let fresh = lease(queue, "a", NOW, 10).await;
    assert_eq!(numbers(&fresh), [(1, 11), (2, 12)]);
    assert!(!queue.acknowledge(&stale, &users(&stale)).await.unwrap());
    assert!(queue.acknowledge(&fresh, &users(&fresh)).await.unwrap());
}
