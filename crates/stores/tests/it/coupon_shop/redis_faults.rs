//! Redis is wiped, restarted, stopped and flushed under the shop: nobody is issued twice, no number is used twice.

use commerce::coupon::{Error, Refusal, Status, Store, Wish};
use testkit::eventually;

use super::redis::shop;
use super::{DEADLINE, user};

/// All data is lost: holders stay holders, numbers begin above every number given, the quota holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wiped() {
    let Some(mut redis) = testkit::shared::redis().await else {
        return;
    };
    let shop = shop(&redis).await;
    let id = shop.campaign(1, 10).await;
    for who in 1..=4 {
        assert_eq!(shop.join(id, who).await, Ok(who));
        shop.result(id, who).await;
    }
    redis.restart_wiped().await.unwrap();
    // Whatever is answered meanwhile, it is no place: six are left, from place 1 of the new epoch.
    for who in 1..=4 {
        let refused = shop.join(id, who).await;
        assert!(
            matches!(refused, Err(Refusal::AlreadyIssued(_))),
            "{refused:?}"
        );
    }
    for who in 5..=10 {
        assert_eq!(shop.join(id, who).await, Ok(who - 4));
    }
    assert_eq!(shop.join(id, 11).await, Err(Refusal::SoldOut));
    for who in 5..=10 {
        assert_eq!(shop.result(id, who).await.status, Status::Success);
    }
    let campaign = shop.store.find(id).await.unwrap().unwrap();
    let range = campaign.range;
    assert_eq!(range.base, 10 * (range.epoch - 1));
    assert!(range.epoch > 1);
    shop.audited().await;
}

/// The data survives, the server does not: who waits keeps the order under new numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted() {
    let Some(mut redis) = testkit::shared::redis().await else {
        return;
    };
    let shop = shop(&redis).await;
    let id = shop.campaign(1, 10).await;
    assert_eq!(shop.join(id, 1).await, Ok(1));
    shop.result(id, 1).await;
    shop.coupons.change(id, Wish::Pause, None).await.unwrap();
    redis.restart().await.unwrap();
    eventually(DEADLINE, "a new epoch", async || {
        let campaign = shop.store.find(id).await?.unwrap();
        anyhow::ensure!(campaign.range.epoch > 1);
        Ok(())
    })
    .await;
    eventually(DEADLINE, "paused as before", async || {
        match shop.coupons.claim(id, user(2)).await {
            Err(Error::Refused(Refusal::Paused)) => Ok(()),
            other => anyhow::bail!("{other:?}"),
        }
    })
    .await;
    shop.coupons.change(id, Wish::Resume, None).await.unwrap();
    assert_eq!(shop.join(id, 2).await, Ok(1));
    assert_eq!(shop.result(id, 2).await.status, Status::Success);
    shop.audited().await;
}

/// Away: joins are told so at once, a holder is still told of the coupon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn away() {
    let Some(mut redis) = testkit::shared::redis().await else {
        return;
    };
    let shop = shop(&redis).await;
    let id = shop.campaign(1, 10).await;
    assert_eq!(shop.join(id, 1).await, Ok(1));
    shop.result(id, 1).await;
    redis.stop().await.unwrap();
    let joined = shop.coupons.claim(id, user(2)).await;
    assert!(matches!(joined, Err(Error::Queue(_))), "{joined:?}");
    assert_eq!(shop.result(id, 1).await.status, Status::Success);
    let unknown = shop.coupons.standing(id, user(2)).await;
    assert!(matches!(unknown, Err(Error::Queue(_))), "{unknown:?}");
    redis.restart().await.unwrap();
    assert!(shop.join(id, 2).await.is_ok());
    assert_eq!(shop.result(id, 2).await.status, Status::Success);
    shop.audited().await;
}

/// The keys are gone, the server is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed() {
    let Some(redis) = testkit::shared::redis().await else {
        return;
    };
    let shop = shop(&redis).await;
    let id = shop.campaign(1, 3).await;
    assert_eq!(shop.join(id, 1).await, Ok(1));
    shop.result(id, 1).await;
    let client = stores::redis::Redis::connect(&crate::backends::patient(&redis)).unwrap();
    client.query::<()>(&::redis::cmd("FLUSHALL")).await.unwrap();
    assert!(shop.join(id, 2).await.is_ok());
    assert_eq!(shop.result(id, 2).await.status, Status::Success);
    let refused = shop.join(id, 1).await;
    assert!(
        matches!(refused, Err(Refusal::AlreadyIssued(_))),
        "{refused:?}"
    );
    shop.audited().await;
}

/// Places that were nowhere but on Redis are lost with it: who waited is told so, and may join again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waited_is_told_the_truth() {
    let Some(mut redis) = testkit::shared::redis().await else {
        return;
    };
    let shop = shop(&redis).await;
    let id = shop.campaign(1, 10).await;
    assert_eq!(shop.join(id, 1).await, Ok(1));
    shop.result(id, 1).await;
    shop.knows_no_place(id, 9).await;
    let before = shop.store.find(id).await.unwrap().unwrap().range.epoch;
    redis.restart_wiped().await.unwrap();
    // For all that is left, this one may have waited.
    let end = eventually(DEADLINE, "an honest end", async || {
        let campaign = shop.store.find(id).await?.unwrap();
        anyhow::ensure!(campaign.range.epoch > before);
        let standing = shop.coupons.standing(id, user(9)).await?;
        anyhow::ensure!(standing.is_final(), "{standing:?}");
        Ok(standing)
    })
    .await;
    assert_eq!(end.status, Status::Failed);
    assert_eq!(end.code.as_deref(), Some("coupon-queue-restarted"));
    assert!(shop.join(id, 9).await.is_ok());
    assert_eq!(shop.result(id, 9).await.status, Status::Success);
    assert_eq!(shop.result(id, 1).await.status, Status::Success);
    shop.audited().await;
}
