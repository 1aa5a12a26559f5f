//! Several measurements of one thing: the median is the figure, the least and the most say how much it can be trusted.
//! Pure.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of nothing it is nothing. Of an even number the median lies between the middle two.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (values.first(), values.last()) else {
            return Spread::default();
        };
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Spread {
            median,
            min: *min,
            max: *max,
        }
    }

    /// `12.3 (11.0..14.0)`
    pub fn text(&self) -> String {
        if self.min.total_cmp(&self.max).is_eq() {
            number(self.median)
        } else {
            format!(
                "{} ({}..{})",
                number(self.median),
                number(self.min),
                number(self.max)
            )
        }
    }
}

/// Three figures or more, never a false precision.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.1 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        let spread = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!((spread.median, spread.min, spread.max), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of([1.0, 2.0]).median, 1.5);
        assert_eq!(Spread::of([]), Spread::default());
    }

    #[test]
    fn numbers_have_no_false_precision() {
        for (value, text) in [
            (0.0, "0"),
            (1234.5, "1234"),
            (12.34, "12.3"),
            (0.123, "0.12"),
            (0.01234, "0.0123"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(Spread::of([1.0, 3.0]).text(), "2.00 (1.00..3.00)");
        assert_eq!(Spread::of([1.0]).text(), "1.00");
    }
}
