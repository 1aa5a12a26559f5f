//! Publishing: a whole batch is enqueued in order, then all its acknowledgements are awaited, each with its own result.
//! It retries nothing that librdkafka has given up; the relay does.
//! `KafkaLog` owns it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::log::{Acknowledged, Error};
use crate::record::{Headers, Outgoing};

use super::errors;
use super::reporter::Reporter;

type Native = BaseProducer<Context>;
/// What became of a record, kept until it is known whether it is to be tried alone.
type Verdict = Result<Acknowledged, Fault>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Code(RDKafkaErrorCode),
    /// Reported as delivered, with no offset. librdkafka concludes that from the success of a later request (a broker takes only
    /// the next sequence number of a producer), or from a broker's word that it has the number already. But a partition where the
    /// broker knows nothing of the producer takes any number: on a fresh one the first request may fail and the second, sent
    /// meanwhile, be taken, and then the first one's records are nowhere. Only an offset proves that a record is there.
    Unproven,
}

impl Fault {
    fn of(&self, topic: &str) -> Error {
        match self {
            Self::Code(code) => errors::of_delivery(*code, topic),
            Self::Unproven => Error::Unavailable(format!(
                "{topic}: a record was reported as delivered without an offset, so it may not be there"
            )),
        }
    }
}

/// How long to wait for room in a full queue before looking again.
const FULL_WAIT: Duration = Duration::from_millis(5);
/// How long one look for acknowledgements lasts; each is handled as it comes. The client spins through the last millisecond of a
/// look, so that its own thread, which looks ten times a second, takes most of a hundredth of a core where nothing is published.
const LOOK: Duration = Duration::from_secs(5);
/// Beyond the message timeout: librdkafka reports timeouts in scans of a second.
const GRACE: Duration = Duration::from_secs(5);

pub struct Producer {
    config: ClientConfig,
    timeout: Duration,
    native: Mutex<Arc<Native>>,
}

impl Producer {
    pub fn new(config: ClientConfig, message_timeout_ms: u64) -> Result<Self, Error> {
        let native = Mutex::new(create(&config)?);
        Ok(Self {
            config,
            timeout: Duration::from_millis(message_timeout_ms),
            native,
        })
    }

    /// One result a record, in order.
    pub async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<Acknowledged, Error>> {
        let mut verdicts = self.send(batch).await;
        if batch.len() > 1 {
            // The broker refuses a whole produce request as too large: each of its records is tried alone to find the one.
            for (record, verdict) in batch.iter().zip(&mut verdicts) {
                if *verdict == Err(Fault::Code(RDKafkaErrorCode::MessageSizeTooLarge))
                    && let Some(alone) = self.send(std::slice::from_ref(record)).await.pop()
                {
                    *verdict = alone;
                }
            }
        }
        let results = batch.iter().zip(verdicts);
        results
            .map(|(record, verdict)| verdict.map_err(|fault| fault.of(&record.topic)))
            .collect()
    }

    async fn send(&self, batch: &[Outgoing]) -> Vec<Verdict> {
        let native = Arc::clone(&self.native.lock());
        let until = Instant::now() + self.timeout;
        let flight = Arc::new(Flight::new(batch.len()));
        for (index, record) in batch.iter().enumerate() {
            if let Err(code) = enqueue(&native, record, &flight, index, until).await {
                flight.settle(index, Err(Fault::Code(code)));
            }
        }
        let verdicts = flight.landed(self.timeout + GRACE).await;
        if native.client().fatal_error().is_some() {
            self.renew(&native);
        }
        verdicts
    }

    /// After a fatal error (the broker lost the idempotent producer's state) a producer takes nothing more.
    fn renew(&self, broken: &Arc<Native>) {
        let mut native = self.native.lock();
        if !Arc::ptr_eq(&native, broken) {
            return;
        }
        match create(&self.config) {
            Ok(new) => {
                tracing::warn!("kafka producer failed for good; a new one takes over");
                *native = new;
            }
            Err(error) => tracing::error!(%error, "kafka producer cannot be made anew"),
        }
    }

