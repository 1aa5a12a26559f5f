//! From an OrderCompleted event to what it adds to the sales: a pure reading, lenient as the topic's other producers are loose.
//! Nothing is stored or summed over time here. Used by the handler and by the inline follow-up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use messaging::envelope::Identity;
use serde::Deserialize;

use crate::amount::EXACT_MAX;
use crate::ids::ProductId;
use crate::wire::{self, LenientInteger, LenientTime};

const HOUR_S: i64 = 3_600;

/// What one order, or its cancel, adds to its hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    pub identity: Identity,
    /// Start of the hour of the sale, in microseconds since the epoch.
    pub hour_us: i64,
    /// 1, or -1 for a cancel.
    pub orders: i64,
    /// By product; negative for a cancel.
    pub products: BTreeMap<ProductId, Amounts>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Pieces.
    pub quantity: i64,
    /// In the currency's minor unit, before discounts.
    pub amount: i64,
    pub orders: i64,
}

impl Amounts {
    /// `None` past 64 bits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            quantity: self.quantity.checked_add(other.quantity)?,
            amount: self.amount.checked_add(other.amount)?,
            orders: self.orders.checked_add(other.orders)?,
        })
    }
}

/// A row of the hourly sales. `None` as the product: all products together, each order counted once.
pub type Slot = (Option<ProductId>, i64);

/// What these sales add to which rows, in order of row; `None` when a sum passes 64 bits.
pub fn tally<'a>(sales: impl IntoIterator<Item = &'a Sale>) -> Option<BTreeMap<Slot, Amounts>> {
    let mut rows: BTreeMap<Slot, Amounts> = BTreeMap::new();
    for sale in sales {
        let mut whole = Amounts {
            orders: sale.orders,
            ..Amounts::default()
        };
        for (product, amounts) in &sale.products {
            add(&mut rows, (Some(*product), sale.hour_us), *amounts)?;
            let orders = 0;
            whole = whole.checked_add(Amounts { orders, ..*amounts })?;
        }
        add(&mut rows, (None, sale.hour_us), whole)?;
    }
    Some(rows)
}

