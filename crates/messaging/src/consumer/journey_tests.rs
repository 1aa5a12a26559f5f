//! What the headers of a retried and a dead record say, and that they are read back.

use proptest::prelude::*;

use super::*;
use crate::record::TimestampType;

fn record(topic: &str, offset: i64, headers: Headers) -> Record {
    Record {
        topic: topic.into(),
        partition: 2,
        offset,
        timestamp_ms: 1_700_000_000_000,
        timestamp_type: TimestampType::CreateTime,
        key: Some("k".into()),
        value: Some("v".into()),
        headers,
    }
}

fn handing(failure: &Failure) -> Handing<'_> {
    Handing {
        consumer: "c",
        group: "g",
        failure,
        attempt: 1,
        failure_bytes_max: 4_096,
    }
}

fn count(headers: &Headers, name: &str) -> usize {
    headers.iter().filter(|(n, _)| *n == name).count()
}

#[test]
fn big_integers_are_as_short_as_javas() {
    for (value, bytes) in [
        (0_i64, vec![0_u8]),
        (127, vec![0x7f]),
        (128, vec![0x00, 0x80]),
        (-1, vec![0xff]),
        (-128, vec![0x80]),
        (-129, vec![0xff, 0x7f]),
        (1_700_000_000_000, vec![0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00]),
    ] {
        assert_eq!(big_integer(value), bytes, "{value}");
        assert_eq!(read_big_integer(&big_integer(value)), Some(value));
    }
    assert_eq!(big_integer(i64::MIN).len(), 8);
    for odd in [vec![], vec![0; 9]] {
        assert_eq!(read_big_integer(&Bytes::from(odd)), None);
    }
}

#[test]
fn a_dead_letter_names_its_first_place_though_it_came_over_retry_topics() {
    let failure = Failure::new("Away", "not now");
    let source = record("a", 7, Headers::new());
    let start = Journey::on_source(&source, "g", |topic| topic == "a");
    let headers = retry_headers(&source, &start, &handing(&failure), 5);
    assert_eq!(headers.text("kafka_original-topic"), Some("a"));
    assert_eq!(headers.text("kafka_exception-cause-fqcn"), Some("Away"));
    assert_eq!(headers.text(GROUP), Some("g"));

    let retried = record("a-g-retry-1", 900, headers);
    let journey = Journey::on_retry_topic(&retried, "g");
    assert_eq!(journey.origin, start.origin);
    assert_eq!(journey.attempt, 2);

    let failure = Failure::new("Refused", "never");
    let mut dead = handing(&failure);
    dead.attempt = 2;
    let headers = dead_letter_headers(&retried, &journey, &dead, 9);
    assert_eq!(headers.text("kafka_dlt-original-topic"), Some("a"));
    assert_eq!(headers.get("kafka_dlt-original-offset"), Some(&be_i64(7)));
    assert_eq!(
        headers.get("kafka_dlt-original-partition"),
        Some(&be_i32(2))
    );
    assert_eq!(headers.text("kafka_dlt-exception-fqcn"), Some("Refused"));
    assert_eq!(headers.text("kafka_exception-fqcn"), None);
    assert_eq!(headers.get(ATTEMPTS), Some(&be_i32(3)));
    assert_eq!(count(&headers, GROUP), 1);
}

#[test]
fn a_record_sent_back_keeps_its_origin_and_the_newest_place_comes_last() {
    let failure = Failure::new("K", "m");
    let source = record("a", 7, Headers::new());
    let headers = dead_letter_headers(&source, &Journey::fresh(&source), &handing(&failure), 1);
    let again = record("a", 120, headers);
    let journey = Journey::on_source(&again, "g", |topic| topic == "a");
    assert_eq!(journey.origin.offset, 7);
    assert_eq!(journey.attempt, 1);

    let newest = Journey::fresh(&again);
    let headers = dead_letter_headers(&again, &newest, &handing(&failure), 2);
    assert_eq!(count(&headers, "kafka_dlt-original-offset"), 2);
    assert_eq!(headers.get("kafka_dlt-original-offset"), Some(&be_i64(120)));
    assert_eq!(count(&headers, "kafka_dlt-exception-fqcn"), 1);
    let third = record("a", 500, headers);
    assert_eq!(
        Journey::on_source(&third, "g", |t| t == "a").origin.offset,
        7
    );
}

