//! How the messages on the topics write times, keys and numbers, and how leniently they are read.
//! The formats are those of the JVM shop that these topics are shared with. Each feature's events use it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::clock;

/// How times are written in the values of the order topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2026-11-22 14:15:01`, UTC.
    #[default]
    Pattern,
    /// `2026-11-22T14:15:01.123456Z`
    Rfc3339,
}

/// How keys are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyStyle {
    /// `1`
    #[default]
    Decimal,
    /// The JVM shop's own, such as `product-1`.
    Jvm,
}

/// How events of this shop are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    pub times: TimeFormat,
    pub keys: KeyStyle,
}

impl Style {
    #[must_use]
    pub fn time(self, at: Timestamp) -> String {
        match self.times {
            TimeFormat::Pattern => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            TimeFormat::Rfc3339 => at.to_string(),
        }
    }

    /// The key for an id: `prefix` is the JVM shop's word, such as `product`.
    #[must_use]
    pub fn key(self, prefix: &str, id: i64) -> String {
        match self.keys {
            KeyStyle::Decimal => id.to_string(),
            KeyStyle::Jvm => format!("{prefix}-{id}"),
        }
    }
}

/// CouponIssue's own time, in either format: its JVM class has no pattern and refuses the space.
#[must_use]
pub fn local_iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Reads a value of these topics: a JSON object, unknown fields ignored. (serde would take an array of the fields too.)
///
/// # Errors
/// What does not fit, for the dead-letter headers.
pub fn object<'a, T: Deserialize<'a>>(value: Option<&'a [u8]>) -> Result<T, String> {
    let bytes = value.ok_or("the record has no value")?;
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    if first != Some(&b'{') {
        return Err("the value is not a JSON object".to_owned());
    }
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}

/// A time in any form that was seen on the topics: the pattern, RFC 3339, ISO without zone (taken as UTC), or Jackson's array
/// `[2026,11,22,14,15,2,40318414]` (nanoseconds last, trailing zero parts left out).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LenientTime(pub Timestamp);

impl<'de> Deserialize<'de> for LenientTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Parts(Vec<i64>),
        }
        let time = match Form::deserialize(deserializer)? {
            Form::Text(text) => parse_text(&text),
            Form::Parts(parts) => parse_parts(&parts),
        };
        time.map(|t| Self(clock::cut(t)))
            .ok_or_else(|| D::Error::custom("not a time this topic knows"))
    }
}

fn parse_text(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let civil: DateTime = text.parse().ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp())
}

fn parse_parts(parts: &[i64]) -> Option<Timestamp> {
    if !(3..=7).contains(&parts.len()) {
        return None;
    }
    let part = |i: usize| parts.get(i).copied().unwrap_or(0);
    let civil = DateTime::new(
        i16::try_from(part(0)).ok()?,
        i8::try_from(part(1)).ok()?,
        i8::try_from(part(2)).ok()?,
        i8::try_from(part(3)).ok()?,
        i8::try_from(part(4)).ok()?,
        i8::try_from(part(5)).ok()?,
        i32::try_from(part(6)).ok()?,
    )
    .ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp())
}

/// An integer that a JVM producer may write as a decimal (`1000.00`). A fraction that is not zero is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LenientInteger(pub i64);

impl<'de> Deserialize<'de> for LenientInteger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        if let Some(value) = number.as_i64() {
            return Ok(Self(value));
        }
        match number.as_f64() {
            // Below 2^53 a double holds every integer exactly.
            Some(value) if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 => {
                Ok(Self(value as i64))
            }
            _ => Err(D::Error::custom("not an integer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<String> {
        serde_json::from_str::<LenientTime>(json)
            .ok()
            .map(|t| t.0.to_string())
    }

    #[test]
    fn reads_every_form_of_time() {
        let whole = Some("2026-11-22T14:15:02Z".to_owned());
        assert_eq!(read(r#""2026-11-22 14:15:02""#), whole);
        assert_eq!(read(r#""2026-11-22T14:15:02""#), whole);
        assert_eq!(read(r#""2026-11-22T14:15:02Z""#), whole);
        assert_eq!(read(r#""2026-11-22T23:15:02+09:00""#), whole);
        assert_eq!(read("[2026,11,22,14,15,2]"), whole);
        assert_eq!(
            read("[2026,11,22,14,15,2,40318414]"),
            Some("2026-11-22T14:15:02.040318Z".to_owned())
        );
        assert_eq!(
            read("[2026,11,22]"),
            Some("2026-11-22T00:00:00Z".to_owned())
        );
        for bad in ["[2026,13,1]", "[2026]", "\"soon\"", "12", "[]", "null"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_decimals_that_are_integers() {
        let read = |t: &str| serde_json::from_str::<LenientInteger>(t).ok().map(|n| n.0);
        assert_eq!(read("1000"), Some(1000));
        assert_eq!(read("1000.00"), Some(1000));
        assert_eq!(read("-2.0"), Some(-2));
        for bad in ["1000.5", "1e30", "\"1\"", "null"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn writes_what_the_jvm_pattern_reads() {
        let at: Timestamp = "2026-11-22T14:15:01.999999Z".parse().unwrap();
        assert_eq!(Style::default().time(at), "2026-11-22 14:15:01");
        assert_eq!(local_iso(at), "2026-11-22T14:15:01");
        let rfc = Style {
            times: TimeFormat::Rfc3339,
            keys: KeyStyle::Jvm,
        };
        assert_eq!(rfc.time(at), "2026-11-22T14:15:01.999999Z");
        assert_eq!(rfc.key("product", 7), "product-7");
    }
}
