//! The four consumers by name, and their settings.
//! Their handlers belong to the features; the role `consumers` runs them.

use messaging::backoff::Backoff;
use messaging::consumer::{Retry, Settings};
use messaging::log::Reset;

use crate::config::{Config, Consumer, OffsetReset, RetryMode};
use crate::telemetry;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Analytics,
    Ranking,
    CouponIssue,
    DataPlatform,
}

impl Name {
    pub const ALL: [Self; 4] = [
        Self::Analytics,
        Self::Ranking,
        Self::CouponIssue,
        Self::DataPlatform,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Analytics => "analytics",
            Self::Ranking => "ranking",
            Self::CouponIssue => "coupon-issue",
            Self::DataPlatform => "data-platform",
        }
    }

    /// By its name; an underscore does for a hyphen.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.replace('_', "-");
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }
}

pub fn settings(config: &Config, name: Name) -> Settings {
    let all = &config.consumers;
    let topics = &config.topics;
    let (topic, own) = match name {
        Name::Analytics => (&topics.order_completed, &all.analytics),
        Name::Ranking => (&topics.product_ranking, &all.ranking),
        Name::CouponIssue => (&topics.coupon_issue, &all.coupon_issue),
        Name::DataPlatform => (&topics.data_platform_transfer, &all.data_platform),
    };
    let traced = config.telemetry.has_collector();
    Settings {
        name: name.as_str().to_owned(),
        group: own.group.clone(),
        topics: vec![topic.name.clone()],
        concurrency: own.concurrency,
        batch_max: own.batch_max,
        reset: match all.offset_reset {
            OffsetReset::Earliest => Reset::Earliest,
            OffsetReset::Latest => Reset::Latest,
        },
        retry: retry(own),
        backoff: Backoff {
            initial_ms: all.backoff_initial_ms,
            max_ms: all.backoff_max_ms,
            ..Backoff::default()
        },
        drain_ms: all.drain_ms,
        commit_interval_ms: all.commit_interval_ms,
        batch_interval_ms: own.batch_interval_ms,
        fetch_wait_max_ms: own.fetch_wait_max_ms,
        join_trace: traced.then_some(telemetry::join_trace),
        ..Settings::default()
    }
}

fn retry(own: &Consumer) -> Retry {
    match own.retry {
        RetryMode::InPlace => Retry::InPlace {
            attempts_max: (own.attempts_max > 0).then_some(own.attempts_max),
            backoff: own.retry_backoff(),
        },
        RetryMode::Topics => Retry::Topics {
            delays_ms: own.retry_delays_ms(),
        },
    }
}