#[test]
fn what_is_redriven_is_the_same_record_and_its_count_goes_on() {
    let failure = Failure::new("K", "m");
    let source = record("a", 7, Headers::new());
    let mut handing = handing(&failure);
    handing.attempt = 3;
    let mut headers = dead_letter_headers(&source, &Journey::fresh(&source), &handing, 1);
    let size = headers.len();
    for back in 1..=3_u32 {
        let dead = record("a-g-dlt", i64::from(back), headers);
        let journey = Journey::of_dead_letter(&dead);
        assert_eq!(journey.attempt, 2 + back);
        // Carried by hand it has lost what the command writes.
        let copied = Journey::on_retry_topic(&record("a-g-retry-0", 1, dead.headers.clone()), "g");
        let returned = record("a-g-retry-0", 1, redriven_headers(&dead, &journey, "g"));
        assert_eq!(returned.headers.text("kafka_dlt-exception-message"), None);
        let again = Journey::on_retry_topic(&returned, "g");
        assert_eq!(again, copied);
        assert_eq!((again.origin.offset, again.attempt), (7, 3 + back));
        handing.attempt = again.attempt;
        headers = dead_letter_headers(&returned, &again, &handing, 2);
        assert_eq!(count(&headers, "kafka_dlt-original-offset"), 1);
    }
    // It has the five kafka_original-* more than the first dead letter, however often it came back.
    assert_eq!(headers.len(), size + 5);
}

#[test]
fn somebody_elses_record_on_the_redrive_topic_is_fresh() {
    let failure = Failure::new("K", "m");
    let source = record("a", 7, Headers::new());
    let headers = dead_letter_headers(&source, &Journey::fresh(&source), &handing(&failure), 1);
    let foreign = record("a-other-retry-0", 3, headers);
    let journey = Journey::on_retry_topic(&foreign, "other");
    assert_eq!(journey, Journey::fresh(&foreign));
}

#[test]
fn headers_of_other_groups_say_nothing_about_us() {
    let failure = Failure::new("K", "m");
    let source = record("a", 7, Headers::new());
    let headers = dead_letter_headers(&source, &Journey::fresh(&source), &handing(&failure), 1);
    let again = record("a", 120, headers);
    assert_eq!(
        Journey::on_source(&again, "other", |_| true).origin.offset,
        120
    );
    assert_eq!(
        Journey::on_source(&again, "g", |_| false).origin.offset,
        120
    );
}

#[test]
fn odd_lengths_are_as_good_as_absent() {
    let mut headers = Headers::new();
    headers.append("kafka_original-topic", "a");
    headers.append("kafka_original-partition", vec![1_u8]);
    headers.append(ATTEMPTS, vec![0xff_u8; 4]);
    let journey = Journey::on_retry_topic(&record("a-g-retry-1", 3, headers), "g");
    assert_eq!(journey.origin.topic, "a-g-retry-1");
    assert_eq!(journey.attempt, 1);
}

proptest! {
    #[test]
    fn failures_fit_their_bytes_and_nothing_else_changes(
        kind in ".{0,400}", message in ".{0,4000}", bytes in 0_usize..8_192,
    ) {
        let failure = Failure::new(kind, message);
        let mut headers = Headers::new();
        headers.append("mine", "1");
        headers.append("mine", "2");
        headers.append_nullable("null", None);
        let source = record("a", 1, headers.clone());
        let mut handing = handing(&failure);
        handing.failure_bytes_max = bytes;
        let journey = Journey::fresh(&source);
        for written in [
            retry_headers(&source, &journey, &handing, 1),
            dead_letter_headers(&source, &journey, &handing, 1),
        ] {
            let spent: usize = written
                .iter()
                .filter(|(name, _)| name.contains("exception"))
                .map(|(_, value)| value.map_or(0, Bytes::len))
                .sum();
            prop_assert!(spent <= bytes + 512, "{spent} of {bytes}");
            let kept: Vec<_> = written.iter().take(3).collect();
            prop_assert_eq!(kept, headers.iter().collect::<Vec<_>>());
        }
    }
}
