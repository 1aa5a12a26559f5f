//! The roles as processes of their own on the same services: two of api and consumers, one relay, one scheduler.

use testkit::{ShopProcess, eventually};

use super::stage::{PATIENCE, Stage, coupon_result, join, one_line};

async fn role(stage: &Stage, role: &str) -> ShopProcess {
    stage
        .settings
        .clone()
        .arg("--role")
        .arg(role)
        .start()
        .await
        .unwrap_or_else(|e| panic!("{role}: {e:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_apart_on_kafka_mysql_redis() {
    let Some(stage) = Stage::real("roles-apart").await else {
        return;
    };
    stage.seed(100, 10, 100, 1, 50).await;
    let (one, two) = (role(&stage, "api").await, role(&stage, "api").await);
    let _followers = [
        role(&stage, "consumers").await,
        role(&stage, "consumers").await,
        role(&stage, "relay").await,
        role(&stage, "coupon-scheduler").await,
    ];
    let mut asks = tokio::task::JoinSet::new();
    for n in 1..=100_u64 {
        let client = if n % 2 == 0 {
            one.client()
        } else {
            two.client()
        };
        asks.spawn(async move {
            let order = client
                .post("/api/orders", &one_line(n, n % 10 + 1, 1))
                .await
                .unwrap();
            assert_eq!(order.status, 201, "{}", order.text);
            let joined = join(&client, 1, n).await;
            assert!(matches!(joined.status, 202 | 409), "{}", joined.text);
            (n, joined.status == 202)
        });
    }
    let joined = asks.join_all().await;
    assert_eq!(joined.iter().filter(|(_, taken)| *taken).count(), 50);
    for (user, _) in joined.iter().filter(|(_, taken)| *taken) {
        // Joined at one process, asked at the other.
        let client = if user % 2 == 0 {
            two.client()
        } else {
            one.client()
        };
        let result = eventually(PATIENCE, "the result", async || {
            coupon_result(&client, 1, *user).await
        })
        .await;
        assert_eq!(result["status"], "SUCCESS");
    }
    stage.audit().await;
    for mut process in [one, two].into_iter().chain(_followers) {
        assert_eq!(process.stop().await.expect("it stops"), 0);
    }
}
