//! The settings that count something and must be at least 1: limits, batches, waits.
//! Pure; `check` calls it.

use super::Config;

/// Each with its value.
pub fn all(config: &Config) -> Vec<(&'static str, i128)> {
    [
        process(config),
        messaging(config),
        embedded_log(config),
        features(config),
        coupons(config),
    ]
    .concat()
}

fn process(config: &Config) -> Vec<(&'static str, i128)> {
    let http = &config.http;
    let database = &config.database;
    let redis = &config.redis;
    vec![
        ("http.body_max_bytes", http.body_max_bytes as i128),
        ("http.request_timeout_ms", http.request_timeout_ms.into()),
        ("http.idle_max_ms", http.idle_max_ms.into()),
        ("http.concurrency_max", http.concurrency_max as i128),
        ("http.rate_burst", http.rate_burst.into()),
        ("http.drain_ms", http.drain_ms.into()),
        ("auth.jwks_refresh_ms", config.auth.jwks_refresh_ms.into()),
        ("shop.id_block", config.shop.id_block.into()),
        ("database.connections_max", database.connections_max.into()),
        (
            "database.writer_connections_max",
            database.writer_connections_max.into(),
        ),
        (
            "database.acquire_timeout_ms",
            database.acquire_timeout_ms.into(),
        ),
        ("database.statement_cache", database.statement_cache as i128),
        ("database.attempts_max", database.attempts_max.into()),
        ("database.busy_timeout_ms", database.busy_timeout_ms.into()),
        ("database.cache_kib", database.cache_kib.into()),
        (
            "database.shared_flush_max",
            database.shared_flush_max as i128,
        ),
        (
            "redis.response_timeout_ms",
            redis.response_timeout_ms.into(),
        ),
        ("redis.connect_timeout_ms", redis.connect_timeout_ms.into()),
        ("redis.pipeline_max", redis.pipeline_max as i128),
        ("janitor.every_ms", config.janitor.every_ms.into()),
        (
            "janitor.idempotency_keep_days",
            config.janitor.idempotency_keep_days.into(),
        ),
        (
            "janitor.foreign_notes_keep_days",
            config.janitor.foreign_notes_keep_days.into(),
        ),
        ("janitor.batch_max", config.janitor.batch_max.into()),
    ]
}

fn messaging(config: &Config) -> Vec<(&'static str, i128)> {
    let kafka = &config.kafka;
    let consumers = &config.consumers;
    let outbox = &config.outbox;
    vec![
        ("kafka.message_timeout_ms", kafka.message_timeout_ms.into()),
        ("kafka.request_timeout_ms", kafka.request_timeout_ms.into()),
        ("kafka.batch_bytes", kafka.batch_bytes as i128),
        ("kafka.message_max_bytes", kafka.message_max_bytes as i128),
        ("kafka.queue_max", kafka.queue_max as i128),
        ("kafka.queue_max_kib", kafka.queue_max_kib as i128),
        ("kafka.session_timeout_ms", kafka.session_timeout_ms.into()),
        ("kafka.leave_timeout_ms", kafka.leave_timeout_ms.into()),
        ("kafka.fetch_bytes_max", kafka.fetch_bytes_max as i128),
        ("kafka.prefetch_max_kib", kafka.prefetch_max_kib as i128),
        ("kafka.fetch_min_bytes", kafka.fetch_min_bytes as i128),
        (
            "kafka.metadata_refresh_ms",
            kafka.metadata_refresh_ms.into(),
        ),
        ("consumers.drain_ms", consumers.drain_ms.into()),
        (
            "consumers.commit_interval_ms",
            consumers.commit_interval_ms.into(),
        ),
        (
            "consumers.backoff_initial_ms",
            consumers.backoff_initial_ms.into(),
        ),
        ("consumers.backoff_max_ms", consumers.backoff_max_ms.into()),
        ("consumers.lag_ms", consumers.lag_ms.into()),
        ("outbox.shards", outbox.shards.into()),
        ("outbox.lease_ms", outbox.lease_ms.into()),
        ("outbox.batch_max", outbox.batch_max.into()),
        ("outbox.in_flight_batches", outbox.in_flight_batches as i128),
        ("outbox.poll_ms", outbox.poll_ms.into()),
        ("outbox.idle_poll_max_ms", outbox.idle_poll_max_ms.into()),
        ("outbox.sweep_ms", outbox.sweep_ms.into()),
        ("outbox.held_max", outbox.held_max as i128),
        ("outbox.depth_ms", outbox.depth_ms.into()),
        ("outbox.row_events_max", outbox.row_events_max.into()),
        ("outbox.row_bytes_max", outbox.row_bytes_max as i128),
    ]
}

