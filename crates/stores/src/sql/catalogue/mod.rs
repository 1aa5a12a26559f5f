//! The catalogue's products and stock ledger in SQL.
//! Decides nothing: a command loads the product under its lock and asks `commerce::catalogue::decide`.
//! Built by the binary for the catalogue.

mod seed;

use async_trait::async_trait;
use commerce::answer::{Answered, Keyed, StoreError};
use commerce::catalogue::{
    Adjustment, Change, Listing, NewProduct, Product, Refusal, Store, decide,
};
use commerce::clock::from_us;
use commerce::ids::ProductId;
use sea_orm::{ConnectionTrait, QueryResult, Value};

use super::dialect::{chunks, list, padded, rows};
use super::idempotency::keyed;
use super::{Database, Dialect, Error, Transaction};

pub use seed::{Seed, seed_products};

/// Ids or rows a statement.
const CHUNK_MAX: usize = 256;

const COLUMNS: &str = "id, name, price, stock, status, created_us, updated_us";

pub struct SqlCatalogue {
    db: Database,
}

impl SqlCatalogue {
    #[must_use]
    pub fn new(db: Database) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Store for SqlCatalogue {
    async fn products(&self, ids: &[ProductId]) -> Result<Vec<Product>, StoreError> {
        Ok(find(self.db.reader(), self.db.dialect(), ids).await?)
    }

    async fn page(&self, after: Option<i64>, limit: u32) -> Result<Vec<Product>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM products WHERE id > ? ORDER BY id LIMIT ?");
        let values = vec![after.unwrap_or(0).into(), limit.into()];
        let found = self
            .db
            .reader()
            .query_all_raw(self.db.statement(sql, values))
            .await
            .map_err(Error::from)?;
        let products: Result<Vec<_>, Error> = found.iter().map(read).collect();
        Ok(products?)
    }

    async fn create(
        &self,
        command: Keyed<'_, NewProduct, Product, Refusal>,
    ) -> Result<Answered, StoreError> {
        let dialect = self.db.dialect();
        keyed(&self.db, "sql.product-create", command, |tx, new, _| {
            Box::pin(async move { create(tx, dialect, new).await.map(Ok) })
        })
        .await
    }

    async fn change(
        &self,
        command: Keyed<'_, Change, Product, Refusal>,
    ) -> Result<Answered, StoreError> {
        let dialect = self.db.dialect();
        keyed(&self.db, "sql.product-change", command, |tx, change, _| {
            Box::pin(async move { apply_change(tx, dialect, change).await })
        })
        .await
    }

    async fn adjust(
        &self,
        command: Keyed<'_, Adjustment, Product, Refusal>,
    ) -> Result<Answered, StoreError> {
        let dialect = self.db.dialect();
        keyed(
            &self.db,
            "sql.stock-adjust",
            command,
            |tx, adjustment, _| {
                Box::pin(async move { apply_adjustment(tx, dialect, adjustment).await })
            },
        )
        .await
    }
}

async fn find(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    ids: &[ProductId],
) -> Result<Vec<Product>, Error> {
    let mut products = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK_MAX) {
        let asked = padded(chunk);
        let sql = format!(
            "SELECT {COLUMNS} FROM products WHERE id IN ({})",
            list(asked.len())
        );
        let values = asked.iter().map(|id| id.get().into()).collect();
        let found = connection
            .query_all_raw(dialect.statement(sql, values))
            .await?;
        for row in &found {
            products.push(read(row)?);
        }
    }
    Ok(products)
}

/// The product with its row locked; the refusal where there is none.
async fn lock(
    tx: &Transaction,
    dialect: Dialect,
    id: ProductId,
) -> Result<Result<Product, Refusal>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM products WHERE id = ?{}",
        dialect.for_update()
    );
    let row = tx
        .query_one_raw(dialect.statement(sql, vec![id.get().into()]))
        .await?;
    match row {
        Some(row) => Ok(Ok(read(&row)?)),
        None => Ok(Err(Refusal::NotFound(id))),
    }
}

fn read(row: &QueryResult) -> Result<Product, Error> {
    let word: String = row.try_get_by(4)?;
    Ok(Product {
        id: checked(row, 0, "id")?,
        name: row
            .try_get_by::<String, _>(1)?
            .try_into()
            .map_err(|e| Error::Other(format!("products.name {e}")))?,
        price: checked(row, 2, "price")?,
        stock: row.try_get_by(3)?,
        listing: Listing::from_word(&word)
            .ok_or_else(|| Error::Other(format!("products.status {word:?} is not known")))?,
        created_at: from_us(row.try_get_by(5)?),
        updated_at: from_us(row.try_get_by(6)?),
    })
}

