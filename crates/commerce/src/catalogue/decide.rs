//! What may become of a product: the state machine and the guard on its stock, as pure functions.
//! No clock, no store; the SQL adapter calls these with the locked row.

use super::model::{Adjustment, Change, Listing, Product, Status, Stock};
use crate::amount::EXACT_MAX;
use crate::ids::ProductId;

/// Why a command on the catalogue was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no product {0}")]
    NotFound(ProductId),
    #[error("{}", illegal(*.id, *.from, *.to))]
    IllegalStatus {
        id: ProductId,
        from: Status,
        to: Status,
    },
    #[error("product {id} has a stock of {stock}: {asked} cannot be taken away")]
    OutOfStock {
        id: ProductId,
        stock: Stock,
        asked: i64,
    },
    #[error("product {id} has a stock of {stock}: with {added} more it would pass {EXACT_MAX}")]
    StockTooLarge {
        id: ProductId,
        stock: Stock,
        added: i64,
    },
}

fn illegal(id: ProductId, from: Status, to: Status) -> String {
    match to {
        Status::SoldOut => format!(
            "product {id} is {from}: SOLD_OUT is not set but follows from a stock of 0 while ON_SALE"
        ),
        _ => format!("product {id} is {from} and cannot become {to}"),
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SoldOut => "SOLD_OUT",
            Self::OnSale => Listing::OnSale.word(),
            Self::Preparing => Listing::Preparing.word(),
            Self::Stopped => Listing::Stopped.word(),
        })
    }
}

/// The product as changed. A change to what it already is leaves it as it is, `updated_at` included.
///
/// # Errors
/// `Refusal::IllegalStatus`: nothing goes back to PREPARING, and SOLD_OUT is never set by hand.
pub fn change(product: &Product, change: &Change) -> Result<Product, Refusal> {
    let mut changed = product.clone();
    if let Some(to) = change.status {
        changed.listing = listing(product, to)?;
    }
    if let Some(name) = &change.name {
        changed.name = name.clone();
    }
    if let Some(price) = change.price {
        changed.price = price;
    }
    if changed != *product {
        changed.updated_at = change.at;
    }
    Ok(changed)
}

fn listing(product: &Product, to: Status) -> Result<Listing, Refusal> {
    let from = product.status();
    match (from, to) {
        (_, Status::OnSale) => Ok(Listing::OnSale),
        (_, Status::Stopped) => Ok(Listing::Stopped),
        _ if from == to => Ok(product.listing),
        (_, Status::Preparing | Status::SoldOut) => Err(Refusal::IllegalStatus {
            id: product.id,
            from,
            to,
        }),
    }
}

/// The product with its stock moved by `delta`.
///
/// # Errors
/// `Refusal::OutOfStock` below 0, `Refusal::StockTooLarge` past 2^53 - 1.
pub fn adjust(product: &Product, adjustment: &Adjustment) -> Result<Product, Refusal> {
    let (id, stock, delta) = (product.id, product.stock, adjustment.delta);
    let moved = stock.saturating_add(delta);
    if moved < 0 {
        return Err(Refusal::OutOfStock {
            id,
            stock,
            asked: delta.saturating_neg(),
        });
    }
    if moved > EXACT_MAX {
        return Err(Refusal::StockTooLarge {
            id,
            stock,
            added: delta,
        });
    }
    Ok(Product {
        stock: moved,
        updated_at: adjustment.at,
        ..product.clone()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::amount::{Name, Won};
    use crate::clock::from_us;

    fn product(listing: Listing, stock: Stock) -> Product {
        Product {
            id: ProductId::try_from(7).unwrap(),
            name: Name::try_from("tea".to_owned()).unwrap(),
            price: Won::try_from(1_000).unwrap(),
            stock,
            listing,
            created_at: from_us(1),
            updated_at: from_us(2),
        }
    }

    fn to(status: Status) -> Change {
        Change {
            id: ProductId::try_from(7).unwrap(),
            name: None,
            price: None,
            status: Some(status),
            at: from_us(9),
        }
    }

    #[test]
    fn the_state_machine() {
        use Status::{OnSale, Preparing, SoldOut, Stopped};
        // From (listing, stock): what each target leads to.
        let table = [
            (Listing::Preparing, 5, Preparing, Some(Preparing)),
            (Listing::Preparing, 5, OnSale, Some(OnSale)),
            (Listing::Preparing, 0, OnSale, Some(SoldOut)),
            (Listing::Preparing, 5, Stopped, Some(Stopped)),
            (Listing::Preparing, 0, SoldOut, None),
            (Listing::OnSale, 5, Preparing, None),
            (Listing::OnSale, 5, OnSale, Some(OnSale)),
            (Listing::OnSale, 5, Stopped, Some(Stopped)),
            (Listing::OnSale, 5, SoldOut, None),
            (Listing::OnSale, 0, SoldOut, Some(SoldOut)),
            (Listing::OnSale, 0, Preparing, None),
            (Listing::OnSale, 0, Stopped, Some(Stopped)),
            (Listing::Stopped, 5, Preparing, None),
            (Listing::Stopped, 5, OnSale, Some(OnSale)),
            (Listing::Stopped, 0, OnSale, Some(SoldOut)),
            (Listing::Stopped, 5, Stopped, Some(Stopped)),
            (Listing::Stopped, 0, SoldOut, None),
        ];
        for (listing, stock, target, expected) in table {
            let before = product(listing, stock);
            let after = change(&before, &to(target)).ok().map(|p| p.status());
            assert_eq!(after, expected, "{listing:?} with {stock} to {target}");
        }
    }

    #[test]
    fn a_change_to_the_same_changes_nothing() {
        let before = product(Listing::OnSale, 5);
        assert_eq!(change(&before, &to(Status::OnSale)).unwrap(), before);
        let mut priced = to(Status::OnSale);
        priced.price = Won::try_from(2_000).ok();
        let after = change(&before, &priced).unwrap();
        assert_eq!((after.price.get(), after.updated_at), (2_000, from_us(9)));
    }

    proptest! {
        #[test]
        fn stock_moves_by_delta_or_not_at_all(stock in 0..=EXACT_MAX, delta in -EXACT_MAX..=EXACT_MAX) {
            let before = product(Listing::OnSale, stock);
            let by = Adjustment { id: before.id, entry_id: 1, delta, at: from_us(9) };
            match adjust(&before, &by) {
                Ok(after) => {
                    prop_assert_eq!(after.stock, stock + delta);
                    prop_assert!((0..=EXACT_MAX).contains(&after.stock));
                    let sold_out = after.stock == 0;
                    prop_assert_eq!(after.status() == Status::SoldOut, sold_out);
                }
                Err(Refusal::OutOfStock { .. }) => prop_assert!(stock + delta < 0),
                Err(Refusal::StockTooLarge { .. }) => prop_assert!(stock + delta > EXACT_MAX),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
