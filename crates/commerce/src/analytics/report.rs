//! The operator's question about sales, checked, and its answer.
//! Pure: which hours are meant, how hours become days, what is refused as absurd. Called by `Sales` and its route.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ports::Span;
use super::sale::{Amounts, hour_of};
use crate::clock::from_us;
use crate::ids::ProductId;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SalesBy)]
pub enum By {
    Hour,
    Day,
    #[default]
    Product,
}

/// Which sales. Hours are counted whole: `from` is taken back to the start of its hour, `to` forward to the end of its.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// RFC 3339; the start of the shop's day when absent.
    pub from: Option<String>,
    /// RFC 3339; now when absent.
    pub to: Option<String>,
    /// `hour`, `day` (of the shop's time zone) or `product`; `product` when absent.
    pub by: Option<By>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub by: By,
    pub span: Span,
}

/// How long a span may be asked about, in days.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub by_hour_max_days: u16,
    pub by_day_max_days: u16,
    pub by_product_max_days: u16,
    /// Products an answer names, best first.
    pub products_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            by_hour_max_days: 31,
            by_day_max_days: 366,
            by_product_max_days: 366,
            products_max: 1_000,
        }
    }
}

impl ReportQuery {
    /// # Errors
    /// The field's name and what is wrong with it.
    pub fn check(
        &self,
        now: Timestamp,
        zone: &TimeZone,
        limits: &Limits,
    ) -> Result<Question, (&'static str, String)> {
        let from = match &self.from {
            Some(text) => instant("from", text)?,
            None => start_of_day(now, zone),
        };
        let to = match &self.to {
            Some(text) => instant("to", text)?,
            None => now,
        };
        if to <= from {
            return Err(("to", format!("must be later than from ({from})")));
        }
        let by = self.by.unwrap_or_default();
        let span = Span {
            from_us: hour_of(from, zone),
            to_us: end_of_hour(to, zone),
        };
        let max_days = match by {
            By::Hour => limits.by_hour_max_days,
            By::Day => limits.by_day_max_days,
            By::Product => limits.by_product_max_days,
        };
        // An hour more for the clock change of a zone that has one.
        if span.to_us - span.from_us > i64::from(max_days) * DAY_US + HOUR_US {
            return Err((
                "from",
                format!("must be at most {max_days} days before to with this by"),
            ));
        }
        Ok(Question { by, span })
    }
}

fn instant(name: &'static str, text: &str) -> Result<Timestamp, (&'static str, String)> {
    // A plus sign that was not encoded arrives as a blank.
    let offset = text.rfind(' ').filter(|place| text[..*place].contains('T'));
    let mut text = text.to_owned();
    if let Some(place) = offset {
        text.replace_range(place..=place, "+");
    }
    let example = "must be an RFC 3339 time such as 2026-11-22T00:00:00Z";
    let time: Timestamp = text.parse().map_err(|_| (name, example.to_owned()))?;
    // Years with four digits, as RFC 3339 has them; microseconds from there fit everywhere.
    let sensible = (-62_135_596_800..253_402_214_400).contains(&time.as_second());
    if sensible {
        Ok(time)
    } else {
        Err((name, example.to_owned()))
    }
}

fn start_of_day(now: Timestamp, zone: &TimeZone) -> Timestamp {
    let today = now.to_zoned(zone.clone());
    today.start_of_day().map_or(now, |start| start.timestamp())
}

fn end_of_hour(to: Timestamp, zone: &TimeZone) -> i64 {
    let start = hour_of(to, zone);
    if start == to.as_microsecond() {
        start
    } else {
        start + HOUR_US
    }
}

/// Sales of a span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SalesReport)]
pub struct Report {
    pub by: By,
    /// Start of the first hour that is counted.
    pub from: Timestamp,
    /// End of the last hour that is counted.
    pub to: Timestamp,
    /// Hours and days in their order, products by amount. What sold nothing is left out.
    pub items: Vec<ReportItem>,
    /// Whether there are more products than are named here.
    pub truncated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SalesReportItem)]
pub struct ReportItem {
    /// Start of the hour, with `by=hour`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<Timestamp>,
    /// Day of the shop's time zone, with `by=day`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date, example = "2026-11-22")]
    pub day: Option<Date>,
    /// With `by=product`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
    /// Pieces sold, less those of cancelled orders.
    pub quantity: i64,
    /// Before discounts, in the currency's minor unit.
    pub amount: i64,
    /// Orders, less cancelled ones.
    pub orders: i64,
}

impl ReportItem {
    fn of(amounts: Amounts) -> Self {
        Self {
            hour: None,
            day: None,
            product_id: None,
            quantity: amounts.quantity,
            amount: amounts.amount,
            orders: amounts.orders,
        }
    }
}

#[must_use]
pub fn hours(rows: &[(i64, Amounts)]) -> Vec<ReportItem> {
    rows.iter()
        .map(|(hour_us, amounts)| ReportItem {
            hour: Some(from_us(*hour_us)),
            ..ReportItem::of(*amounts)
        })
        .collect()
}

