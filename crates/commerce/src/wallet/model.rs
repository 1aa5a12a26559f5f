//! A wallet's ledger entry, a top-up, and the one decision there is about it.
//! Payments are decided with their order. Built by the stores and the routes.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::amount::Won;
use crate::ids::{EntryId, OrderId, UserId};
use crate::json::bounded;

/// A top-up: 1 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = i64, minimum = 1, maximum = 1_000_000, example = 50_000)]
pub struct ChargeAmount(Won);

bounded!(ChargeAmount);

impl ChargeAmount {
    pub const MAX: i64 = 1_000_000;

    #[must_use]
    pub fn won(self) -> Won {
        self.0
    }
}

impl TryFrom<i64> for ChargeAmount {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, String> {
        match Won::try_from(value) {
            Ok(won) if (1..=Self::MAX).contains(&value) => Ok(Self(won)),
            _ => Err(format!("must be an integer from 1 to {}", Self::MAX)),
        }
    }
}

/// Why a balance changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = LedgerKind)]
pub enum EntryKind {
    /// A top-up.
    Charge,
    /// An order was paid.
    Payment,
    /// A cancelled order's money came back.
    Refund,
}

impl EntryKind {
    /// The word it is stored as.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Charge => "CHARGE",
            Self::Payment => "PAYMENT",
            Self::Refund => "REFUND",
        }
    }

    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Charge, Self::Payment, Self::Refund]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// One change of a balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LedgerEntry)]
pub struct Entry {
    pub id: EntryId,
    pub kind: EntryKind,
    /// Negative where money went out.
    pub amount: i64,
    pub balance_after: Won,
    pub order_id: Option<OrderId>,
    pub created_at: Timestamp,
}

/// A top-up to be carried out; its entry's number was taken before the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub user: UserId,
    pub amount: ChargeAmount,
    pub entry_id: i64,
    pub at: Timestamp,
}

impl Charge {
    /// What the balance becomes.
    ///
    /// # Errors
    /// Past 2^53 - 1, which no client reads exactly any more.
    pub fn decide(&self, balance: Won) -> Result<Won, Refusal> {
        balance
            .checked_add(self.amount.won())
            .ok_or(Refusal::BalanceLimit { balance })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Charged {
    pub user_id: UserId,
    pub charge_amount: Won,
    pub balance_after_charge: Won,
}

/// Why a top-up was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    BalanceLimit { balance: Won },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::EXACT_MAX;

    fn charge(amount: i64) -> Charge {
        Charge {
            user: UserId::try_from(1).unwrap(),
            amount: ChargeAmount::try_from(amount).unwrap(),
            entry_id: 1,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_top_up_is_1_to_a_million() {
        for good in [1, 1_000_000] {
            assert!(ChargeAmount::try_from(good).is_ok(), "{good}");
        }
        for bad in [0, -1, 1_000_001, i64::MIN, i64::MAX] {
            assert!(ChargeAmount::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_balance_stays_exact() {
        let full = Won::try_from(EXACT_MAX - 10).unwrap();
        assert_eq!(charge(10).decide(full).map(Won::get), Ok(EXACT_MAX));
        assert_eq!(
            charge(11).decide(full),
            Err(Refusal::BalanceLimit { balance: full })
        );
    }
}
