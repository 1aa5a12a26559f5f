//! Whether the settings fit together: each rule says the setting, its value, and what would be right.
//! Types and names were checked before. Pure; the loader calls it.

use std::net::SocketAddr;

use messaging::dead_letters::RELAY_GROUP;

use super::show::{masked_text, without_password};
use super::{AuthMode, Config, Kafka, Publisher, Wrong, limits, retries};

const SECRET_MIN_BYTES: usize = 32;

pub fn all(config: &Config) -> Vec<Wrong> {
    let mut wrong = Rules(Vec::new());
    http(config, &mut wrong);
    auth(config, &mut wrong);
    addresses(config, &mut wrong);
    kafka(config, &mut wrong);
    topics(config, &mut wrong);
    for (setting, value) in limits::all(config) {
        wrong.positive(setting, value);
    }
    groups(config, &mut wrong);
    wrong.0
}

/// What hyper reads at once.
const HEAD_MIN_BYTES: usize = 8_192;

pub(super) struct Rules(Vec<Wrong>);

impl Rules {
    pub fn must(&mut self, fits: bool, setting: &str, value: impl std::fmt::Debug, right: &str) {
        if !fits {
            self.0.push(Wrong {
                setting: setting.to_owned(),
                value: format!("{value:?}"),
                right: right.to_owned(),
            });
        }
    }

    pub fn positive(&mut self, setting: &str, value: impl Into<i128>) {
        let value = value.into();
        self.must(value > 0, setting, value, "must be at least 1");
    }
}

fn http(config: &Config, rules: &mut Rules) {
    let http = &config.http;
    rules.must(
        http.listen.parse::<SocketAddr>().is_ok(),
        "http.listen",
        &http.listen,
        "must be an address and port, such as 127.0.0.1:8083 or [::1]:8083",
    );
    rules.must(
        http.head_max_bytes >= HEAD_MIN_BYTES,
        "http.head_max_bytes",
        http.head_max_bytes,
        "must be at least 8192",
    );
    rules.must(
        jiff::tz::TimeZone::get(&config.shop.time_zone).is_ok(),
        "shop.time_zone",
        &config.shop.time_zone,
        "must be the IANA name of a time zone, such as Asia/Seoul",
    );
    rules.must(
        tracing_subscriber::EnvFilter::try_new(&config.log.filter).is_ok(),
        "log.filter",
        &config.log.filter,
        "must be a filter such as info,madang=debug",
    );
    rules.must(
        (31..=3_650).contains(&config.ranking.retention_days),
        "ranking.retention_days",
        config.ranking.retention_days,
        "must be from 31 to 3650: the longest window is 30 days",
    );
    rules.must(
        (0.0..=1.0).contains(&config.telemetry.sample_ratio),
        "telemetry.sample_ratio",
        config.telemetry.sample_ratio,
        "must be from 0 to 1",
    );
}