/// Days of the zone, in order; `None` when a sum passes 64 bits.
#[must_use]
pub fn days(rows: &[(i64, Amounts)], zone: &TimeZone) -> Option<Vec<ReportItem>> {
    let mut days: BTreeMap<Date, Amounts> = BTreeMap::new();
    for (hour_us, amounts) in rows {
        let day = from_us(*hour_us).to_zoned(zone.clone()).date();
        let sum = days.entry(day).or_default();
        *sum = sum.checked_add(*amounts)?;
    }
    let items = days.into_iter().map(|(day, amounts)| ReportItem {
        day: Some(day),
        ..ReportItem::of(amounts)
    });
    Some(items.collect())
}

#[must_use]
pub fn products(rows: &[(ProductId, Amounts)]) -> Vec<ReportItem> {
    rows.iter()
        .map(|(product, amounts)| ReportItem {
            product_id: Some(*product),
            ..ReportItem::of(*amounts)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seoul() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(9))
    }

    fn check(from: &str, to: &str, by: By) -> Result<Question, (&'static str, String)> {
        let query = ReportQuery {
            from: Some(from.to_owned()).filter(|t| !t.is_empty()),
            to: Some(to.to_owned()).filter(|t| !t.is_empty()),
            by: Some(by),
        };
        let now = "2026-11-22T14:15:01Z".parse().unwrap();
        query.check(now, &seoul(), &Limits::default())
    }

    fn span(from: &str, to: &str) -> (String, String) {
        let span = check(from, to, By::Product).unwrap().span;
        (
            from_us(span.from_us).to_string(),
            from_us(span.to_us).to_string(),
        )
    }

    #[test]
    fn spans_are_whole_hours_and_have_defaults() {
        let today = (
            "2026-11-21T15:00:00Z".to_owned(),
            "2026-11-22T15:00:00Z".to_owned(),
        );
        assert_eq!(span("", ""), today);
        assert_eq!(
            span("2026-11-21T15:59:59.9Z", "2026-11-22T14:00:00.000001Z"),
            today
        );
        assert_eq!(
            span("2026-11-22T00:00:00 09:00", "2026-11-23T00:00:00+09:00"),
            today
        );
    }

    #[test]
    fn absurd_spans_are_refused() {
        for (from, to, by, field) in [
            ("yesterday", "", By::Day, "from"),
            ("2026-11-22", "", By::Day, "from"),
            ("", "2026-13-01T00:00:00Z", By::Day, "to"),
            ("", "-009999-01-02T01:59:59Z", By::Day, "to"),
            (
                "2026-11-22T00:00:00Z",
                "2026-11-22T00:00:00Z",
                By::Day,
                "to",
            ),
            (
                "2026-11-22T01:00:00Z",
                "2026-11-22T00:00:00Z",
                By::Hour,
                "to",
            ),
            (
                "2026-10-01T00:00:00Z",
                "2026-11-22T00:00:00Z",
                By::Hour,
                "from",
            ),
            (
                "0001-01-01T00:00:00Z",
                "9999-12-30T00:00:00Z",
                By::Day,
                "from",
            ),
        ] {
            let refused = check(from, to, by).unwrap_err();
            assert_eq!(refused.0, field, "{from} {to}: {}", refused.1);
        }
    }

    #[test]
    fn hours_add_up_to_days_of_the_zone() {
        let amounts = |quantity| Amounts {
            quantity,
            amount: quantity * 10,
            orders: 1,
        };
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_microsecond();
        let rows = [
            (at("2026-11-21T14:00:00Z"), amounts(1)),
            (at("2026-11-21T15:00:00Z"), amounts(2)),
            (at("2026-11-22T14:00:00Z"), amounts(4)),
        ];
        let days = days(&rows, &seoul()).unwrap();
        let seen: Vec<_> = days
            .iter()
            .map(|d| (d.day.unwrap().to_string(), d.quantity, d.orders))
            .collect();
        assert_eq!(
            seen,
            [
                ("2026-11-21".to_owned(), 1, 1),
                ("2026-11-22".to_owned(), 6, 2)
            ]
        );
    }

    #[test]
    fn the_shape_of_an_answer() {
        let item = |product: i64| {
            let amounts = Amounts {
                quantity: 2,
                amount: 24_000,
                orders: 1,
            };
            products(&[(product.try_into().unwrap(), amounts)])
        };
        let hour_us = 1_795_356_000_000_000;
        let mut items = item(7);
        items.extend(hours(&[(hour_us, Amounts::default())]));
        items.extend(days(&[(hour_us, Amounts::default())], &seoul()).unwrap());
        insta::assert_json_snapshot!(Report {
            by: By::Product,
            from: from_us(hour_us),
            to: from_us(hour_us + HOUR_US),
            items,
            truncated: false,
        });
    }
}
