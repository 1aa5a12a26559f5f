//! Amounts that cannot be wrong: money in the currency's minor unit, and quantities of an order line.
//! Parsed at the edge; inside the shop nothing is checked twice. Used by every feature.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::json::bounded;

/// The largest integer that JavaScript reads exactly, 2^53 - 1.
pub const EXACT_MAX: i64 = (1 << 53) - 1;

/// An amount of money, 0 to 2^53 - 1, in the currency's minor unit (KRW has none: 12000 is 12,000 won).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema,
)]
#[schema(value_type = i64, minimum = 0, maximum = 9007199254740991_i64, example = 12000)]
pub struct Won(i64);

bounded!(Won);

impl Won {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// `None` past 2^53 - 1.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::try_from(self.0 + other.0).ok()
    }

    /// `None` below 0.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Self::try_from(self.0 - other.0).ok()
    }

    /// `None` past 2^53 - 1.
    #[must_use]
    pub fn times(self, quantity: i64) -> Option<Self> {
        self.0
            .checked_mul(quantity)
            .and_then(|v| Self::try_from(v).ok())
    }
}

impl TryFrom<i64> for Won {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, String> {
        if (0..=EXACT_MAX).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("must be an integer from 0 to {EXACT_MAX}"))
        }
    }
}

impl std::fmt::Display for Won {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How many of a product one order line asks for: 1 to 1,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[schema(value_type = i64, minimum = 1, maximum = 1000, example = 2)]
pub struct Quantity(i64);

bounded!(Quantity);

impl Quantity {
    pub const MAX: i64 = 1_000;

    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Quantity {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, String> {
        if (1..=Self::MAX).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("must be an integer from 1 to {}", Self::MAX))
        }
    }
}

/// A name that people read: 1 to 200 characters, no control characters, not only blanks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, min_length = 1, max_length = 200, example = "Hand-dripped coffee 10 bags")]
pub struct Name(String);

impl Name {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(value: String) -> Result<Self, String> {
        if value.trim().is_empty() {
            return Err("must not be empty".into());
        }
        if value.chars().count() > 200 {
            return Err("must have at most 200 characters".into());
        }
        if value.chars().any(char::is_control) {
            return Err("must not hold control characters".into());
        }
        Ok(Self(value))
    }
}
