//! The events of an order as other systems read them: OrderCompleted, ProductRanking, DataPlatform. Field for field the JVM
//! shop's messages; a cancel sends the same ones again, compensating. `Outlet` says which are written and where.

use bytes::Bytes;
use messaging::outbox::{Event, shard_of};
use serde::Serialize;
use uuid::Uuid;

use super::follow_ups::FollowUp;
use super::model::{Order, OrderLine, Status, Turn};
use crate::wire::Style;

/// The sold amount of a ProductRanking, decimal, negative on a cancel: its value, which is the JVM shop's, has none.
pub const AMOUNT_HEADER: &str = "madang-amount";

/// Orders are paid from the wallet; the JVM shop calls that balance.
const PAYMENT_METHOD: &str = "BALANCE";

#[derive(Clone, Debug)]
pub struct Settings {
    pub order_completed_topic: String,
    pub product_ranking_topic: String,
    pub data_platform_topic: String,
    pub style: Style,
    /// Shards of the outbox, as many as its relay owns.
    pub shards: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            order_completed_topic: "order-completed-topic".into(),
            product_ranking_topic: "product-ranking-topic".into(),
            data_platform_topic: "data-platform-transfer-topic".into(),
            style: Style::default(),
            shards: 4,
        }
    }
}

/// Writes the events of orders.
#[derive(Clone, Debug, Default)]
pub struct Events {
    settings: Settings,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderCompleted<'a> {
    order_id: i64,
    user_id: i64,
    user_coupon_id: Option<i64>,
    total_amount: i64,
    discount_amount: i64,
    discounted_amount: i64,
    status: &'static str,
    order_items: &'a [OrderLine],
    ordered_at: String,
    event_occurred_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProductRanking<'a> {
    order_id: i64,
    product_id: i64,
    product_name: &'a str,
    quantity: i64,
    sold_quantity: i64,
    ordered_at: String,
    event_occurred_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DataPlatform<'a> {
    order_id: i64,
    user_id: i64,
    /// The shop knows no names of its users.
    user_name: Option<&'a str>,
    total_amount: i64,
    discounted_amount: i64,
    discount_amount: i64,
    order_status: &'static str,
    payment_method: &'static str,
    order_items: Vec<DataPlatformItem<'a>>,
    ordered_at: String,
    processed_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DataPlatformItem<'a> {
    product_id: i64,
    product_name: &'a str,
    /// Products have none here.
    category: Option<&'a str>,
    quantity: i64,
    unit_price: i64,
    total_price: i64,
}

/// What tells one event of a turn from another.
struct Head<'a> {
    topic: &'a str,
    key: String,
    kind: &'static str,
    seq: i64,
    headers: Vec<(String, String)>,
}

impl Events {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The events that a step reads: one for each product for the ranking, one an order for the others.
    #[must_use]
    pub fn of(&self, turn: &Turn, step: FollowUp) -> Vec<Event> {
        match step {
            FollowUp::Ranking => self.product_rankings(turn),
            FollowUp::DataPlatform => vec![self.data_platform(turn)],
            FollowUp::Analytics => vec![self.order_completed(turn)],
        }
    }

    fn order_completed(&self, turn: &Turn) -> Event {
        let order = &turn.order;
        let value = OrderCompleted {
            order_id: order.id.get(),
            user_id: order.user_id.get(),
            user_coupon_id: order.user_coupon_id.map(|c| c.get()),
            total_amount: order.total_amount.get(),
            discount_amount: order.discount_amount.get(),
            discounted_amount: order.discounted_amount.get(),
            status: order.status.word(),
            order_items: &order.order_items,
            ordered_at: self.settings.style.time(order.created_at),
            event_occurred_at: self.settings.style.time(turn.at),
        };
        let head = Head {
            topic: &self.settings.order_completed_topic,
            key: self.settings.style.key("order", order.id.get()),
            kind: kind(order),
            seq: turn.numbers.completed,
            headers: Vec::new(),
        };
        self.event(turn, head, &value)
    }

    fn data_platform(&self, turn: &Turn) -> Event {
        let order = &turn.order;
        let items = order.order_items.iter().map(|line| DataPlatformItem {
            product_id: line.product_id.get(),
            product_name: line.product_name.as_str(),
            category: None,
            quantity: line.quantity.get(),
            unit_price: line.unit_price.get(),
            total_price: line.total_price.get(),
        });
        let value = DataPlatform {
            order_id: order.id.get(),
            user_id: order.user_id.get(),
            user_name: None,
            total_amount: order.total_amount.get(),
            discounted_amount: order.discounted_amount.get(),
            discount_amount: order.discount_amount.get(),
            order_status: order.status.word(),
            payment_method: PAYMENT_METHOD,
            order_items: items.collect(),
            ordered_at: self.settings.style.time(order.created_at),
            processed_at: self.settings.style.time(turn.at),
        };
        let head = Head {
            topic: &self.settings.data_platform_topic,
            key: self.settings.style.key("order", order.id.get()),
            kind: kind(order),
            seq: turn.numbers.data_platform,
            headers: Vec::new(),
        };
        self.event(turn, head, &value)
    }

    fn product_rankings(&self, turn: &Turn) -> Vec<Event> {
        let order = &turn.order;
        let (sign, kind) = match order.status {
            Status::Completed => (1, "product.sold"),
            Status::Cancelled => (-1, "product.unsold"),
        };
        let shares = order.shares();
        let each = shares.iter().zip(&turn.numbers.ranking);
        each.map(|(share, seq)| {
            let product_id = share.product_id.get();
            let value = ProductRanking {
                order_id: order.id.get(),
                product_id,
                product_name: share.product_name.as_str(),
                quantity: sign * share.quantity,
                sold_quantity: sign * share.quantity,
                // The day it counts on: the sale's, of a cancel too.
                ordered_at: self.settings.style.time(order.created_at),
                event_occurred_at: self.settings.style.time(turn.at),
            };
            let amount = (sign * share.amount).to_string();
            let head = Head {
                topic: &self.settings.product_ranking_topic,
                key: self.settings.style.key("product", product_id),
                kind,
                seq: *seq,
                headers: vec![(AMOUNT_HEADER.to_owned(), amount)],
            };
            self.event(turn, head, &value)
        })
        .collect()
    }

    fn event(&self, turn: &Turn, head: Head<'_>, value: &impl Serialize) -> Event {
        Event {
            id: Uuid::now_v7(),
            shard: shard_of(&head.key, self.settings.shards),
            topic: head.topic.to_owned(),
            key: head.key,
            kind: head.kind.to_owned(),
            // Structs of strings and numbers always serialize.
            payload: Bytes::from(serde_json::to_vec(value).unwrap_or_default()),
            seq: Some(head.seq),
            traceparent: turn.traceparent.clone(),
            headers: head.headers,
            created_us: turn.at.as_microsecond(),
        }
    }
}

fn kind(order: &Order) -> &'static str {
    match order.status {
        Status::Completed => "order.completed",
        Status::Cancelled => "order.cancelled",
    }
}
