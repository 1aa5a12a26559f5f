//! Which day an instant counts on, in the shop's time zone, and which days a window holds. Pure.
//! A day is the span from its first instant to the next day's, so that the boards and the recount over the orders table
//! cut the time line at the same points whatever the zone's clock changes do.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::model::Window;

/// `start_us..end_us`, microseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start_us: i64,
    pub end_us: i64,
}

/// The shop's calendar and how long its boards are kept.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    retention_days: i32,
}

impl Calendar {
    /// `retention_days`: how many days before today still have boards.
    #[must_use]
    pub fn new(zone: TimeZone, retention_days: i32) -> Self {
        Self {
            zone,
            retention_days,
        }
    }

    /// The day that holds the instant.
    #[must_use]
    pub fn day_of(&self, at: Timestamp) -> Date {
        let date = self.zone.to_datetime(at).date();
        // A clock set back over midnight shows the evening before again, after the new day has begun.
        match next(date) {
            Some(next) if self.start_of(next) <= at => next,
            _ if at < self.start_of(date) => previous(date).unwrap_or(date),
            _ => date,
        }
    }

    fn start_of(&self, day: Date) -> Timestamp {
        self.zone
            .to_ambiguous_timestamp(day.at(0, 0, 0, 0))
            .compatible()
            .unwrap_or(Timestamp::MAX)
    }

    /// From the day's first instant to the next day's.
    #[must_use]
    pub fn span(&self, day: Date) -> Span {
        self.span_of(day, day)
    }

    /// From the first day's first instant to the last one's end.
    #[must_use]
    pub fn span_of(&self, first: Date, last: Date) -> Span {
        let end = next(last).map_or(Timestamp::MAX, |day| self.start_of(day));
        Span {
            start_us: self.start_of(first).as_microsecond(),
            end_us: end.as_microsecond(),
        }
    }

    /// The window's days, oldest first, the last is today.
    #[must_use]
    pub fn window(&self, window: Window, now: Timestamp) -> Vec<Date> {
        self.last_days(window.days(), now)
    }

    /// Every day that may have a board, oldest first, tomorrow the last (another machine's clock may be ahead).
    #[must_use]
    pub fn kept(&self, now: Timestamp) -> Vec<Date> {
        let mut days = self.last_days(self.retention_days.saturating_add(1), now);
        days.extend(next(self.day_of(now)));
        days
    }

    fn last_days(&self, count: i32, now: Timestamp) -> Vec<Date> {
        let today = self.day_of(now);
        (0..count)
            .rev()
            .filter_map(|back| today.checked_sub(back.days()).ok())
            .collect()
    }

    /// Where a day stands to the days that have boards.
    #[must_use]
    pub fn judge(&self, day: Date, now: Timestamp) -> Judged {
        let today = self.day_of(now);
        let oldest = today
            .checked_sub(self.retention_days.days())
            .unwrap_or(Date::MIN);
        if day < oldest {
            Judged::Past
        } else if day > next(today).unwrap_or(today) {
            Judged::Future
        } else {
            Judged::Kept
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Its board has expired: nothing is left to count on.
    Past,
    Kept,
    /// Later than tomorrow: no clock is that far off.
    Future,
}

fn next(day: Date) -> Option<Date> {
    day.tomorrow().ok()
}

fn previous(day: Date) -> Option<Date> {
    day.yesterday().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(zone: &str) -> Calendar {
        Calendar::new(TimeZone::get(zone).unwrap(), 35)
    }

    fn day(zone: &str, at: &str) -> String {
        calendar(zone).day_of(at.parse().unwrap()).to_string()
    }

    #[test]
    fn a_day_begins_at_midnight_of_the_shop() {
        assert_eq!(
            day("Asia/Seoul", "2026-11-22T14:59:59.999999Z"),
            "2026-11-22"
        );
        assert_eq!(day("Asia/Seoul", "2026-11-22T15:00:00Z"), "2026-11-23");
        assert_eq!(day("UTC", "2026-11-22T15:00:00Z"), "2026-11-22");
        assert_eq!(
            day("America/New_York", "2026-01-01T04:59:59Z"),
            "2025-12-31"
        );
        assert_eq!(
            day("Pacific/Kiritimati", "2026-01-01T10:00:00Z"),
            "2026-01-02"
        );
    }

    #[test]
    fn a_clock_set_back_over_midnight_does_not_bring_yesterday_back() {
        // St. John's went from 00:01 back to 23:01 of the evening before.
        let zone = "America/St_Johns";
        assert_eq!(day(zone, "2006-10-29T02:30:30Z"), "2006-10-29");
        assert_eq!(day(zone, "2006-10-29T02:31:30Z"), "2006-10-29");
        assert_eq!(day(zone, "2006-10-29T03:30:00Z"), "2006-10-29");
    }

    #[test]
    fn a_skipped_midnight_starts_the_day_later() {
        // In Sao Paulo 2018-11-04 began at 01:00.
        let calendar = calendar("America/Sao_Paulo");
        let span = calendar.span("2018-11-04".parse().unwrap());
        assert_eq!(span.end_us - span.start_us, 23 * 3_600_000_000);
        assert_eq!(
            day("America/Sao_Paulo", "2018-11-04T02:59:59Z"),
            "2018-11-03"
        );
        assert_eq!(
            day("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
            "2018-11-04"
        );
    }

    #[test]
    fn windows_end_today() {
        let now = "2026-03-01T15:30:00Z".parse().unwrap();
        let window = |w| {
            let days = calendar("Asia/Seoul").window(w, now);
            (
                days.len(),
                days[0].to_string(),
                days[days.len() - 1].to_string(),
            )
        };
        let today = "2026-03-02".to_owned();
        assert_eq!(window(Window::Today), (1, today.clone(), today.clone()));
        assert_eq!(
            window(Window::ThreeDays),
            (3, "2026-02-28".into(), today.clone())
        );
        assert_eq!(
            window(Window::SevenDays),
            (7, "2026-02-24".into(), today.clone())
        );
        assert_eq!(window(Window::ThirtyDays), (30, "2026-02-01".into(), today));
    }

    #[test]
    fn old_and_far_days_have_no_board() {
        let calendar = calendar("Asia/Seoul");
        let now = "2026-03-01T15:30:00Z".parse().unwrap();
        let judge = |day: &str| calendar.judge(day.parse().unwrap(), now);
        assert_eq!(judge("2026-03-02"), Judged::Kept);
        assert_eq!(judge("2026-03-03"), Judged::Kept);
        assert_eq!(judge("2026-03-04"), Judged::Future);
        assert_eq!(judge("2026-01-26"), Judged::Kept);
        assert_eq!(judge("2026-01-25"), Judged::Past);
        assert_eq!(calendar.kept(now).len(), 37);
        assert!(
            calendar
                .kept(now)
                .iter()
                .all(|d| calendar.judge(*d, now) == Judged::Kept)
        );
    }

    proptest::proptest! {
        #[test]
        fn every_instant_lies_in_its_days_span(second in 0_i64..4_000_000_000, zone in 0_usize..5) {
            let zones = ["Asia/Seoul", "America/St_Johns", "America/Sao_Paulo", "Australia/Lord_Howe", "UTC"];
            let calendar = calendar(zones[zone]);
            let at = Timestamp::from_second(second).unwrap();
            let span = calendar.span(calendar.day_of(at));
            proptest::prop_assert!(span.start_us <= at.as_microsecond());
            proptest::prop_assert!(at.as_microsecond() < span.end_us);
        }
    }
}