fn checked<T: TryFrom<i64, Error = String>>(
    row: &QueryResult,
    column: usize,
    name: &str,
) -> Result<T, Error> {
    T::try_from(row.try_get_by(column)?).map_err(|e| Error::Other(format!("products.{name} {e}")))
}

async fn create(tx: &Transaction, dialect: Dialect, new: &NewProduct) -> Result<Product, Error> {
    let product = Product {
        id: new.id,
        name: new.name.clone(),
        price: new.price,
        stock: new.stock,
        listing: new.listing,
        created_at: new.at,
        updated_at: new.at,
    };
    insert_products(tx, dialect, std::slice::from_ref(&product)).await?;
    if new.stock > 0 {
        let entry = Entry {
            id: new.entry_id,
            product_id: new.id,
            kind: "SEED",
            delta: new.stock,
            at_us: new.at.as_microsecond(),
        };
        insert_entries(tx, dialect, &[entry]).await?;
    }
    Ok(product)
}

async fn apply_change(
    tx: &Transaction,
    dialect: Dialect,
    change: &Change,
) -> Result<Result<Product, Refusal>, Error> {
    let product = match lock(tx, dialect, change.id).await? {
        Ok(product) => product,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let changed = match decide::change(&product, change) {
        Ok(changed) => changed,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if changed != product {
        let sql =
            "UPDATE products SET name = ?, price = ?, status = ?, updated_us = ? WHERE id = ?";
        let values = vec![
            changed.name.as_str().into(),
            changed.price.get().into(),
            changed.listing.word().into(),
            changed.updated_at.as_microsecond().into(),
            changed.id.get().into(),
        ];
        tx.execute_raw(dialect.statement(sql, values)).await?;
    }
    Ok(Ok(changed))
}

async fn apply_adjustment(
    tx: &Transaction,
    dialect: Dialect,
    adjustment: &Adjustment,
) -> Result<Result<Product, Refusal>, Error> {
    let product = match lock(tx, dialect, adjustment.id).await? {
        Ok(product) => product,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let adjusted = match decide::adjust(&product, adjustment) {
        Ok(adjusted) => adjusted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let at_us = adjustment.at.as_microsecond();
    let delta = adjustment.delta;
    let sql =
        "UPDATE products SET stock = stock + ?, updated_us = ? WHERE id = ? AND stock + ? >= 0";
    let values = vec![
        delta.into(),
        at_us.into(),
        adjustment.id.get().into(),
        delta.into(),
    ];
    let done = tx.execute_raw(dialect.statement(sql, values)).await?;
    if done.rows_affected() != 1 {
        return Err(Error::guard(format!("stock of product {}", adjustment.id)));
    }
    let entry = Entry {
        id: adjustment.entry_id,
        product_id: adjustment.id,
        kind: if delta > 0 { "RESTOCK" } else { "ADJUST" },
        delta,
        at_us,
    };
    insert_entries(tx, dialect, &[entry]).await?;
    Ok(Ok(adjusted))
}

/// A row of the stock ledger without an order.
struct Entry {
    id: i64,
    product_id: ProductId,
    kind: &'static str,
    delta: i64,
    at_us: i64,
}

async fn insert_products(
    tx: &Transaction,
    dialect: Dialect,
    products: &[Product],
) -> Result<(), Error> {
    let mut rest = products;
    for size in chunks(products.len(), CHUNK_MAX) {
        let (piece, tail) = rest.split_at(size);
        rest = tail;
        let sql = format!("INSERT INTO products ({COLUMNS}) VALUES {}", rows(size, 7));
        let values = piece.iter().flat_map(product_values).collect();
        tx.execute_raw(dialect.statement(sql, values)).await?;
    }
    Ok(())
}

fn product_values(product: &Product) -> [Value; 7] {
    [
        product.id.get().into(),
        product.name.as_str().into(),
        product.price.get().into(),
        product.stock.into(),
        product.listing.word().into(),
        product.created_at.as_microsecond().into(),
        product.updated_at.as_microsecond().into(),
    ]
}

async fn insert_entries(
    tx: &Transaction,
    dialect: Dialect,
    entries: &[Entry],
) -> Result<(), Error> {
    let mut rest = entries;
    for size in chunks(entries.len(), CHUNK_MAX) {
        let (piece, tail) = rest.split_at(size);
        rest = tail;
        let sql = format!(
            "INSERT INTO stock_ledger (id, product_id, kind, delta, created_us) VALUES {}",
            rows(size, 5)
        );
        let values = piece
            .iter()
            .flat_map(|entry| {
                [
                    entry.id.into(),
                    entry.product_id.get().into(),
                    entry.kind.into(),
                    entry.delta.into(),
                    entry.at_us.into(),
                ]
            })
            .collect();
        tx.execute_raw(dialect.statement(sql, values)).await?;
    }
    Ok(())
}