    /// Makes the producer fail as if the broker had lost its state.
    #[cfg(test)]
    fn break_for_good(&self) {
        let native = Arc::clone(&self.native.lock());
        // SAFETY: the client outlives the call, and the reason is a C string.
        unsafe {
            rdkafka::bindings::rd_kafka_test_fatal_error(
                native.client().native_ptr(),
                rdkafka::bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                c"test".as_ptr(),
            );
        }
    }
}

fn create(config: &ClientConfig) -> Result<Arc<Native>, Error> {
    let context = Context(Reporter::new("producer"));
    let native = Native::from_config_and_context(config, context);
    let native = Arc::new(native.map_err(|error| errors::of(&error))?);
    let polled = Arc::downgrade(&native);
    std::thread::Builder::new()
        .name("kafka-producer".into())
        .spawn(move || poll(&polled))
        .map_err(|error| Error::Unavailable(format!("no thread for the producer: {error}")))?;
    Ok(native)
}

/// Until nobody publishes by it any more: the last reference is let go of here, where its end may take its time.
fn poll(native: &Weak<Native>) {
    while let Some(native) = native.upgrade() {
        native.poll(LOOK);
    }
}

async fn enqueue(
    native: &Native,
    record: &Outgoing,
    flight: &Arc<Flight>,
    index: usize,
    until: Instant,
) -> Result<(), RDKafkaErrorCode> {
    let ticket = Ticket {
        flight: Arc::clone(flight),
        index,
    };
    let mut next: BaseRecord<'_, [u8], [u8], Box<Ticket>> =
        BaseRecord::with_opaque_to(&record.topic, Box::new(ticket));
    next.partition = record.partition;
    next.key = record.key.as_deref();
    next.payload = record.value.as_deref();
    next.timestamp = record.timestamp_ms;
    next.headers = native_headers(&record.headers);
    loop {
        match native.send(next) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                if Instant::now() < until =>
            {
                next = back;
                tokio::time::sleep(FULL_WAIT).await;
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code();
                return Err(code.unwrap_or(RDKafkaErrorCode::InvalidArgument));
            }
        }
    }
}

fn native_headers(headers: &Headers) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let mut native = OwnedHeaders::new_with_capacity(headers.len());
    for (key, value) in headers.iter() {
        let value = value.map(|bytes| &bytes[..]);
        native = native.insert(Header { key, value });
    }
    Some(native)
}

/// A batch on its way.
struct Flight {
    open: AtomicUsize,
    verdicts: Mutex<Vec<Option<Verdict>>>,
    landed: Notify,
}

impl Flight {
    fn new(records: usize) -> Self {
        Self {
            open: AtomicUsize::new(records),
            verdicts: Mutex::new(vec![None; records]),
            landed: Notify::new(),
        }
    }

    fn settle(&self, index: usize, verdict: Verdict) {
        if let Some(slot) = self.verdicts.lock().get_mut(index) {
            *slot = Some(verdict);
        }
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.landed.notify_one();
        }
    }

    async fn landed(&self, within: Duration) -> Vec<Verdict> {
        if self.open.load(Ordering::Acquire) > 0 {
            // What is still open then is reported as timed out below.
            let _ = tokio::time::timeout(within, self.landed.notified()).await;
        }
        let mut verdicts = self.verdicts.lock();
        let timed_out = Err(Fault::Code(RDKafkaErrorCode::MessageTimedOut));
        verdicts
            .iter_mut()
            .map(|verdict| verdict.take().unwrap_or_else(|| timed_out.clone()))
            .collect()
    }
}

struct Ticket {
    flight: Arc<Flight>,
    index: usize,
}

struct Context(Reporter);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.0.statistics(statistics);
    }
}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let verdict = match result {
            Ok(message) if message.offset() < 0 => Err(Fault::Unproven),
            Ok(message) => {
                self.0.answered();
                Ok(Acknowledged {
                    partition: message.partition(),
                    offset: message.offset(),
                })
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code();
                Err(Fault::Code(code.unwrap_or(RDKafkaErrorCode::Unknown)))
            }
        };
        ticket.flight.settle(ticket.index, verdict);
    }
}

#[cfg(test)]
mod tests;
