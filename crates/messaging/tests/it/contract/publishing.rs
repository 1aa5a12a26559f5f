//! Publishing: order, placement, fidelity, and one record's failure being its own.

use std::collections::HashMap;

use bytes::Bytes;
use messaging::log::Error;
use messaging::record::{Headers, Outgoing};

use crate::bed::{Bed, at, keyed, own, value};

pub async fn order_is_kept_in_each_partition(bed: &Bed) {
    let topic = bed.topic(3).await;
    let batch = (0..600).map(|n| keyed(&topic, &format!("key-{}", n % 17), &n.to_string()));
    let places = bed.publish(batch.collect()).await;

    let mut next = HashMap::new();
    for (partition, offset) in &places {
        let expected = next.entry(*partition).or_insert(0);
        assert_eq!(offset, expected, "offsets are dense, in the order given");
        *expected += 1;
    }
    let mut seat = bed.join(&own("group"), &topic).await;
    let records = seat.take(600).await;
    assert_eq!(records.len(), 600);
    let mut last = HashMap::new();
    for record in &records {
        let number: usize = value(record).parse().expect("a number");
        assert_eq!(places[number], (record.partition, record.offset));
        let before = last.insert(record.key.clone(), number);
        assert!(before.is_none_or(|before| before < number));
    }
}

/// Nobody has published there before: each batch finds the topic new, and its partition may just have been opened.
pub async fn batches_keep_their_order_on_a_new_topic(bed: &Bed) {
    for _ in 0..8 {
        let topic = bed.topic(1).await;
        let batches = (0..6).map(|_| {
            bed.log
                .publish(vec![at(&topic, 0, "x"), at(&topic, 0, "y")])
        });
        let results = futures::future::join_all(batches).await;
        let places = results.into_iter().flatten();
        let offsets = places.map(|place| place.map(|place| place.offset));
        let offsets: Result<Vec<i64>, _> = offsets.collect();
        assert_eq!(offsets.expect("taken"), (0..12).collect::<Vec<_>>());
    }
}

pub async fn keys_land_where_java_puts_them(bed: &Bed) {
    let topic = bed.topic(3).await;
    // By Java's `toPositive(murmur2(key)) % 3`, from the hashes in Kafka's own UtilsTest.
    let placed = [
        ("21", 0),
        ("foobar", 0),
        ("a-little-bit-long-string", 2),
        ("a-little-bit-longer-string", 2),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 2),
        ("abc", 0),
    ];
    let batch = placed.map(|(key, _)| keyed(&topic, key, "x"));
    let places = bed.publish(batch.into()).await;
    for ((key, partition), (got, _)) in placed.iter().zip(places) {
        assert_eq!(got, *partition, "{key}");
    }
    let chosen = bed.publish(vec![at(&topic, 2, "x")]).await;
    assert_eq!(chosen[0].0, 2);
}

pub async fn headers_come_back_as_they_were(bed: &Bed) {
    let topic = bed.topic(1).await;
    let mut headers = Headers::new();
    headers.append("twice", "one");
    headers.append("__TypeId__", "kr.hhplus.Type");
    headers.append("twice", "two");
    headers.append_nullable("null", None);
    headers.append("empty", Bytes::new());
    headers.append("binary", vec![0, 255, 0, 1, 0xc3]);
    headers.append("이름", "값");
    // Not long ago: a broker drops what is older than the topic keeps records.
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let written_ms = now_ms - 3_600_123;
    let record = Outgoing {
        headers: headers.clone(),
        timestamp_ms: Some(written_ms),
        ..at(&topic, 0, "x")
    };
    bed.publish(vec![record, at(&topic, 0, "y")]).await;

    let records = bed.join(&own("group"), &topic).await.take(2).await;
    assert_eq!(records[0].headers, headers);
    assert_eq!(records[0].headers.text("twice"), Some("two"));
    assert_eq!(records[0].timestamp_ms, written_ms);
    assert!(records[1].headers.is_empty());
    assert!((now_ms - records[1].timestamp_ms).abs() < 600_000);
}

