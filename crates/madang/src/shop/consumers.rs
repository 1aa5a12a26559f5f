//! The four consumers by name, and their settings.
//! Their handlers belong to the features; the role `consumers` runs them.

use messaging::backoff::Backoff;
use messaging::consumer::{Retry, Settings};
use messaging::log::Reset;

use crate::config::{Config, OffsetReset};
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
    let (topic, group, concurrency, batch_max) = match name {
        Name::Analytics => {
            let own = &all.analytics;
            (
                &topics.order_completed,
                &own.group,
                own.concurrency,
                own.batch_max,
            )
        }
        Name::Ranking => {
            let own = &all.ranking;
            (
                &topics.product_ranking,
                &own.group,
                own.concurrency,
                own.batch_max,
            )
        }
        Name::CouponIssue => {
            let own = &all.coupon_issue;
            (
                &topics.coupon_issue,
                &own.group,
                own.concurrency,
                own.batch_max,
            )
        }
        Name::DataPlatform => {
            let own = &all.data_platform;
            (
                &topics.data_platform_transfer,
                &own.group,
                own.concurrency,
                own.batch_max,
            )
        }
    };
    Settings {
        name: name.as_str().to_owned(),
        group: group.clone(),
        topics: vec![topic.name.clone()],
        concurrency,
        batch_max,
        reset: match all.offset_reset {
            OffsetReset::Earliest => Reset::Earliest,
            OffsetReset::Latest => Reset::Latest,
        },
        retry: retry(config, name),
        backoff: Backoff {
            initial_ms: all.backoff_initial_ms,
            max_ms: all.backoff_max_ms,
            ..Backoff::default()
        },
        drain_ms: all.drain_ms,
        commit_interval_ms: all.commit_interval_ms,
        batch_interval_ms: all.batch_interval_ms,
        join_trace: telemetry::join_trace,
        ..Settings::default()
    }
}

fn retry(config: &Config, name: Name) -> Retry {
    let all = &config.consumers;
    let own = match name {
        Name::Analytics => &all.analytics,
        Name::Ranking => &all.ranking,
        Name::CouponIssue => &all.coupon_issue,
        Name::DataPlatform => {
            return Retry::Topics {
                delays_ms: all.data_platform.retry_delays_ms.clone(),
            };
        }
    };
    Retry::InPlace {
        attempts_max: (own.attempts_max > 0).then_some(own.attempts_max),
    }
}
