//! Fills the catalogue with numbered products, as often as one likes.
//! Not a migration: it goes through the same rows and ledger as an operator's commands.
//! Called by the command of that name and by `serve --demo`.

use std::collections::HashSet;

use commerce::catalogue::{Listing, Product};
use commerce::clock::from_us;
use commerce::ids::{Allocator, ProductId, Series};

use super::super::{Database, Dialect, Error, Transaction, ids, within};
use super::{Entry, find, insert_entries, insert_products};

/// What `seed` fills the catalogue with: products 1 to `count`, all on sale.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    pub count: i64,
    pub stock: i64,
    /// Of every product, in the currency's minor unit.
    pub price: i64,
    /// Microseconds since the epoch.
    pub at_us: i64,
}

/// Products of a seeding transaction.
const SEED_CHUNK: i64 = 1_024;

/// Puts products 1 to `count` into the catalogue and leaves those that are there as they are; says how many are new.
///
/// # Errors
/// `Error::Setting` for an amount that no product can have; those of the transactions.
pub async fn seed_products(db: &Database, numbers: &Allocator, seed: Seed) -> Result<u64, Error> {
    // First, so that nobody is given one of these ids meanwhile.
    ids::raise_floor(db, Series::Product, seed.count).await?;
    let mut written = 0;
    let mut first = 1;
    while first <= seed.count {
        let last = seed.count.min(first + SEED_CHUNK - 1);
        let products: Vec<Product> = (first..=last)
            .map(|id| seeded(id, seed))
            .collect::<Result<_, _>>()?;
        let entry_ids = numbers
            .take(Series::StockEntry, products.len())
            .await
            .map_err(|e| Error::Unavailable(e.to_string()))?;
        let (products, entry_ids) = (&products[..], &entry_ids[..]);
        let dialect = db.dialect();
        written += within(db, "sql.seed-products", |tx, _| {
            Box::pin(async move { seed_chunk(tx, dialect, products, entry_ids).await })
        })
        .await?;
        first = last + 1;
    }
    Ok(written)
}

fn seeded(id: i64, seed: Seed) -> Result<Product, Error> {
    if seed.stock < 0 {
        return Err(Error::Setting("stock must not be negative".into()));
    }
    let setting = |what: &str, e: String| Error::Setting(format!("{what} {e}"));
    let at = from_us(seed.at_us);
    Ok(Product {
        id: id.try_into().map_err(|e| setting("product id", e))?,
        name: format!("Product {id}")
            .try_into()
            .map_err(|e| setting("product name", e))?,
        price: seed.price.try_into().map_err(|e| setting("price", e))?,
        stock: seed.stock,
        listing: Listing::OnSale,
        created_at: at,
        updated_at: at,
    })
}

async fn seed_chunk(
    tx: &Transaction,
    dialect: Dialect,
    products: &[Product],
    entry_ids: &[i64],
) -> Result<u64, Error> {
    let ids: Vec<ProductId> = products.iter().map(|p| p.id).collect();
    let there: HashSet<ProductId> = find(tx, dialect, &ids)
        .await?
        .into_iter()
        .map(|p| p.id)
        .collect();
    let missing: Vec<Product> = products
        .iter()
        .filter(|p| !there.contains(&p.id))
        .cloned()
        .collect();
    // Another seed may be at it in the same moment: the loser reads again.
    insert_products(tx, dialect, &missing)
        .await
        .map_err(|e| match e {
            Error::Duplicate(key) => Error::Conflict(key),
            other => other,
        })?;
    let entries: Vec<Entry> = missing
        .iter()
        .zip(entry_ids)
        .filter(|(product, _)| product.stock > 0)
        .map(|(product, entry_id)| Entry {
            id: *entry_id,
            product_id: product.id,
            kind: "SEED",
            delta: product.stock,
            at_us: product.created_at.as_microsecond(),
        })
        .collect();
    insert_entries(tx, dialect, &entries).await?;
    Ok(missing.len() as u64)
}
