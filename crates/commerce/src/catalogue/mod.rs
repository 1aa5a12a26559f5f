//! The catalogue: what is for sale, at which price, and how much of it is on hand.
//! Not the place where stock is sold: orders do that in their own transaction.

pub mod model;

pub use model::{Adjustment, Change, Listing, NewProduct, Product, ProductView, Status};
