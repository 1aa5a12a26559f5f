//! Coupons put together: the queue on Redis or in the shop's own file, the service, the issuing consumer, the scheduler.

use std::sync::Arc;

use commerce::clock::Clock;
use commerce::coupon::events::Dress;
use commerce::coupon::{
    Coupons, Epochs, InlineTopic, IssueHandler, IssueMode, Issuing, Ports, Queue, Scheduler,
    SchedulerSettings, Settings, Store, WatchSettings,
};
use commerce::ids::Allocator;
use commerce::together;
use messaging::log::EventLog;
use stores::embedded::queue::{self, EmbeddedQueue};
use stores::redis::queue::RedisQueue;
use stores::sql::coupons::SqlCoupons;
use uuid::Uuid;

use super::features::{Ground, style};
use super::{Name, Shop, consumers};
use crate::config::{Config, CouponIssue};
use crate::steps::{self, Hand};

pub struct Adapters {
    sql: Arc<SqlCoupons>,
    queue: Arc<dyn Queue>,
    /// The queue, where it lies in the shop's own file: the janitor prunes it.
    pub embedded: Option<Arc<EmbeddedQueue>>,
}

/// Must be called within a tokio runtime.
pub fn adapters(ground: &Ground<'_>) -> Adapters {
    let sql = Arc::new(SqlCoupons::new(ground.database.clone()));
    let coupon = &ground.config.coupon;
    let joins = together::Settings {
        batch_max: coupon.joins_batch_max,
        waiting_max: coupon.joins_waiting_max,
        gather_max_ms: coupon.joins_gather_max_ms,
    };
    if let Some(redis) = ground.redis {
        let queue = Arc::new(RedisQueue::new(redis.clone(), &joins));
        return Adapters {
            sql,
            queue: steps::queue(queue),
            embedded: None,
        };
    }
    let settings = queue::Settings {
        joins,
        prune_batch_max: coupon.embedded_queue.prune_batch_max,
    };
    let queue = Arc::new(EmbeddedQueue::new(ground.database.clone(), &settings));
    Adapters {
        sql,
        queue: steps::queue(Arc::clone(&queue) as Arc<dyn Queue>),
        embedded: Some(queue),
    }
}

pub fn service(
    config: &Config,
    adapters: &Adapters,
    ids: &Arc<Allocator>,
    clock: &Arc<dyn Clock>,
) -> Arc<Coupons> {
    let coupon = &config.coupon;
    let ports = Ports {
        store: Arc::clone(&adapters.sql) as Arc<dyn Store>,
        issuing: Arc::clone(&adapters.sql) as Arc<dyn Issuing>,
        epochs: Arc::clone(&adapters.sql) as Arc<dyn Epochs>,
        queue: Arc::clone(&adapters.queue),
    };
    let settings = Settings {
        issue_mode: issue_mode(config),
        cache_ms: coupon.cache_ms,
        cache_max: coupon.cache_max,
        keep_ms: coupon.keep_ms,
        opening_wait_ms: coupon.opening_wait_ms,
        held_max: coupon.held_max,
        polls: together::Settings {
            batch_max: coupon.polls_batch_max,
            waiting_max: coupon.polls_waiting_max,
            gather_max_ms: coupon.polls_gather_max_ms,
        },
        watch: WatchSettings {
            streams_max: coupon.streams_max,
            poll_ms: coupon.stream_poll_ms,
            keep_alive_ms: coupon.stream_keep_alive_ms,
        },
    };
    Arc::new(Coupons::new(
        ports,
        Arc::clone(ids),
        Arc::clone(clock),
        settings,
    ))
}

/// How campaigns created from now on issue.
pub fn issue_mode(config: &Config) -> IssueMode {
    match config.coupon.issue {
        CouponIssue::Queue => IssueMode::Queue,
        CouponIssue::Direct => IssueMode::Direct,
    }
}

pub fn issuer(
    coupons: &Arc<Coupons>,
    adapters: &Adapters,
    ids: &Arc<Allocator>,
    clock: &Arc<dyn Clock>,
) -> IssueHandler {
    IssueHandler::new(
        Arc::clone(coupons),
        Arc::clone(&adapters.sql) as Arc<dyn Issuing>,
        Arc::clone(&adapters.queue),
        Arc::clone(ids),
        Arc::clone(clock),
    )
}

/// Without a log the places are decided on the spot.
pub fn scheduler(shop: &Shop) -> Scheduler {
    let log = shop.event_log_of(Hand::Scheduler).unwrap_or_else(|| {
        let issuer = Arc::clone(&shop.features.issuer);
        Arc::new(InlineTopic::new(issuer)) as Arc<dyn EventLog>
    });
    let config = &shop.config;
    let adapters = &shop.features.coupon_ports;
    let topic = &config.topics.coupon_issue;
    let scheduler = &config.coupon.scheduler;
    let settings = SchedulerSettings {
        dress: Dress {
            topic: topic.name.clone(),
            type_id: topic.type_id.clone(),
            source: config.shop.source.clone(),
            style: style(config),
        },
        group: consumers::settings(config, Name::CouponIssue).group,
        batch_max: scheduler.batch_max,
        lease_ms: scheduler.lease_ms,
        unsettled_max: scheduler.unsettled_max,
        poll_ms: scheduler.poll_ms,
        linger_ms: scheduler.linger_ms,
        refresh_ms: scheduler.refresh_ms,
        campaigns_parallel_max: scheduler.campaigns_parallel_max,
        drain_max_ms: scheduler.drain_max_ms,
        recovery_lease_ms: scheduler.recovery_lease_ms,
        backoff_max_ms: scheduler.backoff_max_ms,
        keep_ms: config.coupon.keep_ms,
    };
    Scheduler::new(
        Arc::clone(&adapters.sql) as Arc<dyn Epochs>,
        Arc::clone(&adapters.queue),
        log,
        Arc::clone(&shop.features.clock),
        shop.features.coupons.wake(),
        Uuid::now_v7().to_string(),
        settings,
    )
}
