//! Coupons from the join to the result: queue, scheduler, topic and issuing consumer together, on SQLite alone and on Redis
//! (with MariaDB where the name says so). What becomes of it when Redis fails is in `redis_faults`.

mod redis_faults;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use commerce::clock::SystemClock;
use commerce::coupon::{
    Claimed, Coupons, Error, InlineTopic, IssueHandler, IssueMode, NewCampaign, Queue, Refusal,
    Scheduler, SchedulerSettings, Standing, Status, Store, Wish,
};
use commerce::ids::{Allocator, CouponId, UserId};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use messaging::consumer::{Runtime, Settings as ConsumerSettings};
use messaging::embedded::EmbeddedLog;
use messaging::log::{EventLog, TopicSpec};
use messaging::record::Outgoing;
use stores::sql::coupons::SqlCoupons;
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::backends::Backend;
use crate::coupon_queue::{embedded, real};
use crate::coupons::create;

const TOPIC: &str = "coupon-issue-events";
const DEADLINE: Duration = Duration::from_secs(60);

/// A shop of coupons only, with its roles running.
struct Shop {
    coupons: Arc<Coupons>,
    store: Arc<SqlCoupons>,
    log: Arc<EmbeddedLog>,
    cancel: CancellationToken,
    /// Their files live as long as the shop does.
    _backends: [Backend; 2],
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Shop {
    async fn start(backend: Backend, queue: Arc<dyn Queue>) -> Self {
        Self::open(backend, queue, false).await
    }

    /// `inline`: without a topic between scheduler and decision.
    async fn open(backend: Backend, queue: Arc<dyn Queue>, inline: bool) -> Self {
        let topics = Backend::sqlite().await;
        let db = topics.connect().await;
        let (writer, reader) = (db.file_writer().cloned(), db.reader().clone());
        let log = Arc::new(EmbeddedLog::new(
            writer.expect("an SQLite file"),
            reader,
            Default::default(),
        ));
        log.create_schema().await.unwrap();
        let topic = TopicSpec {
            name: TOPIC.into(),
            partitions: 3,
            replication: 1,
            retention_ms: None,
            max_message_bytes: None,
        };
        log.create_topics(&[topic]).await.unwrap();
        let db = backend.connect().await;
        let store = Arc::new(SqlCoupons::new(db.clone()));
        let ids = Arc::new(Allocator::new(Arc::new(db), 1_000));
        let clock = Arc::new(SystemClock);
        let ports = commerce::coupon::Ports {
            store: store.clone(),
            issuing: store.clone(),
            epochs: store.clone(),
            queue: queue.clone(),
        };
        let coupons = Coupons::new(ports, ids.clone(), clock.clone(), Default::default());
        let shop = Self {
            coupons: Arc::new(coupons),
            store,
            log,
            cancel: CancellationToken::new(),
            _backends: [topics, backend],
        };
        let (coupons, store) = (shop.coupons.clone(), shop.store.clone());
        let handler = Arc::new(IssueHandler::new(coupons, store, queue.clone(), ids, clock));
        if inline {
            shop.schedule(queue, Arc::new(InlineTopic::new(handler)));
        } else {
            shop.schedule(queue, shop.log.clone());
            shop.consume(handler);
        }
        shop
    }

    fn schedule(&self, queue: Arc<dyn Queue>, log: Arc<dyn EventLog>) {
        let scheduler = Scheduler::new(
            self.store.clone(),
            queue,
            log,
            Arc::new(SystemClock),
            self.coupons.wake(),
            "test".into(),
            SchedulerSettings {
                batch_max: 40,
                refresh_ms: 50,
                poll_ms: 20,
                drain_max_ms: 20_000,
                ..Default::default()
            },
        );
        let cancel = self.cancel.clone();
        tokio::spawn(async move { scheduler.run(cancel).await });
    }

    fn consume(&self, handler: Arc<IssueHandler>) {
        let settings = ConsumerSettings {
            name: "coupon-issue".into(),
            group: "coupon-issue-group".into(),
            topics: vec![TOPIC.into()],
            ..Default::default()
        };
        let runtime = Runtime::new(self.log.clone(), handler, settings);
        let cancel = self.cancel.clone();
        tokio::spawn(async move { runtime.run(cancel).await });
    }

    async fn campaign(&self, id: i64, quota: i64) -> CouponId {
        let hour = SignedDuration::from_hours(1);
        let now = Timestamp::now();
        let new = NewCampaign {
            id: CouponId::try_from(id).unwrap(),
            name: format!("c{id}").try_into().unwrap(),
            discount_amount: 5_000.try_into().unwrap(),
            min_order_amount: commerce::amount::Won::ZERO,
            quota: quota.try_into().unwrap(),
            claim_from: now - hour,
            claim_to: now + hour,
            expires_at: now + hour * 2,
            issue_mode: IssueMode::Queue,
            at: now,
        };
        create(&self.store, new).await
    }

    /// Joins, trying again while the queue is not ready.
    async fn join(&self, id: CouponId, who: i64) -> Result<i64, Refusal> {
        let until = Instant::now() + DEADLINE;
        loop {
            match self.coupons.claim(id, user(who)).await {
                Ok(Claimed::Queued(place)) => return Ok(place.position()),
                Err(Error::Refused(refusal)) => return Err(refusal),
                other => assert!(
                    Instant::now() < until,
                    "the queue takes no joins: {other:?}"
                ),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn result(&self, id: CouponId, who: i64) -> Standing {
        eventually(DEADLINE, "a result", async || {
            let standing = self.coupons.standing(id, user(who)).await?;
            anyhow::ensure!(standing.is_final(), "{standing:?}");
            Ok(standing)
        })
        .await
    }

    /// A stranger has no place. Where a campaign has begun anew nobody can tell who had joined.
    async fn knows_no_place(&self, id: CouponId, who: i64) {
        let standing = self.coupons.standing(id, user(who)).await;
        let campaign = self.store.find(id).await.unwrap().unwrap();
        match campaign.range.epoch {
            1 => assert!(matches!(standing, Err(Error::Refused(Refusal::NotJoined)))),
            _ => assert_eq!(
                standing.unwrap().code.as_deref(),
                Some("coupon-queue-restarted")
            ),
        }
    }

    async fn audited(&self) {
        for facts in self
            .coupons
            .audit(&self.coupons.given_out().await.unwrap())
            .await
            .unwrap()
        {
            assert_eq!(facts.differences(), []);
        }
    }
}

fn user(id: i64) -> UserId {
    UserId::try_from(id).unwrap()
}

/// Twice as many as there are coupons join at once, each twice; the first places win and everybody is told.
async fn a_flash_sale(shop: Shop) {
    let id = shop.campaign(1, 120).await;
    let shop = Arc::new(shop);
    let mut tasks = tokio::task::JoinSet::new();
    for who in (1..=240).chain(1..=240) {
        let shop = shop.clone();
        tasks.spawn(async move { (who, shop.join(id, who).await) });
    }
    let mut places = BTreeMap::new();
    for (who, joined) in tasks.join_all().await {
        match joined {
            Ok(place) => assert!(places.insert(place, who).is_none()),
            Err(Refusal::AlreadyQueued { .. } | Refusal::AlreadyIssued(_) | Refusal::SoldOut) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(
        places.keys().copied().collect::<Vec<_>>(),
        (1..=120).collect::<Vec<_>>()
    );
    for (place, who) in &places {
        let standing = shop.result(id, *who).await;
        assert_eq!(standing.status, Status::Success);
        assert_eq!(standing.queue_position, Some(*place));
        assert_eq!(shop.store.held_by(user(*who), 5).await.unwrap().len(), 1);
    }
    // Who asks at the same time as all others is told their own.
    let winners: BTreeMap<i64, i64> = places.iter().map(|(place, who)| (*who, *place)).collect();
    let polls = (1..=240).map(|who| shop.coupons.standing(id, user(who)));
    for (who, told) in (1..).zip(join_all(polls).await) {
        let told = told.ok().and_then(|standing| standing.queue_position);
        assert_eq!(told, winners.get(&who).copied(), "user {who}");
    }
    let refused = shop.join(id, 9_999).await;
    assert_eq!(refused, Err(Refusal::SoldOut));
    shop.knows_no_place(id, 9_999).await;
    shop.audited().await;
}

/// Paused: places are kept and nothing is issued; closed: whoever waits is refused.
async fn pause_resume_close(shop: Shop) {
    let id = shop.campaign(1, 10).await;
    assert_eq!(shop.join(id, 1).await, Ok(1));
    shop.result(id, 1).await;
    shop.coupons.change(id, Wish::Pause, None).await.unwrap();
    assert_eq!(shop.join(id, 2).await, Err(Refusal::Paused));
    shop.coupons.change(id, Wish::Resume, None).await.unwrap();
    assert_eq!(shop.join(id, 2).await, Ok(2));
    assert_eq!(shop.result(id, 2).await.status, Status::Success);
    shop.coupons.change(id, Wish::Close, None).await.unwrap();
    assert_eq!(shop.join(id, 3).await, Err(Refusal::Closed));
    shop.audited().await;
}

/// What the JVM shop's producer writes is a claim like any other.
async fn a_message_without_a_number_is_a_join(shop: Shop) {
    let id = shop.campaign(1, 10).await;
    let message = format!(
        r#"{{"userId":1001,"couponId":{id},"couponName":"c","discountAmount":1000.00,"maxIssuanceCount":100,"requestedAt":[2026,11,22,14,15,2,40318414]}}"#
    );
    let record = Outgoing {
        topic: TOPIC.into(),
        key: Some("coupon-1-user-1001".into()),
        value: Some(message.into()),
        ..Outgoing::default()
    };
    for result in shop.log.publish(vec![record.clone(), record]).await {
        result.unwrap();
    }
    let standing = eventually(DEADLINE, "a result", async || {
        let standing = shop.coupons.standing(id, user(1_001)).await?;
        anyhow::ensure!(standing.is_final(), "{standing:?}");
        Ok(standing)
    })
    .await;
    assert_eq!(standing.status, Status::Success);
    assert_eq!(standing.queue_position, Some(1));
    shop.audited().await;
}

mod sqlite {
    use super::*;

    async fn shop() -> Shop {
        let backend = Backend::sqlite().await;
        let queue = embedded(&backend).await;
        Shop::start(backend, queue).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_flash_sale() {
        super::a_flash_sale(shop().await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn pause_resume_close() {
        super::pause_resume_close(shop().await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_flash_sale_without_a_topic() {
        let backend = Backend::sqlite().await;
        let queue = embedded(&backend).await;
        super::a_flash_sale(Shop::open(backend, queue, true).await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_message_without_a_number_is_a_join() {
        super::a_message_without_a_number_is_a_join(shop().await).await;
    }
}

mod mysql_redis {
    use super::*;

    async fn shop(redis: &testkit::Redis) -> Option<Shop> {
        let backend = Backend::mysql().await?;
        Some(Shop::start(backend, real(redis).await).await)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_flash_sale() {
        let Some(redis) = testkit::shared::redis().await else {
            return;
        };
        if let Some(shop) = shop(&redis).await {
            super::a_flash_sale(shop).await;
        }
    }
}

mod redis {
    use super::*;

    pub async fn shop(redis: &testkit::Redis) -> Shop {
        let backend = Backend::sqlite().await;
        Shop::start(backend, real(redis).await).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn pause_resume_close() {
        if let Some(redis) = testkit::shared::redis().await {
            super::pause_resume_close(shop(&redis).await).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_message_without_a_number_is_a_join() {
        if let Some(redis) = testkit::shared::redis().await {
            super::a_message_without_a_number_is_a_join(shop(&redis).await).await;
        }
    }
}
