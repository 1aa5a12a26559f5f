//! A product as the shop knows it and as clients see it, and the commands that change it.
//! No decision is taken here (see `decide`); the stores build these and the routes show them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::amount::{Name, Won};
use crate::ids::ProductId;

/// What the operator has decided about a product: what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listing {
    /// Not yet for sale.
    Preparing,
    /// For sale, as long as there is stock.
    OnSale,
    /// Taken off sale.
    Stopped,
}

impl Listing {
    /// The word it is stored as.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Preparing => "PREPARING",
            Self::OnSale => "ON_SALE",
            Self::Stopped => "STOPPED",
        }
    }

    /// `None` for a word that is never stored.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Preparing, Self::OnSale, Self::Stopped]
            .into_iter()
            .find(|listing| listing.word() == word)
    }
}

/// What clients see. SOLD_OUT is ON_SALE with no stock left: nobody sets it, and it ends when stock comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = ProductStatus)]
pub enum Status {
    Preparing,
    OnSale,
    Stopped,
    SoldOut,
}

/// Whole number of pieces on hand, 0 to 2^53 - 1.
pub type Stock = i64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    pub id: ProductId,
    pub name: Name,
    pub price: Won,
    pub stock: Stock,
    pub listing: Listing,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Product {
    #[must_use]
    pub fn status(&self) -> Status {
        match self.listing {
            Listing::Preparing => Status::Preparing,
            Listing::Stopped => Status::Stopped,
            Listing::OnSale if self.stock == 0 => Status::SoldOut,
            Listing::OnSale => Status::OnSale,
        }
    }

    #[must_use]
    pub fn view(&self) -> ProductView {
        ProductView {
            id: self.id,
            name: self.name.clone(),
            current_price: self.price,
            stock: self.stock,
            status: self.status(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// A product in answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Product)]
pub struct ProductView {
    pub id: ProductId,
    pub name: Name,
    pub current_price: Won,
    /// Pieces on hand; may be a second old.
    #[schema(minimum = 0)]
    pub stock: Stock,
    pub status: Status,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A product to be put into the catalogue; its numbers were taken before the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProduct {
    pub id: ProductId,
    /// Of the stock ledger's row for the initial stock; unused where that is 0.
    pub entry_id: i64,
    pub name: Name,
    pub price: Won,
    pub stock: Stock,
    pub listing: Listing,
    pub at: Timestamp,
}

/// What a product is to become; `None` leaves a field as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub id: ProductId,
    pub name: Option<Name>,
    pub price: Option<Won>,
    pub status: Option<Status>,
    pub at: Timestamp,
}

/// Pieces that came (positive) or went (negative) other than by orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjustment {
    pub id: ProductId,
    /// Of the stock ledger's row.
    pub entry_id: i64,
    pub delta: i64,
    pub at: Timestamp,
}
