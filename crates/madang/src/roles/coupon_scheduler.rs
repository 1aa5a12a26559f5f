//! The role `coupon-scheduler`: hands joins from the queue to the topic.
//! On cancel it awaits what is on its way; what it could not acknowledge returns to its place when the lease lapses.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::shop::{Shop, coupon_scheduler};

pub async fn run(shop: Arc<Shop>, cancel: CancellationToken) -> anyhow::Result<()> {
    coupon_scheduler(&shop).run(cancel).await;
    Ok(())
}
