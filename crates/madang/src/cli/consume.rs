//! `madang consume TOPIC`: prints records as they come, outside any group, or as a member of one, committing what was printed.
//! Ctrl-C and a reader that goes away end it cleanly.

use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use messaging::log::{Delivery, Error, EventLog, Membership, Reset, Subscription};
use messaging::record::{Record, TopicPartition};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::records::{Beside, Format, line};
use super::stop;
use crate::config::Config;
use crate::shop::{self, Shop};

const BATCH_MAX: usize = 500;
/// How long one read waits for records; also how soon a stop is noticed.
const WAIT_MS: u64 = 200;
/// Between two tries while the log is away.
const RETRY_EVERY: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub struct Args {
    topic: String,
    /// From the first record that is kept; else only new ones. With --group: where the group has no offset yet.
    #[arg(long)]
    from_beginning: bool,
    /// Join this group and commit what was printed.
    #[arg(long)]
    group: Option<String>,
    /// Only records with this key.
    #[arg(long)]
    key: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// In text: show keys too.
    #[arg(long)]
    keys: bool,
    /// In text: show headers too.
    #[arg(long)]
    headers: bool,
    /// End after so many records.
    #[arg(long)]
    max_records: Option<u64>,
    /// End when nothing came for so long. With --group this counts from when the group has given us partitions: a member
    /// that was killed holds that up for as long as kafka.session_timeout_ms, and no longer is waited for.
    #[arg(long, value_name = "MS")]
    idle_exit_ms: Option<u64>,
}

pub async fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let cancel = CancellationToken::new();
    stop::on_signal(cancel.clone())?;
    let joining = Duration::from_millis(config.kafka.session_timeout_ms);
    let shop = Shop::open(config).await?;
    let log = shop::open_log(&shop).await?;
    log.topic(&args.topic).await?;
    let printer = Printer {
        out: BufWriter::new(std::io::stdout()),
        left: args.max_records,
        args,
    };
    match printer.args.group.clone() {
        None => alone(log, printer, cancel).await,
        Some(group) => member(log, group, printer, joining, cancel).await,
    }
}

struct Printer {
    args: Args,
    out: BufWriter<std::io::Stdout>,
    /// Records that may still be printed.
    left: Option<u64>,
}

impl Printer {
    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints what is wanted of the batch; the offset after the last record that was looked at.
    fn print(&mut self, records: &[Record]) -> std::io::Result<Option<i64>> {
        let beside = Beside {
            keys: self.args.keys,
            headers: self.args.headers,
        };
        let mut next = None;
        for record in records {
            if self.is_done() {
                break;
            }
            next = Some(record.offset + 1);
            let wanted = self.args.key.as_deref().map(str::as_bytes);
            if wanted.is_some() && wanted != record.key.as_deref() {
                continue;
            }
            self.out
                .write_all(&line(record, self.args.format, beside))?;
            self.out.write_all(b"\n")?;
            self.left = self.left.map(|left| left - 1);
        }
        self.out.flush()?;
        Ok(next)
    }

    /// Until nothing came for too long, and then for so much more.
    async fn idle(&self, more: Duration) {
        match self.args.idle_exit_ms {
            Some(ms) => {
                let idle = Duration::from_millis(ms);
                tokio::time::sleep(idle.saturating_add(more)).await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Every partition by a task of its own, printed as they come.
async fn alone(
    log: Arc<dyn EventLog>,
    mut printer: Printer,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let topic = printer.args.topic.clone();
    let (send, mut batches) = mpsc::channel(4);
    for marks in log.watermarks(&topic).await? {
        let from = if printer.args.from_beginning {
            marks.low
        } else {
            marks.high
        };
        let at = TopicPartition::new(topic.clone(), marks.partition);
        let reading = follow(Arc::clone(&log), at, from, send.clone());
        let cancel = cancel.clone();
        tokio::spawn(async move { cancel.run_until_cancelled(reading).await });
    }
    drop(send);
    while !printer.is_done() {
        let batch = tokio::select! {
            () = cancel.cancelled() => break,
            () = printer.idle(Duration::ZERO) => break,
            batch = batches.recv() => batch,
        };
        let Some(batch) = batch else { break };
        printer.print(&batch?)?;
    }
    cancel.cancel();
    Ok(())
}

async fn follow(
    log: Arc<dyn EventLog>,
    at: TopicPartition,
    from: i64,
    send: mpsc::Sender<Result<Vec<Record>, Error>>,
) {
    let mut next = from;
    loop {
        let read = log.read(&at, next, BATCH_MAX, WAIT_MS).await;
        let sent = match read {
            Ok(records) => match records.last() {
                None => continue,
                Some(last) => {
                    next = last.offset + 1;
                    send.send(Ok(records)).await
                }
            },
            Err(error) if error.is_transient() => {
                tokio::time::sleep(RETRY_EVERY).await;
                continue;
            }
            Err(error) => {
                let _ = send.send(Err(error)).await;
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn member(
    log: Arc<dyn EventLog>,
    group: String,
    mut printer: Printer,
    joining: Duration,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let reset = if printer.args.from_beginning {
        Reset::Earliest
    } else {
        Reset::Latest
    };
    let subscription = Subscription {
        group,
        topics: vec![printer.args.topic.clone()],
        batch_max: BATCH_MAX,
        fetch_wait_max_ms: WAIT_MS,
        reset,
        own_topics: Vec::new(),
    };
    let mut membership = log.join(subscription).await?;
    let ended = print_deliveries(membership.as_mut(), &mut printer, joining, &cancel).await;
    membership.leave().await?;
    ended
}

async fn print_deliveries(
    membership: &mut dyn Membership,
    printer: &mut Printer,
    joining: Duration,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let mut more = joining;
    while !printer.is_done() {
        let delivery = tokio::select! {
            () = cancel.cancelled() => break,
            () = printer.idle(more) => break,
            delivery = membership.next() => delivery?,
        };
        match delivery {
            Delivery::Assigned(_) => more = Duration::ZERO,
            Delivery::Revoked(revocation) => revocation.done(),
            Delivery::Stopped(partition, error) => bail!("{partition} cannot be read on: {error}"),
            Delivery::Batch(batch) => {
                if let Some(next) = printer.print(&batch.records)? {
                    membership
                        .commit(&[(batch.partition.clone(), next)])
                        .await?;
                }
                membership.ready(&batch.partition);
            }
        }
    }
    Ok(())
}
