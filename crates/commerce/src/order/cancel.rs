//! Taking an order back: pure. Stock, money and coupon return, each with a row that says so.
//! The order store calls it between its reads and its writes.

use jiff::Timestamp;

use super::model::{EventNumbers, Order, Payment, Status, Turn};
use crate::amount::Won;
use crate::ids::{OrderId, ProductId, UserId};

/// A cancel as it is asked for, with numbers taken before the transaction.
#[derive(Clone, Debug)]
pub struct CancelOrder {
    pub order: OrderId,
    /// Whose order it has to be; `None` for an operator, who may cancel any.
    pub owner: Option<UserId>,
    pub at: Timestamp,
    pub traceparent: Option<String>,
    /// Of the wallet's ledger entry.
    pub refund: i64,
    /// Of the stock ledger's entries: one a product.
    pub restocks: Vec<i64>,
    pub events: EventNumbers,
}

/// An accepted cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// With the order as it is now.
    pub turn: Turn,
    pub refund: Option<Payment>,
    pub restocks: Vec<Restock>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restock {
    pub entry_id: i64,
    pub product: ProductId,
    pub quantity: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody's, or somebody else's.
    NotFound {
        order: OrderId,
    },
    AlreadyCancelled {
        order: OrderId,
    },
    /// The wallet has no room for the money.
    BalanceLimit {
        balance: Won,
    },
}

impl CancelOrder {
    /// `order` as it is under lock, `balance` of its owner's wallet.
    ///
    /// # Errors
    /// The refusal.
    pub fn decide(&self, order: Option<&Order>, balance: Won) -> Result<Cancellation, Refusal> {
        let not_found = Refusal::NotFound { order: self.order };
        let order = order
            .filter(|o| self.owner.is_none_or(|owner| owner == o.user_id))
            .ok_or(not_found)?;
        if order.status == Status::Cancelled {
            return Err(Refusal::AlreadyCancelled { order: order.id });
        }
        let shares = order.shares();
        // The order did not exist yet when its numbers were taken.
        if self.restocks.len() < shares.len() || self.events.ranking.len() < shares.len() {
            return Err(not_found);
        }
        let amount = order.discounted_amount;
        let balance_after = balance
            .checked_add(amount)
            .ok_or(Refusal::BalanceLimit { balance })?;
        let restocks = self.restocks.iter().zip(&shares);
        Ok(Cancellation {
            turn: Turn {
                order: Order {
                    status: Status::Cancelled,
                    ..order.clone()
                },
                at: self.at,
                numbers: self.events.clone(),
                traceparent: self.traceparent.clone(),
            },
            refund: (amount > Won::ZERO).then_some(Payment {
                entry_id: self.refund,
                amount,
                balance_after,
            }),
            restocks: restocks
                .map(|(entry_id, share)| Restock {
                    entry_id: *entry_id,
                    product: share.product_id,
                    quantity: share.quantity,
                })
                .collect(),
        })
    }
}