fn add(rows: &mut BTreeMap<Slot, Amounts>, slot: Slot, amounts: Amounts) -> Option<()> {
    let row = rows.entry(slot).or_default();
    *row = row.checked_add(amounts)?;
    Some(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderCompleted {
    #[serde(rename = "orderId")]
    _order_id: LenientInteger,
    status: Option<String>,
    order_items: Vec<Item>,
    ordered_at: Option<LenientTime>,
    event_occurred_at: Option<LenientTime>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    product_id: LenientInteger,
    quantity: LenientInteger,
    unit_price: Option<LenientInteger>,
    total_price: Option<LenientInteger>,
}

/// Reads an OrderCompleted value. Without orderedAt the event's own time counts, and without that `written`, when the record was
/// written. Hours begin where the clocks of `zone` show a full hour.
///
/// # Errors
/// What does not fit, in words for the dead-letter headers.
pub fn read(
    identity: &Identity,
    value: Option<&[u8]>,
    written: Timestamp,
    zone: &TimeZone,
) -> Result<Sale, String> {
    let event: OrderCompleted = wire::object(value)?;
    let sign = match event.status.as_deref() {
        Some("CANCELLED") => -1,
        _ => 1,
    };
    let at = event
        .ordered_at
        .or(event.event_occurred_at)
        .map_or(written, |time| time.0);
    let mut products: BTreeMap<ProductId, Amounts> = BTreeMap::new();
    let mut total = 0_i64;
    for (index, item) in event.order_items.iter().enumerate() {
        let (product, amounts) =
            line(item).map_err(|error| format!("orderItems[{index}]: {error}"))?;
        // Sums of an order stay far from the end of 64 bits, so that many orders add up.
        total = total.saturating_add(amounts.amount);
        if total > EXACT_MAX {
            return Err(format!(
                "orderItems: their prices add up to more than {EXACT_MAX}"
            ));
        }
        let sum = products.entry(product).or_default();
        sum.quantity += sign * amounts.quantity;
        sum.amount += sign * amounts.amount;
        sum.orders = sign;
    }
    Ok(Sale {
        identity: identity.clone(),
        hour_us: hour_of(at, zone),
        orders: sign,
        products,
    })
}

/// Pieces a line may have: more than any shop sells, and few enough for sums.
const QUANTITY_MAX: i64 = 1_000_000_000;

fn line(item: &Item) -> Result<(ProductId, Amounts), String> {
    let product = ProductId::try_from(item.product_id.0).map_err(|e| format!("productId {e}"))?;
    let quantity = item.quantity.0;
    if !(0..=QUANTITY_MAX).contains(&quantity) {
        return Err(format!("quantity must be from 0 to {QUANTITY_MAX}"));
    }
    let amount = match (item.total_price, item.unit_price) {
        (Some(total), _) => Some(total.0),
        (None, Some(price)) => price.0.checked_mul(quantity),
        (None, None) => return Err("totalPrice is missing".to_owned()),
    };
    let amount = amount
        .filter(|amount| (0..=EXACT_MAX).contains(amount))
        .ok_or_else(|| format!("totalPrice must be from 0 to {EXACT_MAX}"))?;
    let amounts = Amounts {
        quantity,
        amount,
        orders: 1,
    };
    Ok((product, amounts))
}

/// Start of the hour, as the clocks of `zone` show it, in microseconds since the epoch.
#[must_use]
pub fn hour_of(at: Timestamp, zone: &TimeZone) -> i64 {
    let offset_s = i64::from(zone.to_offset(at).seconds());
    let local_s = at.as_microsecond().div_euclid(1_000_000) + offset_s;
    (local_s.div_euclid(HOUR_S) * HOUR_S - offset_s) * 1_000_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::from_us;

    const WRITTEN: i64 = 1_700_000_000_000_000;

    fn of(json: &str) -> Result<Sale, String> {
        let identity = Identity::Seq(1);
        read(
            &identity,
            Some(json.as_bytes()),
            from_us(WRITTEN),
            &TimeZone::UTC,
        )
    }

    fn at(sale: &Sale) -> String {
        from_us(sale.hour_us).to_string()
    }

    #[test]
    fn reads_what_the_jvm_shop_writes() {
        let sale = of(r#"{"orderId":7,"userId":1,"userCouponId":null,"totalAmount":3000.00,"status":"COMPLETED",
            "orderItems":[{"id":null,"productId":1,"productName":"tea","quantity":2,"unitPrice":1000.00,"totalPrice":2000.00},
                          {"id":null,"productId":1,"quantity":1,"unitPrice":1000.00,"totalPrice":1000.00}],
            "orderedAt":"2026-11-22 14:15:01","eventOccurredAt":[2026,11,22,14,15,2],"new":{"a":[1]}}"#)
        .unwrap();
        let product = ProductId::try_from(1).unwrap();
        let sum = Amounts {
            quantity: 3,
            amount: 3_000,
            orders: 1,
        };
        assert_eq!(sale.products, BTreeMap::from([(product, sum)]));
        assert_eq!(at(&sale), "2026-11-22T14:00:00Z");
    }

    #[test]
    fn a_cancel_subtracts_at_the_hour_of_the_sale() {
        let sale = of(r#"{"orderId":7,"status":"CANCELLED","orderItems":[{"productId":1,"quantity":2,"unitPrice":5}],
            "orderedAt":"2026-11-20 01:59:59","eventOccurredAt":"2026-11-22 14:15:02"}"#)
        .unwrap();
        assert_eq!(at(&sale), "2026-11-20T01:00:00Z");
        let rows = tally([&sale]).unwrap();
        let lost = Amounts {
            quantity: -2,
            amount: -10,
            orders: -1,
        };
        assert!(rows.values().all(|row| *row == lost));
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn times_fall_back() {
        let event = of(r#"{"orderId":7,"orderItems":[],"eventOccurredAt":[2026,11,22,14,15]}"#);
        assert_eq!(at(&event.unwrap()), "2026-11-22T14:00:00Z");
        let none = of(r#"{"orderId":7,"orderItems":[],"orderedAt":null}"#).unwrap();
        assert_eq!(none.hour_us, hour_of(from_us(WRITTEN), &TimeZone::UTC));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (json, error) in [
            ("", "not a JSON object"),
            ("[7,\"x\",[]]", "not a JSON object"),
            ("{\"orderId\":7", "EOF"),
            (r#"{"orderItems":[]}"#, "orderId"),
            (r#"{"orderId":7}"#, "orderItems"),
            (
                r#"{"orderId":7,"orderItems":[{"productId":0,"quantity":1,"totalPrice":1}]}"#,
                "productId",
            ),
            (
                r#"{"orderId":7,"orderItems":[{"productId":1,"quantity":-1,"totalPrice":1}]}"#,
                "quantity",
            ),
            (
                r#"{"orderId":7,"orderItems":[{"productId":1,"quantity":1.5,"totalPrice":1}]}"#,
                "not an integer",
            ),
            (
                r#"{"orderId":7,"orderItems":[{"productId":1,"quantity":1}]}"#,
                "totalPrice",
            ),
            (
                r#"{"orderId":7,"orderItems":[{"productId":1,"quantity":1,"totalPrice":-1}]}"#,
                "totalPrice",
            ),
            (
                r#"{"orderId":7,"orderItems":[],"orderedAt":"soon"}"#,
                "time",
            ),
        ] {
            let said = of(json).unwrap_err();
            assert!(said.contains(error), "{json}: {said}");
        }
        let written = from_us(WRITTEN);
        assert!(read(&Identity::Seq(1), None, written, &TimeZone::UTC).is_err());
    }

    #[test]
    fn hours_begin_where_the_zone_says() {
        let india = TimeZone::fixed(jiff::tz::Offset::from_seconds(19_800).unwrap());
        let at: Timestamp = "2026-11-22T00:10:00Z".parse().unwrap();
        assert_eq!(
            from_us(hour_of(at, &india)).to_string(),
            "2026-11-21T23:30:00Z"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, text in "\\PC*") {
            for value in [&bytes[..], text.as_bytes()] {
                let _ = read(&Identity::Seq(1), Some(value), from_us(0), &TimeZone::UTC);
            }
        }

        #[test]
        fn an_order_and_its_cancel_are_nothing(lines in prop::collection::vec((1..5_i64, 0..1_000_i64, 0..EXACT_MAX / 200), 0..20)) {
            let items: Vec<String> = lines.iter()
                .map(|(p, q, a)| format!(r#"{{"productId":{p},"quantity":{q},"totalPrice":{a}}}"#))
                .collect();
            let event = |status| of(&format!(r#"{{"orderId":1,"status":"{status}","orderItems":[{}]}}"#, items.join(","))).unwrap();
            let (sold, back) = (event("COMPLETED"), event("CANCELLED"));
            let rows = tally([&sold, &back]).unwrap();
            prop_assert!(rows.values().all(|row| *row == Amounts::default()));
            let whole = tally([&sold]).unwrap();
            let amount: i64 = lines.iter().map(|l| l.2).sum();
            prop_assert_eq!(whole[&(None, sold.hour_us)].amount, amount);
            prop_assert_eq!(whole[&(None, sold.hour_us)].orders, 1);
        }
    }
}
