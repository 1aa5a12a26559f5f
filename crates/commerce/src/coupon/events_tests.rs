//! The message as others see it, and the messages of others as they were seen.

use messaging::record::{Headers, TimestampType};

use super::*;
use crate::coupon::model::NewCampaign;
use crate::coupon::{IssueMode, Refusal, State};

fn campaign() -> Campaign {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    NewCampaign {
        id: CouponId::try_from(7).unwrap(),
        name: String::from("여름 쿠폰").try_into().unwrap(),
        discount_amount: 5_000.try_into().unwrap(),
        min_order_amount: 10_000.try_into().unwrap(),
        quota: 1_000.try_into().unwrap(),
        claim_from: at("2026-11-22T00:00:00Z"),
        claim_to: at("2026-11-23T00:00:00Z"),
        expires_at: at("2026-12-23T00:00:00Z"),
        issue_mode: IssueMode::Queue,
        at: at("2026-11-21T00:00:00Z"),
    }
    .campaign()
}

#[test]
fn the_message_on_the_topic() {
    let waiting = Waiting {
        user: UserId::try_from(1_001).unwrap(),
        sequence: 12,
        joined_us: 1_795_356_902_040_318,
    };
    let now = "2026-11-22T14:15:03.5Z".parse().unwrap();
    let record = record(&Dress::default(), &campaign(), 1, waiting, now);
    let value = record.value.clone().unwrap();
    insta::assert_snapshot!(std::str::from_utf8(&value).unwrap(), @r#"{"userId":1001,"couponId":7,"couponName":"여름 쿠폰","discountAmount":5000,"maxIssuanceCount":1000,"requestedAt":"2026-11-22T14:15:02","epoch":1,"sequence":12}"#);
    assert_eq!(record.topic, "coupon-issue-events");
    assert_eq!(record.key.as_deref(), Some(&b"7"[..]));
    let names: Vec<&str> = record.headers.iter().map(|(name, _)| name).collect();
    insta::assert_snapshot!(names.join(" "), @"__TypeId__ ce_specversion ce_id ce_type ce_source ce_time content-type traceparent");
    assert_eq!(record.headers.text("__TypeId__"), Some(TYPE_ID));
    assert_eq!(record.headers.text("ce_type"), Some(KIND));
    let trace = record.headers.text("traceparent").unwrap();
    assert_eq!(trace.len(), 55, "{trace}");
    assert!(trace.ends_with("-00"), "nobody has recorded it: {trace}");
    assert_eq!(
        trace.split('-').map(str::len).collect::<Vec<_>>(),
        [2, 32, 16, 2]
    );
}

fn incoming(value: &str) -> Record {
    Record {
        topic: "coupon-issue-events".into(),
        partition: 0,
        offset: 5,
        timestamp_ms: 0,
        timestamp_type: TimestampType::CreateTime,
        key: Some(Bytes::from_static(b"coupon-1-user-1001")),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers::new(),
    }
}

#[test]
fn reads_what_the_jvm_shop_wrote() {
    let message = r#"{"userId":1001,"couponId":1,"couponName":"c","discountAmount":1000.00,"maxIssuanceCount":100,"requestedAt":[2026,11,22,14,15,2,40318414]}"#;
    let request = read(&incoming(message)).unwrap();
    assert_eq!((request.coupon.get(), request.user.get()), (1, 1_001));
    assert_eq!(request.number, None);
    let at = request.requested_at.unwrap();
    assert_eq!(at.to_string(), "2026-11-22T14:15:02.040318Z");
}

#[test]
fn reads_its_own_and_what_is_strange_but_clear() {
    let message =
        r#"{"userId":1.0,"couponId":2,"epoch":3,"sequence":4,"requestedAt":null,"new":{"a":[]}}"#;
    let request = read(&incoming(message)).unwrap();
    assert_eq!(request.number, Some((3, 4)));
}

#[test]
fn names_what_it_cannot_read() {
    for message in [
        "",
        "no json",
        "[]",
        "{}",
        r#"{"userId":0,"couponId":1}"#,
        r#"{"userId":1,"couponId":"1"}"#,
        "[1,1,null,null,null]",
        r#"{"userId":1.5,"couponId":1}"#,
        r#"{"userId":1,"couponId":1,"sequence":4}"#,
        r#"{"userId":1,"couponId":1,"epoch":1,"sequence":"x"}"#,
    ] {
        assert!(read(&incoming(message)).is_err(), "{message}");
    }
    let mut empty = incoming("");
    empty.value = None;
    assert!(read(&empty).is_err());
}

#[test]
fn every_refusal_as_a_problem() {
    let coupon = CouponId::try_from(7).unwrap();
    let refusals = [
        Refusal::NotFound,
        Refusal::NotOpen,
        Refusal::Ended,
        Refusal::Paused,
        Refusal::Closed,
        Refusal::SoldOut,
        Refusal::AlreadyIssued(9.try_into().unwrap()),
        Refusal::AlreadyQueued {
            user: 11.try_into().unwrap(),
            position: 3,
        },
        Refusal::NotJoined,
        Refusal::QueueRestarted,
        Refusal::QuotaTooLow { given: 4 },
        Refusal::Window,
    ];
    let problems: Vec<_> = refusals.map(|refusal| refusal.problem(coupon)).into();
    insta::assert_json_snapshot!("refusals", problems);
}

#[test]
fn an_epoch_begins_above_every_number_given() {
    let mut campaign = campaign();
    campaign.issued = 400;
    let next = campaign.next_epoch();
    assert_eq!((next.range.epoch, next.range.base), (2, 1_000));
    assert_eq!((next.range.slots, next.ceiling), (600, 1_600));
    assert_eq!(next.state, State::Open);
}
