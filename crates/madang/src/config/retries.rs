//! Whether a consumer's way of retrying can be gone: where, how often, with which waits.
//! Pure; `check` calls it.

use super::check::Rules;
use super::{Consumer, RetryMode};

/// Each wait is a topic.
const TOPICS_ATTEMPTS_MAX: u32 = 16;

pub fn check(section: &str, consumer: &Consumer, rules: &mut Rules) {
    let setting = |name: &str| format!("consumers.{section}.{name}");
    let Consumer {
        attempts_max,
        retry_initial_ms,
        retry_factor,
        retry_max_ms,
        ..
    } = *consumer;
    rules.positive(&setting("retry_initial_ms"), retry_initial_ms);
    rules.must(
        retry_max_ms >= retry_initial_ms,
        &setting("retry_max_ms"),
        retry_max_ms,
        &format!(
            "must be at least {}, {retry_initial_ms}",
            setting("retry_initial_ms")
        ),
    );
    rules.must(
        (1.0..=1_000.0).contains(&retry_factor),
        &setting("retry_factor"),
        retry_factor,
        "must be from 1 to 1000",
    );
    if consumer.retry == RetryMode::InPlace {
        return;
    }
    rules.must(
        section != "coupon_issue",
        &setting("retry"),
        "topics",
        "must be \"in-place\": coupons are issued in order",
    );
    if !(1..=TOPICS_ATTEMPTS_MAX).contains(&attempts_max) {
        let right = format!(
            "must be from 1 to {TOPICS_ATTEMPTS_MAX} where {} is \"topics\": each wait is a topic; without an end only \"in-place\" tries",
            setting("retry"),
        );
        rules.must(false, &setting("attempts_max"), attempts_max, &right);
        return;
    }
    let delays = consumer.retry_delays_ms();
    let right = format!(
        "gives the waits {delays:?} ms, which must differ where {} is \"topics\": raise {} or {}, or lower it",
        setting("retry"),
        setting("retry_factor"),
        setting("retry_max_ms"),
    );
    let rises = delays.is_sorted_by(|one, next| one < next);
    rules.must(rises, &setting("attempts_max"), attempts_max, &right);
}
