//! Orders as they are kept, with their lines: one, or a page of a user's, newest first.
//! Used by the routes' reads and, under lock, by the cancel.

use std::collections::HashMap;

use commerce::amount::Name;
use commerce::clock::from_us;
use commerce::ids::{OrderId, UserCouponId, UserId};
use commerce::order::{Order, OrderLine, Status};
use commerce::page::PageRequest;
use sea_orm::{ConnectionTrait, QueryResult};

use super::column;
use crate::sql::dialect::{list, padded};
use crate::sql::{Database, Dialect, Error};

const ORDER: &str = "SELECT id, user_id, user_coupon_id, total_amount, discount_amount, discounted_amount, status, created_us FROM orders";

/// `lock`: a locking clause or nothing.
pub(super) async fn find(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    order: OrderId,
    lock: &str,
) -> Result<Option<Order>, Error> {
    let sql = format!("{ORDER} WHERE id = ?{lock}");
    let statement = dialect.statement(sql, vec![order.get().into()]);
    let Some(row) = connection.query_one_raw(statement).await? else {
        return Ok(None);
    };
    Ok(with_lines(connection, dialect, &[row]).await?.pop())
}

pub(super) async fn page(
    db: &Database,
    user: UserId,
    page: PageRequest,
) -> Result<Vec<Order>, Error> {
    let mut sql = format!("{ORDER} WHERE user_id = ?");
    let mut values = vec![user.get().into()];
    if let Some(after) = page.after {
        // Spelled out: MySQL does not walk the index for a row comparison.
        sql.push_str(" AND created_us <= ? AND (created_us < ? OR id < ?)");
        values.extend([after.major.into(), after.major.into(), after.minor.into()]);
    }
    sql.push_str(" ORDER BY created_us DESC, id DESC LIMIT ?");
    values.push((i64::from(page.limit) + 1).into());
    let rows = db.reader().query_all_raw(db.statement(sql, values)).await?;
    with_lines(db.reader(), db.dialect(), &rows).await
}

async fn with_lines(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    rows: &[QueryResult],
) -> Result<Vec<Order>, Error> {
    let orders: Vec<Order> = rows.iter().map(order).collect::<Result<_, _>>()?;
    let ids: Vec<i64> = orders.iter().map(|order| order.id.get()).collect();
    if ids.is_empty() {
        return Ok(orders);
    }
    let asked = padded(&ids);
    let sql = format!(
        "SELECT order_id, id, product_id, product_name, quantity, unit_price, total_price FROM order_lines WHERE order_id IN ({}) ORDER BY order_id, id",
        list(asked.len())
    );
    let values = asked.into_iter().map(Into::into).collect();
    let rows = connection
        .query_all_raw(dialect.statement(sql, values))
        .await?;
    let mut lines: HashMap<OrderId, Vec<OrderLine>> = HashMap::with_capacity(orders.len());
    for row in &rows {
        lines.entry(column(row, 0)?).or_default().push(line(row)?);
    }
    let filled = orders.into_iter().map(|order| Order {
        order_items: lines.remove(&order.id).unwrap_or_default(),
        ..order
    });
    Ok(filled.collect())
}

fn order(row: &QueryResult) -> Result<Order, Error> {
    let coupon: Option<i64> = row.try_get_by(2)?;
    let status: String = row.try_get_by(6)?;
    Ok(Order {
        id: column(row, 0)?,
        user_id: column(row, 1)?,
        user_coupon_id: coupon
            .map(UserCouponId::try_from)
            .transpose()
            .map_err(Error::Other)?,
        total_amount: column(row, 3)?,
        discount_amount: column(row, 4)?,
        discounted_amount: column(row, 5)?,
        status: Status::from_word(&status)
            .ok_or_else(|| Error::Other(format!("orders.status {status}")))?,
        order_items: Vec::new(),
        created_at: from_us(row.try_get_by(7)?),
    })
}

fn line(row: &QueryResult) -> Result<OrderLine, Error> {
    Ok(OrderLine {
        id: column(row, 1)?,
        product_id: column(row, 2)?,
        product_name: Name::try_from(row.try_get_by::<String, _>(3)?).map_err(Error::Other)?,
        quantity: column(row, 4)?,
        unit_price: column(row, 5)?,
        total_price: column(row, 6)?,
    })
}
