//! A ProductRanking message as it is read, from this shop or a JVM one. Pure: bytes in, what they mean out.
//! The order feature writes these messages; the consumer and the follow-up inside a request read them.

use jiff::Timestamp;
use messaging::consumer::Failure;
use serde::Deserialize;

use super::model::{AMOUNT_MAX, QUANTITY_MAX};
use crate::ids::ProductId;
use crate::wire::{self, LenientInteger, LenientTime};

/// Decimal won on this shop's records: the line's amount, negative on a cancel.
pub const AMOUNT_HEADER: &str = "madang-amount";

/// What the message says, before prices are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductSold {
    pub product: ProductId,
    /// Negative on a cancel.
    pub quantity: i64,
    /// The sale's instant, also on a cancel.
    pub ordered_at: Timestamp,
    /// `None` on records without the header.
    pub amount: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    product_id: LenientInteger,
    sold_quantity: Option<LenientInteger>,
    quantity: Option<LenientInteger>,
    ordered_at: Option<LenientTime>,
    event_occurred_at: Option<LenientTime>,
}

/// `amount`: what `AMOUNT_HEADER` says, if it is there. `written`: when the message was, which counts where it names no time.
///
/// # Errors
/// `MalformedValue`: it is no such message, and never will be.
pub fn read(
    value: &[u8],
    amount: Option<&str>,
    written: Timestamp,
) -> Result<ProductSold, Failure> {
    let message: Message = wire::object(Some(value)).map_err(malformed)?;
    let product = ProductId::try_from(message.product_id.0)
        .map_err(|detail| malformed(format!("productId {detail}")))?;
    let quantity = message
        .sold_quantity
        .or(message.quantity)
        .ok_or_else(|| malformed("neither soldQuantity nor quantity is there"))?;
    let quantity = bounded("soldQuantity", quantity.0, QUANTITY_MAX)?;
    let amount = match amount {
        None => None,
        Some(text) => {
            let amount = text
                .parse()
                .map_err(|_| malformed(format!("header {AMOUNT_HEADER} is not an integer")))?;
            Some(bounded(AMOUNT_HEADER, amount, AMOUNT_MAX)?)
        }
    };
    let ordered_at = message
        .ordered_at
        .or(message.event_occurred_at)
        .map_or(written, |time| time.0);
    Ok(ProductSold {
        product,
        quantity,
        ordered_at,
        amount,
    })
}

fn bounded(name: &str, value: i64, max: i64) -> Result<i64, Failure> {
    if (-max..=max).contains(&value) {
        Ok(value)
    } else {
        Err(malformed(format!("{name} is beyond {max}")))
    }
}

fn malformed(message: impl Into<String>) -> Failure {
    Failure::new("MalformedValue", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_value(value: &str, amount: Option<&str>) -> Result<ProductSold, Failure> {
        let written = "2026-11-18T10:13:20.123Z".parse().unwrap();
        read(value.as_bytes(), amount, written)
    }

    #[test]
    fn reads_what_this_shop_and_a_jvm_shop_write() {
        let ours = r#"{"orderId":1,"productId":2,"productName":"x","quantity":3,"soldQuantity":3,"orderedAt":"2026-11-22 01:00:00","eventOccurredAt":"2026-11-22 02:00:00"}"#;
        let sold = read_value(ours, Some("-900")).unwrap();
        assert_eq!(
            (sold.product.get(), sold.quantity, sold.amount),
            (2, 3, Some(-900))
        );
        assert_eq!(sold.ordered_at.to_string(), "2026-11-22T01:00:00Z");

        let jvm = r#"{"orderId":null,"productId":2.00,"quantity":9,"soldQuantity":-3.0,"orderedAt":null,"eventOccurredAt":[2026,11,22,2,0],"more":{}}"#;
        let sold = read_value(jvm, None).unwrap();
        assert_eq!(
            (sold.product.get(), sold.quantity, sold.amount),
            (2, -3, None)
        );
        assert_eq!(sold.ordered_at.to_string(), "2026-11-22T02:00:00Z");

        let bare = read_value(r#"{"productId":2,"quantity":1}"#, None).unwrap();
        assert_eq!(bare.quantity, 1);
        assert_eq!(bare.ordered_at.to_string(), "2026-11-18T10:13:20.123Z");
    }

    #[test]
    fn what_is_no_such_message_never_will_be() {
        let bad = [
            "",
            "[]",
            "[2,1,1,null,null]",
            "null",
            r#"{"quantity":1}"#,
            r#"{"productId":"1","quantity":1}"#,
            r#"{"productId":-1,"quantity":1}"#,
            r#"{"productId":1}"#,
            r#"{"productId":1,"quantity":1,"orderedAt":"soon"}"#,
            r#"{"productId":1,"quantity":9007199254740991}"#,
        ];
        for value in bad {
            let failure = read_value(value, None).unwrap_err();
            assert_eq!(failure.kind, "MalformedValue", "{value}");
        }
        assert!(read_value(r#"{"productId":1,"quantity":1}"#, Some("1.5")).is_err());
    }
}
