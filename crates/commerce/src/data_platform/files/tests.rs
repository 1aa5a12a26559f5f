//! The files sink under repeats, cuts and new days: each event once, never half a line.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;

struct SetClock(Mutex<Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

struct Shop {
    folder: tempfile::TempDir,
    clock: Arc<SetClock>,
}

impl Shop {
    fn new() -> Self {
        let clock = SetClock(Mutex::new("2026-11-22T14:59:59Z".parse().unwrap()));
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(clock),
        }
    }

    /// A sink as after a start.
    fn sink(&self) -> FileSink {
        let settings = Settings {
            folder: self.folder.path().join("data-platform"),
            remembered_max: 100,
            ..Settings::default()
        };
        FileSink::new(settings, self.clock.clone())
    }

    fn path(&self, day: &str) -> PathBuf {
        self.folder
            .path()
            .join("data-platform")
            .join(day)
            .join(EVENTS)
    }

    fn lines(&self, day: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(day)).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
        text.lines().map(str::to_owned).collect()
    }
}

fn event(number: u32) -> Delivery {
    Delivery {
        id: format!("e-{number}"),
        value: Bytes::from(format!("{{\"orderId\":{number}}}")),
    }
}

async fn deliver(sink: &FileSink, batch: &[Delivery]) {
    let delivered = sink.deliver(batch).await;
    assert_eq!(delivered, vec![Delivered::Received; batch.len()]);
}

const DAY: &str = "2026-11-22";

#[tokio::test]
async fn an_event_is_written_once_and_on_one_line() {
    let shop = Shop::new();
    let spread = Delivery {
        id: "e-9".into(),
        value: Bytes::from_static(b"{\r\n \"orderId\": 9 \n}\n"),
    };
    deliver(&shop.sink(), &[event(1), event(1), spread]).await;
    // Delivered again after a start, with a new one.
    deliver(&shop.sink(), &[event(1), event(2)]).await;
    let lines = shop.lines(DAY);
    assert_eq!(
        lines,
        [
            "{\"orderId\":1}",
            "{   \"orderId\": 9  }",
            "{\"orderId\":2}"
        ]
    );
}

#[tokio::test]
async fn an_append_that_was_cut_off_is_cut_away() {
    let shop = Shop::new();
    deliver(&shop.sink(), &[event(1)]).await;
    // A kill after some bytes of the next append: whole lines and half a line, none of them in the state.
    let mut file = OpenOptions::new()
        .append(true)
        .open(shop.path(DAY))
        .unwrap();
    file.write_all(b"{\"orderId\":2}\n{\"orderId\":3}\n{\"ord")
        .unwrap();
    deliver(&shop.sink(), &[event(2), event(3), event(4)]).await;
    let lines: Vec<String> = (1..=4).map(|n| format!("{{\"orderId\":{n}}}")).collect();
    assert_eq!(shop.lines(DAY), lines);
}

#[tokio::test]
async fn a_new_day_has_a_folder_of_its_own_and_the_old_file_is_left_whole() {
    let shop = Shop::new();
    deliver(&shop.sink(), &[event(1)]).await;
    let old = shop.path(DAY);
    let mut file = OpenOptions::new().append(true).open(&old).unwrap();
    file.write_all(b"{\"half").unwrap();
    // Midnight in Seoul.
    *shop.clock.0.lock() = "2026-11-22T15:00:00Z".parse().unwrap();
    let sink = shop.sink();
    deliver(&sink, &[event(1), event(2)]).await;
    assert_eq!(shop.lines(DAY), ["{\"orderId\":1}"]);
    assert_eq!(shop.lines("2026-11-23"), ["{\"orderId\":2}"]);
    // The clock goes back: the old file is continued, not begun anew.
    *shop.clock.0.lock() = "2026-11-22T14:00:00Z".parse().unwrap();
    deliver(&sink, &[event(3)]).await;
    assert_eq!(shop.lines(DAY), ["{\"orderId\":1}", "{\"orderId\":3}"]);
}

#[tokio::test]
async fn a_file_that_was_taken_away_is_begun_anew() {
    let shop = Shop::new();
    let sink = shop.sink();
    deliver(&sink, &[event(1)]).await;
    fs::rename(shop.path(DAY), shop.folder.path().join("taken")).unwrap();
    deliver(&sink, &[event(2)]).await;
    assert_eq!(shop.lines(DAY), ["{\"orderId\":2}"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_tried_again() {
    let shop = Shop::new();
    fs::write(shop.folder.path().join("data-platform"), b"a file").unwrap();
    let delivered = shop.sink().deliver(&[event(1), event(2)]).await;
    assert_eq!(delivered.len(), 2);
    assert!(
        delivered
            .iter()
            .all(|d| matches!(d, Delivered::Retry { .. }))
    );
    fs::remove_file(shop.folder.path().join("data-platform")).unwrap();
    deliver(&shop.sink(), &[event(1), event(2)]).await;
    assert_eq!(shop.lines(DAY).len(), 2);
}

#[tokio::test]
async fn sinks_at_once_write_each_event_once() {
    let shop = Shop::new();
    let mut deliveries = Vec::new();
    for _ in 0..4 {
        let sink = shop.sink();
        deliveries.push(tokio::spawn(async move {
            for first in 0..10 {
                let batch: Vec<_> = (first * 5..first * 5 + 10).map(event).collect();
                deliver(&sink, &batch).await;
            }
        }));
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let lines = shop.lines(DAY);
    let once: BTreeSet<_> = lines.iter().collect();
    assert_eq!((lines.len(), once.len()), (55, 55));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever part of an append reached the disk before a kill, and however the batch is delivered again.
    #[test]
    fn a_kill_at_any_byte_loses_and_doubles_nothing(kept in 0_usize..80, lost_state: bool, cut_at in 1_usize..5) {
        let shop = Shop::new();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            deliver(&shop.sink(), &[event(1)]).await;
            let folder = shop.folder.path().join("data-platform");
            let before = fs::read(folder.join("state.json")).unwrap();
            let length = fs::metadata(shop.path(DAY)).unwrap().len();
            let batch: Vec<_> = (2..=6).map(event).collect();
            deliver(&shop.sink(), &batch).await;
            if lost_state {
                // The kill came before the new state was in place: any prefix of the append may be there.
                fs::write(folder.join("state.json"), before).unwrap();
                let file = OpenOptions::new().write(true).open(shop.path(DAY)).unwrap();
                let all = file.metadata().unwrap().len();
                file.set_len((length + kept as u64).min(all)).unwrap();
            }
            let sink = shop.sink();
            deliver(&sink, &batch[..cut_at]).await;
            deliver(&sink, &batch[cut_at..]).await;
        });
        let lines: Vec<String> = (1..=6).map(|n| format!("{{\"orderId\":{n}}}")).collect();
        prop_assert_eq!(shop.lines(DAY), lines);
    }
}
