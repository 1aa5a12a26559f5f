//! COMMIT without an answer, on MariaDB: a proxy between the shop and the server cuts the connection around one COMMIT,
//! before the server hears of it or after. Either way the order is placed once and answered.

use std::sync::Arc;

use commerce::answer::StoreError;
use commerce::order::{Error, FollowUps};
use parking_lot::Mutex;
use stores::sql::{Database, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::shop::{BALANCE, Shop, filled, fresh};
use crate::backends::{Backend, claim};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    BeforeTheServer,
    BeforeTheAnswer,
    /// And nobody comes through any more.
    ForGood,
}

/// Passes bytes on until a COMMIT comes by while `cut` is set.
async fn proxy(server: String, cut: Arc<Mutex<Option<Cut>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, cut) = (server.clone(), cut.clone());
            if *cut.lock() == Some(Cut::ForGood) {
                continue;
            }
            tokio::spawn(async move { pass(client, server, cut).await });
        }
    });
    port
}

async fn pass(client: TcpStream, server: String, cut: Arc<Mutex<Option<Cut>>>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
        let commit = bytes[..read].windows(6).any(|w| w == b"COMMIT");
        let now = if commit { *cut.lock() } else { None };
        if let Some(how) = now {
            answers.abort();
            let _ = answers.await;
            if how == Cut::BeforeTheAnswer {
                let _ = to_server.write_all(&bytes[..read]).await;
            }
            if how != Cut::ForGood {
                *cut.lock() = None;
            }
            return;
        }
        if to_server.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// The same shop, directly and through a proxy.
async fn shops() -> Option<(Shop, Shop, Arc<Mutex<Option<Cut>>>)> {
    let backend = Backend::mysql().await?;
    let direct = filled(&backend).await;
    let url = backend.url();
    let (start, rest) = url.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let cut = Arc::<Mutex<Option<Cut>>>::default();
    let port = proxy(server.to_owned(), cut.clone()).await;
    let settings = Settings {
        url: format!("{start}@127.0.0.1:{port}/{database}"),
        acquire_timeout_ms: 500,
        ..Settings::default()
    };
    let db = Database::connect(&settings).await.unwrap();
    Some((direct, Shop::with(db, FollowUps::default()), cut))
}

async fn placed_once(how: Cut) {
    let Some((direct, shop, cut)) = shops().await else {
        return;
    };
    // Numbers are taken and connections made before anything is cut.
    shop.order(2, &[(1, 1)], None).await;
    *cut.lock() = Some(how);
    let orders = (0..5).map(|n| {
        let claim = (n % 2 == 0).then(|| claim(n, 1));
        let shop = &shop;
        async move { shop.try_order(1, &[(1, 2)], None, claim).await }
    });
    for answer in futures::future::join_all(orders).await {
        assert_eq!(fresh(answer.unwrap()).0, 201);
    }
    assert!(cut.lock().is_none(), "a COMMIT was cut");
    assert_eq!(direct.number("SELECT COUNT(*) FROM orders").await, 6);
    assert_eq!(direct.balance(1).await, BALANCE - 5 * 2_000);
    direct.assert_adds_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_mysql_never_heard_of_is_decided_again() {
    placed_once(Cut::BeforeTheServer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_mysql_did_not_answer_is_answered() {
    placed_once(Cut::BeforeTheAnswer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_mysql_out_of_reach_the_outcome_is_unknown() {
    let Some((direct, shop, cut)) = shops().await else {
        return;
    };
    shop.order(2, &[(1, 1)], None).await;
    *cut.lock() = Some(Cut::ForGood);
    let answer = shop.try_order(1, &[(1, 1)], None, Some(claim(1, 1))).await;
    assert!(
        matches!(answer, Err(Error::Store(StoreError::OutcomeUnknown(_)))),
        "{answer:?}"
    );
    // A repeat with the key tells the truth, whatever it is.
    *cut.lock() = None;
    let repeat = shop.try_order(1, &[(1, 1)], None, Some(claim(1, 1))).await;
    assert_eq!(fresh(repeat.unwrap()).0, 201);
    assert_eq!(direct.balance(1).await, BALANCE - 1_000);
    direct.assert_adds_up().await;
}