pub async fn nulls_are_not_empty(bed: &Bed) {
    let topic = bed.topic(1).await;
    let kinds = [None, Some(Bytes::new()), Some(Bytes::from_static(&[0, 1]))];
    let mut batch = Vec::new();
    for key in &kinds {
        for value in &kinds {
            batch.push(Outgoing {
                partition: Some(0),
                key: key.clone(),
                value: value.clone(),
                ..at(&topic, 0, "")
            });
        }
    }
    bed.publish(batch.clone()).await;
    let records = bed.join(&own("group"), &topic).await.take(9).await;
    for (record, sent) in records.iter().zip(&batch) {
        assert_eq!((&record.key, &record.value), (&sent.key, &sent.value));
    }
}

pub async fn large_records_pass_and_too_large_ones_are_refused_alone(bed: &Bed) {
    let topic = bed.topic_with(1, Some(1_200_000)).await;
    let sized = |bytes: usize| Outgoing {
        value: Some(noise(bytes)),
        ..at(&topic, 0, "")
    };
    let batch = vec![sized(100), sized(1_000_000), sized(1_500_000), sized(100)];
    let results = bed.log.publish(batch).await;
    assert!(results[0].is_ok() && results[1].is_ok() && results[3].is_ok());
    assert!(
        matches!(results[2], Err(Error::Refused(_))),
        "{:?}",
        results[2]
    );
    let records = bed.join(&own("group"), &topic).await.take(3).await;
    let sizes: Vec<_> = records
        .iter()
        .map(|record| record.value.as_ref().map_or(0, Bytes::len))
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 1_000_200);
}

pub async fn a_batch_too_large_for_the_topic_passes_record_by_record(bed: &Bed) {
    let topic = bed.topic_with(1, Some(20_000)).await;
    let sized = |bytes: usize| Outgoing {
        value: Some(noise(bytes)),
        ..at(&topic, 0, "")
    };
    let batch = [9_000, 9_000, 30_000, 9_000, 9_000].map(sized);
    let results = bed.log.publish(batch.into()).await;
    let taken: Vec<_> = results.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, true, false, true, true], "{results:?}");
}

pub async fn unknown_places_are_refused_alone(bed: &Bed) {
    let topic = bed.topic(1).await;
    let nowhere = own("nowhere");
    let batch = vec![
        at(&topic, 0, "a"),
        at(&nowhere, 0, "b"),
        at(&topic, 7, "c"),
        at(&topic, 0, "d"),
    ];
    let results = bed.log.publish(batch).await;
    assert!(results[0].is_ok() && results[3].is_ok(), "{results:?}");
    assert!(matches!(&results[1], Err(Error::UnknownTopic(name)) if *name == nowhere));
    assert!(matches!(&results[2], Err(Error::Refused(_))), "{results:?}");
    assert!(bed.log.topic(&nowhere).await.is_err(), "it is not made");
    assert!(bed.log.publish(Vec::new()).await.is_empty());
}

pub async fn publishers_side_by_side_lose_nothing(bed: &Bed) {
    let topic = bed.topic(3).await;
    let one = |task: usize| {
        let batch = (0..50).map(|n| keyed(&topic, &format!("task-{task}"), &format!("{task}:{n}")));
        let batch: Vec<_> = batch.collect();
        async move {
            for part in batch.chunks(7) {
                bed.publish(part.to_vec()).await;
            }
        }
    };
    futures::future::join_all((0..8).map(one)).await;

    let records = bed.join(&own("group"), &topic).await.take(400).await;
    let mut next = HashMap::new();
    for record in &records {
        let (task, number) = value(record).split_once(':').expect("task:number");
        let expected = next.entry(task.to_owned()).or_insert(0);
        assert_eq!(number.parse(), Ok(*expected));
        *expected += 1;
    }
    assert_eq!(records.len(), 400);
}

/// What no compression makes smaller.
fn noise(bytes: usize) -> Bytes {
    let mut noise = vec![0; bytes];
    fastrand::fill(&mut noise);
    Bytes::from(noise)
}
