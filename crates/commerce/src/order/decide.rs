//! Which orders of a batch are placed and which are refused, and why: pure, in order of arrival, each seeing what those
//! before it left. It reads no clock and no database; the order store calls it between its reads and its writes.
//!
//! An order is judged by its products first, then its total, its coupon, and what the wallet holds.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::model::{Order, OrderLine, Payment, Pending, PlaceOrder, Status, Turn};
use crate::amount::{Name, Won};
use crate::catalogue::Listing;
use crate::ids::{ProductId, UserCouponId, UserId};

/// What the batch's rows held, under lock. What is missing does not exist.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The database's clock, by which coupons expire.
    pub now: Timestamp,
    pub products: HashMap<ProductId, Stocked>,
    pub wallets: HashMap<UserId, Won>,
    pub coupons: HashMap<UserCouponId, HeldCoupon>,
}

#[derive(Clone, Debug)]
pub struct Stocked {
    pub name: Name,
    pub price: Won,
    pub stock: i64,
    pub listing: Listing,
}

#[derive(Clone, Debug)]
pub struct HeldCoupon {
    pub owner: UserId,
    /// Neither used nor reserved.
    pub available: bool,
    pub discount: Won,
    pub min_order_amount: Won,
    pub expires_at: Timestamp,
}

/// An accepted order and what it changes besides its own rows. Stock falls by its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    pub turn: Turn,
    pub payment: Option<Payment>,
}

/// Why an order was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    ProductNotFound {
        product: ProductId,
    },
    ProductNotOnSale {
        product: ProductId,
        name: Name,
        listing: Listing,
    },
    OutOfStock {
        product: ProductId,
        name: Name,
        asked: i64,
        left: i64,
    },
    /// Past 2^53 - 1.
    TotalTooLarge,
    /// Nobody's, or somebody else's.
    CouponNotFound {
        coupon: UserCouponId,
    },
    CouponAlreadyUsed {
        coupon: UserCouponId,
    },
    CouponExpired {
        coupon: UserCouponId,
        expired_at: Timestamp,
    },
    CouponMinimumNotReached {
        total: Won,
        minimum: Won,
    },
    CouponExceedsTotal {
        total: Won,
        discount: Won,
    },
    InsufficientBalance {
        balance: Won,
        due: Won,
    },
}

pub type Decision = Result<Placement, Refusal>;

/// One decision an order, in their order.
#[must_use]
pub fn decide(snapshot: &Snapshot, orders: &[&Pending]) -> Vec<Decision> {
    let mut shelf = Shelf {
        snapshot,
        sold: HashMap::new(),
        paid: HashMap::new(),
        used: HashSet::new(),
    };
    orders.iter().map(|order| shelf.take(order)).collect()
}

/// The snapshot less what the orders before have taken.
struct Shelf<'a> {
    snapshot: &'a Snapshot,
    sold: HashMap<ProductId, i64>,
    paid: HashMap<UserId, Won>,
    used: HashSet<UserCouponId>,
}

impl Shelf<'_> {
    fn take(&mut self, pending: &Pending) -> Decision {
        let place = &pending.place;
        let asked = self.check_products(place)?;
        let (order_items, total) = self.price(pending)?;
        let discount = match place.coupon {
            Some(coupon) => self.discount(place.user, coupon, total)?,
            None => Won::ZERO,
        };
        let due = total
            .checked_sub(discount)
            .ok_or(Refusal::CouponExceedsTotal { total, discount })?;
        let balance = self.balance(place.user);
        let balance_after = balance
            .checked_sub(due)
            .ok_or(Refusal::InsufficientBalance { balance, due })?;

        for (product, quantity) in asked {
            *self.sold.entry(product).or_default() += quantity;
        }
        self.used.extend(place.coupon);
        self.paid.insert(place.user, balance_after);
        let order = Order {
            id: pending.numbers.order,
            user_id: place.user,
            user_coupon_id: place.coupon,
            total_amount: total,
            discount_amount: discount,
            discounted_amount: due,
            status: Status::Completed,
            order_items,
            created_at: place.at,
        };
        Ok(Placement {
            turn: Turn {
                order,
                at: place.at,
                numbers: pending.numbers.events.clone(),
                traceparent: place.traceparent.clone(),
            },
            payment: (due > Won::ZERO).then_some(Payment {
                entry_id: pending.numbers.payment,
                amount: due,
                balance_after,
            }),
        })
    }

    /// What is asked of each product, if every one is there, for sale and in stock.
    fn check_products(&self, place: &PlaceOrder) -> Result<Vec<(ProductId, i64)>, Refusal> {
        let mut asked: Vec<(ProductId, i64)> = Vec::with_capacity(place.lines.as_slice().len());
        for line in place.lines.as_slice() {
            match asked.iter_mut().find(|(p, _)| *p == line.product_id) {
                Some((_, sum)) => *sum += line.quantity.get(),
                None => asked.push((line.product_id, line.quantity.get())),
            }
        }
        for &(product, quantity) in &asked {
            let stocked = self.product(product)?;
            if stocked.listing != Listing::OnSale {
                return Err(Refusal::ProductNotOnSale {
                    product,
                    name: stocked.name.clone(),
                    listing: stocked.listing,
                });
            }
            let left = stocked.stock - self.sold.get(&product).copied().unwrap_or(0);
            if left < quantity {
                return Err(Refusal::OutOfStock {
                    product,
                    name: stocked.name.clone(),
                    asked: quantity,
                    left,
                });
            }
        }
        Ok(asked)
    }

    fn product(&self, product: ProductId) -> Result<&Stocked, Refusal> {
        self.snapshot
            .products
            .get(&product)
            .ok_or(Refusal::ProductNotFound { product })
    }

    fn price(&self, pending: &Pending) -> Result<(Vec<OrderLine>, Won), Refusal> {
        let lines = pending.place.lines.as_slice();
        let mut total = Won::ZERO;
        let mut priced = Vec::with_capacity(lines.len());
        for (line, id) in lines.iter().zip(&pending.numbers.lines) {
            let stocked = self.product(line.product_id)?;
            let total_price = stocked.price.times(line.quantity.get());
            let total_price = total_price.ok_or(Refusal::TotalTooLarge)?;
            total = total
                .checked_add(total_price)
                .ok_or(Refusal::TotalTooLarge)?;
            priced.push(OrderLine {
                id: *id,
                product_id: line.product_id,
                product_name: stocked.name.clone(),
                quantity: line.quantity,
                unit_price: stocked.price,
                total_price,
            });
        }
        Ok((priced, total))
    }

    fn discount(&self, user: UserId, coupon: UserCouponId, total: Won) -> Result<Won, Refusal> {
        let held = self.snapshot.coupons.get(&coupon);
        let held = held
            .filter(|held| held.owner == user)
            .ok_or(Refusal::CouponNotFound { coupon })?;
        if !held.available || self.used.contains(&coupon) {
            return Err(Refusal::CouponAlreadyUsed { coupon });
        }
        if held.expires_at <= self.snapshot.now {
            return Err(Refusal::CouponExpired {
                coupon,
                expired_at: held.expires_at,
            });
        }
        if total < held.min_order_amount {
            return Err(Refusal::CouponMinimumNotReached {
                total,
                minimum: held.min_order_amount,
            });
        }
        Ok(held.discount)
    }

    fn balance(&self, user: UserId) -> Won {
        let before = || self.snapshot.wallets.get(&user).copied();
        self.paid
            .get(&user)
            .copied()
            .or_else(before)
            .unwrap_or_default()
    }
}
