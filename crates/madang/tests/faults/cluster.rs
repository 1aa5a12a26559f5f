//! Row "broker down", on three brokers with replication 3 and two copies in sync: one is killed, then a leader, then both return.
//! The embedded log has no brokers, so this row is for Kafka alone.

use crate::ground;
use crate::load::{Load, Plan};
use crate::settle::{Places, check};

const TOPICS: [&str; 4] = [
    "order-completed-topic",
    "product-ranking-topic",
    "coupon-issue-events",
    "data-platform-transfer-topic",
];

/// Row: one of three brokers killed, then the leader of a partition. About 100 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about 100 s: full run"]
async fn one_of_three_brokers_and_then_a_leader_are_killed_on_kafka_mysql_redis() {
    let Some((stage, mut cluster)) = ground::own_cluster("cluster").await else {
        return;
    };
    let stage = [
        "ORDER_COMPLETED",
        "PRODUCT_RANKING",
        "COUPON_ISSUE",
        "DATA_PLATFORM_TRANSFER",
    ]
    .into_iter()
    .fold(stage, |stage, topic| {
        stage.env(&format!("MADANG_TOPICS__{topic}__REPLICATION"), "3")
    });
    let shop = ground::open(&stage).await;
    let client = shop.client();
    let orders = stage.topic(TOPICS[0]);
    let load = Load::start(&client, Plan::STEADY);
    load.more_orders(20).await;

    let leader = cluster.leader(&orders, 0).await.expect("a leader");
    let other = (leader + 1) % 3;
    cluster.kill(other).expect("killed");
    load.more_orders(40).await;
    load.more_places(10).await;
    cluster.restart(other).await.expect("it is back");
    for topic in TOPICS {
        let in_sync = cluster.in_sync(&stage.topic(topic)).await;
        in_sync.expect("all copies catch up");
    }

    let leader = cluster.leader(&orders, 0).await.expect("a leader");
    cluster.kill(leader).expect("killed");
    load.more_orders(40).await;
    load.more_places(10).await;
    let journal = load.stop().await;
    // Two of three are enough for everything, also for draining.
    stage.audit().await;
    let next = cluster.leader(&orders, 0).await.expect("another leader");
    assert_ne!(next, leader);
    cluster.restart(leader).await.expect("it is back");
    check(&stage, &client, journal, Places::Kept).await;
}
