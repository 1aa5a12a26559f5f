//! An order, its lines, and the command that places one. What is decided about it is in `decide` and `cancel`.
//! Built at the edge and by the stores.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::amount::{Name, Quantity, Won};
use crate::answer::Claim;
use crate::ids::{LineId, OrderId, ProductId, UserCouponId, UserId};
use crate::json::Object;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = OrderStatus)]
pub enum Status {
    Completed,
    Cancelled,
}

impl Status {
    /// The word it is stored and told as.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Completed => "COMPLETED",
            Self::Cancelled => "CANCELLED",
        }
    }

    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Completed, Self::Cancelled]
            .into_iter()
            .find(|status| status.word() == word)
    }
}

/// An order as it is kept and answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub id: OrderId,
    pub user_id: UserId,
    pub user_coupon_id: Option<UserCouponId>,
    pub total_amount: Won,
    pub discount_amount: Won,
    /// What was paid: the total less the discount.
    pub discounted_amount: Won,
    pub status: Status,
    pub order_items: Vec<OrderLine>,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderLine {
    pub id: LineId,
    pub product_id: ProductId,
    pub product_name: Name,
    pub quantity: Quantity,
    pub unit_price: Won,
    pub total_price: Won,
}

/// The lines of one product of an order, taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductShare {
    pub product_id: ProductId,
    pub product_name: Name,
    pub quantity: i64,
    pub amount: i64,
}

impl Order {
    /// One share a product, in the order of their first lines.
    #[must_use]
    pub fn shares(&self) -> Vec<ProductShare> {
        let mut shares: Vec<ProductShare> = Vec::with_capacity(self.order_items.len());
        for line in &self.order_items {
            let (quantity, amount) = (line.quantity.get(), line.total_price.get());
            match shares.iter_mut().find(|s| s.product_id == line.product_id) {
                Some(share) => {
                    share.quantity += quantity;
                    share.amount += amount;
                }
                None => shares.push(ProductShare {
                    product_id: line.product_id,
                    product_name: line.product_name.clone(),
                    quantity,
                    amount,
                }),
            }
        }
        shares
    }
}

/// A line as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OrderItemRequest)]
pub struct Line {
    pub product_id: ProductId,
    pub quantity: Quantity,
}

/// 1 to 100 lines. The same product may be in several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Object<Line>>")]
pub struct Lines(Vec<Line>);

impl Lines {
    pub const MAX: usize = 100;

    #[must_use]
    pub fn as_slice(&self) -> &[Line] {
        &self.0
    }

    /// The products asked for, each once, in the order of their first lines.
    #[must_use]
    pub fn products(&self) -> Vec<ProductId> {
        let mut products = Vec::with_capacity(self.0.len());
        for line in &self.0 {
            if !products.contains(&line.product_id) {
                products.push(line.product_id);
            }
        }
        products
    }
}

impl TryFrom<Vec<Object<Line>>> for Lines {
    type Error = String;

    fn try_from(lines: Vec<Object<Line>>) -> Result<Self, String> {
        Self::try_from(lines.into_iter().map(|line| line.0).collect::<Vec<_>>())
    }
}

impl TryFrom<Vec<Line>> for Lines {
    type Error = String;

    fn try_from(lines: Vec<Line>) -> Result<Self, String> {
        if (1..=Self::MAX).contains(&lines.len()) {
            Ok(Self(lines))
        } else {
            Err(format!("must hold 1 to {} items", Self::MAX))
        }
    }
}

/// An order as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceOrder {
    pub user: UserId,
    pub lines: Lines,
    pub coupon: Option<UserCouponId>,
    /// The one instant of its row, its events and its ranking day.
    pub at: Timestamp,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
}

/// Numbers taken before the transaction. A refused order leaves its own unused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    pub order: OrderId,
    /// One a line.
    pub lines: Vec<LineId>,
    /// Of the wallet's ledger entry.
    pub payment: i64,
    pub events: EventNumbers,
}

/// `madang-seq` of the events of one turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNumbers {
    pub completed: i64,
    pub data_platform: i64,
    /// One a product, in the order of `Order::shares`.
    pub ranking: Vec<i64>,
}

/// An order on its way into the store.
#[derive(Clone, Debug)]
pub struct Pending {
    pub place: PlaceOrder,
    pub numbers: Numbers,
    pub claim: Option<Claim>,
}

/// An order that was just placed or just cancelled (its status says which): what events tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub order: Order,
    /// When: the order's own instant, or the cancel's.
    pub at: Timestamp,
    pub numbers: EventNumbers,
    pub traceparent: Option<String>,
}

/// Money in or out of the order's wallet; none where nothing was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    pub entry_id: i64,
    pub amount: Won,
    pub balance_after: Won,
}
