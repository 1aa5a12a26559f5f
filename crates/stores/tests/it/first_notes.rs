//! The first deliveries of a fresh block, all at once: each makes the block's row, and none may lose another's notes or sums.
//! Later deliveries are tested in `notes` and `analytics`.

use std::collections::BTreeMap;
use std::sync::Arc;

use commerce::analytics::{Amounts, CONSUMER, Sale, Span, Store};
use messaging::envelope::Identity;
use stores::sql::analytics::SqlSales;
use stores::sql::notes::{BLOCK, seen};
use tokio::sync::Barrier;

use crate::backends::{Backend, on_both};

on_both!(first_deliveries_at_once_lose_nothing);

const HOUR_US: i64 = 3_600_000_000;
const START_US: i64 = 1_795_356_000_000_000;
const MEMBERS: i64 = 4;
/// Each with a block and an hour that nobody has written to.
const ROUNDS: i64 = 25;

fn sale(number: i64, hour: i64, product: i64) -> Sale {
    let amounts = Amounts {
        quantity: 1,
        amount: 10,
        orders: 1,
    };
    Sale {
        identity: Identity::Seq(number),
        hour_us: START_US + hour * HOUR_US,
        orders: 1,
        products: BTreeMap::from([(product.try_into().unwrap(), amounts)]),
    }
}

async fn first_deliveries_at_once_lose_nothing(backend: &Backend) {
    let db = backend.connect().await;
    let store = Arc::new(SqlSales::new(db.clone()));
    let at_once = Arc::new(Barrier::new(MEMBERS as usize));
    let mut members = Vec::new();
    for member in 0..MEMBERS {
        let (store, at_once) = (Arc::clone(&store), Arc::clone(&at_once));
        members.push(tokio::spawn(async move {
            for round in 0..ROUNDS {
                at_once.wait().await;
                let batch = [sale(round * BLOCK + member, round, 1 + member % 3)];
                let new = store.apply(&batch, START_US).await.unwrap();
                assert_eq!(new, 1, "round {round}, member {member}");
            }
        }));
    }
    for member in members {
        member.await.unwrap();
    }
    let numbers = (0..ROUNDS).flat_map(|round| (0..MEMBERS).map(move |m| round * BLOCK + m));
    let numbers: Vec<i64> = numbers.collect();
    let identities: Vec<Identity> = numbers.iter().copied().map(Identity::Seq).collect();
    let noted = seen(db.reader(), db.dialect(), CONSUMER, &identities).await;
    let lost: Vec<i64> = numbers
        .iter()
        .zip(noted.unwrap())
        .filter(|(_, noted)| !noted)
        .map(|(number, _)| *number)
        .collect();
    let all = Span {
        from_us: i64::MIN,
        to_us: i64::MAX,
    };
    let hours = store.by_hour(all).await.unwrap();
    let short: Vec<_> = hours.iter().filter(|(_, a)| a.orders != MEMBERS).collect();
    assert!(
        lost.is_empty() && short.is_empty(),
        "lost {lost:?}, hours {short:?}"
    );
    assert_eq!(hours.len() as i64, ROUNDS);
}