fn auth(config: &Config, rules: &mut Rules) {
    let auth = &config.auth;
    if auth.mode == AuthMode::Off {
        let loopback = config
            .http
            .listen
            .parse::<SocketAddr>()
            .is_ok_and(|listen| listen.ip().is_loopback());
        rules.must(
            loopback,
            "auth.mode",
            "off",
            &format!(
                "is allowed on a loopback http.listen only (it is {}): set auth.mode = \"jwt\", or listen on 127.0.0.1",
                config.http.listen
            ),
        );
        return;
    }
    let secret = auth.hmac_secret.len();
    rules.must(
        secret == 0 || secret >= SECRET_MIN_BYTES,
        "auth.hmac_secret",
        format_args!("({secret} bytes)"),
        "must have at least 32 bytes",
    );
    rules.must(
        auth.jwks_url.is_empty() || secret == 0,
        "auth.jwks_url",
        &auth.jwks_url,
        "cannot be set together with auth.hmac_secret: choose one",
    );
    rules.must(
        auth.jwks_url.is_empty() || is_http(&auth.jwks_url),
        "auth.jwks_url",
        &auth.jwks_url,
        "must begin with http:// or https://",
    );
    rules.must(
        config.is_embedded() || secret > 0 || !auth.jwks_url.is_empty(),
        "auth.mode",
        "jwt",
        "needs auth.jwks_url or auth.hmac_secret where the database is not the embedded one",
    );
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

fn addresses(config: &Config, rules: &mut Rules) {
    let database = &config.database.url;
    let known = ["sqlite:", "mysql://", "mariadb://"];
    rules.must(
        known.iter().any(|scheme| database.starts_with(scheme)),
        "database.url",
        without_password(database),
        "must begin with sqlite:// or mysql://",
    );
    let redis = &config.redis.url;
    let known = ["redis://", "rediss://", "unix://"];
    rules.must(
        redis.is_empty() || known.iter().any(|scheme| redis.starts_with(scheme)),
        "redis.url",
        without_password(redis),
        "must begin with redis://, rediss:// or unix://, or be empty",
    );
    rules.must(
        !redis.is_empty() || config.is_embedded(),
        "redis.url",
        redis,
        "must be set where the database is not the embedded one: the embedded queue and board live in its file",
    );
    let platform = &config.data_platform.url;
    rules.must(
        platform.is_empty() || is_http(platform),
        "data_platform.url",
        without_password(platform),
        "must begin with http:// or https://, or be empty",
    );
    let otlp = &config.telemetry.otlp_endpoint;
    rules.must(
        otlp.is_empty() || is_http(otlp),
        "telemetry.otlp_endpoint",
        otlp,
        "must begin with http:// or https://, or be empty",
    );
}

fn kafka(config: &Config, rules: &mut Rules) {
    let brokers = &config.kafka.brokers;
    let well_formed = |broker: &str| {
        let port = broker.trim().rsplit_once(':').map(|(_, port)| port);
        port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
    };
    rules.must(
        brokers.is_empty() || brokers.split(',').all(well_formed),
        "kafka.brokers",
        brokers,
        "must be host:port, or several separated by commas",
    );
    match config.publisher() {
        Publisher::Kafka => rules.must(
            !brokers.is_empty(),
            "events.publisher",
            "kafka",
            "needs kafka.brokers",
        ),
        Publisher::Embedded => rules.must(
            config.is_embedded(),
            "events.publisher",
            "embedded",
            "works only beside SQLite: set kafka.brokers, or events.publisher = \"inline\"",
        ),
        Publisher::Inline => {}
    }
    let half_lease = config.outbox.lease_ms / 2;
    rules.must(
        config.kafka.message_timeout_ms < half_lease,
        "kafka.message_timeout_ms",
        config.kafka.message_timeout_ms,
        &format!("must be below half of outbox.lease_ms, {half_lease}: or a shard's next owner overtakes its last"),
    );
    one_of(
        rules,
        "kafka.compression",
        &config.kafka.compression,
        &["none", "lz4", "zstd", "gzip"],
    );
    let assignors = ["range", "cooperative-sticky", "roundrobin", "broker"];
    one_of(rules, "kafka.assignor", &config.kafka.assignor, &assignors);
    if brokers.is_empty() {
        return;
    }
    if let Some(wrong) = log_settings(&config.kafka).wrong_property() {
        match config.kafka.client.get(&wrong.name) {
            Some(value) => {
                let setting = format!("kafka.client.{:?}", wrong.name);
                rules.must(false, &setting, masked_text(&wrong.name, value), &wrong.why);
            }
            // Made from another setting, under librdkafka's name for it.
            None => rules.0.push(Wrong {
                setting: "kafka".to_owned(),
                value: String::new(),
                right: format!("{} {}", wrong.name, wrong.why),
            }),
        }
    }
}

fn one_of(rules: &mut Rules, setting: &str, value: &str, known: &[&str]) {
    let right = format!("must be one of {}", known.join(", "));
    rules.must(known.contains(&value), setting, value, &right);
}

fn topics(config: &Config, rules: &mut Rules) {
    let topics = config.topics.all();
    for (section, topic) in topics {
        let setting = |name: &str| format!("topics.{section}.{name}");
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        rules.must(
            (1..=120).contains(&topic.name.len()) && topic.name.chars().all(fits),
            &setting("name"),
            &topic.name,
            "must be 1 to 120 letters, digits, dots, underscores or hyphens",
        );
        rules.positive(&setting("partitions"), topic.partitions);
        rules.positive(&setting("replication"), topic.replication);
        rules.must(
            topic.retention_hours >= 0,
            &setting("retention_hours"),
            topic.retention_hours,
            "must be 0 (for ever) or more",
        );
        let twice = topics.iter().filter(|(_, other)| other.name == topic.name);
        rules.must(
            twice.count() == 1,
            &setting("name"),
            &topic.name,
            "is the name of another topic too",
        );
    }
}

fn groups(config: &Config, rules: &mut Rules) {
    let topic_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    for (section, consumer) in config.consumers.all() {
        let setting = |name: &str| format!("consumers.{section}.{name}");
        let group = &consumer.group;
        rules.must(
            (1..=100).contains(&group.len()) && group.chars().all(topic_name),
            &setting("group"),
            group,
            "must be 1 to 100 letters, digits, dots, underscores or hyphens (dead-letter topics are named after it)",
        );
        rules.must(
            group != RELAY_GROUP,
            &setting("group"),
            group,
            "must be another name: the relay's dead letters go by this one",
        );
        rules.positive(&setting("concurrency"), consumer.concurrency as i128);
        rules.positive(&setting("batch_max"), consumer.batch_max as i128);
        rules.must(
            (1..=10_000).contains(&consumer.fetch_wait_max_ms),
            &setting("fetch_wait_max_ms"),
            consumer.fetch_wait_max_ms,
            "must be from 1 to 10000: for much longer the Kafka client takes the broker for one that is away",
        );
        retries::check(section, consumer, rules);
    }
}

/// The adapter's own settings, so that it can judge them before anything starts.
pub fn log_settings(kafka: &Kafka) -> messaging::kafka::Settings {
    messaging::kafka::Settings {
        brokers: kafka.brokers.clone(),
        client_id: kafka.client_id.clone(),
        client: kafka.client.clone(),
        message_timeout_ms: kafka.message_timeout_ms,
        request_timeout_ms: kafka.request_timeout_ms,
        linger_ms: kafka.linger_ms,
        batch_bytes: kafka.batch_bytes,
        message_max_bytes: kafka.message_max_bytes,
        queue_max: kafka.queue_max,
        queue_max_kib: kafka.queue_max_kib,
        compression: kafka.compression.clone(),
        assignor: kafka.assignor.clone(),
        session_timeout_ms: kafka.session_timeout_ms,
        revoke_drain_ms: kafka.revoke_drain_ms,
        leave_timeout_ms: kafka.leave_timeout_ms,
        fetch_bytes_max: kafka.fetch_bytes_max,
        prefetch_max_kib: kafka.prefetch_max_kib,
        fetch_min_bytes: kafka.fetch_min_bytes,
        metadata_refresh_ms: kafka.metadata_refresh_ms,
        statistics_ms: kafka.statistics_ms,
    }
}