fn embedded_log(config: &Config) -> Vec<(&'static str, i128)> {
    let embedded = &config.events.embedded;
    vec![
        (
            "events.embedded.publish_batch_max",
            embedded.publish_batch_max as i128,
        ),
        (
            "events.embedded.publish_batch_bytes",
            embedded.publish_batch_bytes as i128,
        ),
        (
            "events.embedded.publish_queue_max",
            embedded.publish_queue_max as i128,
        ),
        ("events.embedded.poll_ms", embedded.poll_ms.into()),
        (
            "events.embedded.idle_poll_max_ms",
            embedded.idle_poll_max_ms.into(),
        ),
        (
            "events.embedded.fetch_bytes_max",
            embedded.fetch_bytes_max as i128,
        ),
        (
            "events.embedded.max_message_bytes",
            embedded.max_message_bytes.into(),
        ),
        (
            "events.embedded.prune_batch_max",
            embedded.prune_batch_max.into(),
        ),
    ]
}

fn features(config: &Config) -> Vec<(&'static str, i128)> {
    let orders = &config.orders;
    let catalogue = &config.catalogue;
    let analytics = &config.analytics;
    let ranking = &config.ranking;
    let platform = &config.data_platform;
    vec![
        ("orders.queue_max", orders.queue_max as i128),
        ("orders.batch_max", orders.batch_max as i128),
        ("orders.batches_in_flight", orders.batches_in_flight as i128),
        (
            "orders.batches_before_commit",
            orders.batches_before_commit as i128,
        ),
        ("orders.batch_timeout_ms", orders.batch_timeout_ms.into()),
        ("catalogue.products_max", catalogue.products_max.into()),
        ("catalogue.pages_max", catalogue.pages_max.into()),
        ("catalogue.card_lists_max", catalogue.card_lists_max.into()),
        (
            "analytics.by_hour_max_days",
            analytics.by_hour_max_days.into(),
        ),
        (
            "analytics.by_day_max_days",
            analytics.by_day_max_days.into(),
        ),
        (
            "analytics.by_product_max_days",
            analytics.by_product_max_days.into(),
        ),
        ("analytics.products_max", analytics.products_max.into()),
        ("ranking.rebuild_page", ranking.rebuild_page.into()),
        ("ranking.feed_batch_max", ranking.feed_batch_max as i128),
        ("ranking.standings_max", ranking.standings_max as i128),
        ("ranking.lease_ms", ranking.lease_ms.into()),
        ("data_platform.concurrency", platform.concurrency as i128),
        (
            "data_platform.connect_timeout_ms",
            platform.connect_timeout_ms.into(),
        ),
        (
            "data_platform.request_timeout_ms",
            platform.request_timeout_ms.into(),
        ),
        (
            "data_platform.breaker_failures_max",
            platform.breaker_failures_max.into(),
        ),
        (
            "data_platform.breaker_open_ms",
            platform.breaker_open_ms.into(),
        ),
        (
            "data_platform.breaker_open_max_ms",
            platform.breaker_open_max_ms.into(),
        ),
        (
            "data_platform.remembered_max",
            platform.remembered_max as i128,
        ),
    ]
}

fn coupons(config: &Config) -> Vec<(&'static str, i128)> {
    let coupon = &config.coupon;
    let scheduler = &coupon.scheduler;
    let queue = &coupon.embedded_queue;
    vec![
        ("coupon.cache_max", coupon.cache_max.into()),
        ("coupon.keep_ms", coupon.keep_ms.into()),
        ("coupon.opening_wait_ms", coupon.opening_wait_ms.into()),
        ("coupon.held_max", coupon.held_max.into()),
        ("coupon.streams_max", coupon.streams_max as i128),
        ("coupon.stream_poll_ms", coupon.stream_poll_ms.into()),
        (
            "coupon.stream_keep_alive_ms",
            coupon.stream_keep_alive_ms.into(),
        ),
        ("coupon.scheduler.batch_max", scheduler.batch_max as i128),
        ("coupon.scheduler.lease_ms", scheduler.lease_ms.into()),
        (
            "coupon.scheduler.unsettled_max",
            scheduler.unsettled_max as i128,
        ),
        ("coupon.scheduler.poll_ms", scheduler.poll_ms.into()),
        ("coupon.scheduler.refresh_ms", scheduler.refresh_ms.into()),
        (
            "coupon.scheduler.campaigns_parallel_max",
            scheduler.campaigns_parallel_max as i128,
        ),
        (
            "coupon.scheduler.drain_max_ms",
            scheduler.drain_max_ms.into(),
        ),
        (
            "coupon.scheduler.recovery_lease_ms",
            scheduler.recovery_lease_ms.into(),
        ),
        (
            "coupon.scheduler.backoff_max_ms",
            scheduler.backoff_max_ms.into(),
        ),
        ("coupon.joins_batch_max", coupon.joins_batch_max as i128),
        ("coupon.joins_waiting_max", coupon.joins_waiting_max as i128),
        ("coupon.polls_batch_max", coupon.polls_batch_max as i128),
        ("coupon.polls_waiting_max", coupon.polls_waiting_max as i128),
        (
            "coupon.embedded_queue.prune_batch_max",
            queue.prune_batch_max.into(),
        ),
    ]
}
