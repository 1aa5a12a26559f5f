//! Why a broker's certificate is not accepted: OpenSSL knows, librdkafka's error does not say (an unknown authority and a wrong
//! host name read alike). It connects once more with a client that only looks; what is accepted is decided elsewhere.
//! `Admin` asks it when librdkafka reports that a certificate was not accepted.

use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rdkafka::bindings;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaType;

use super::settings::Settings;

/// How long the second look may take, and how often it is seen whether it is done.
const WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const ACCEPTED: i32 = 0;

/// `None`: it was accepted this time, or the broker did not answer.
pub fn objection(settings: &Settings) -> Option<String> {
    let config = settings.plain();
    let native = config.create_native_config().ok()?;
    // SAFETY: the configuration is ours and not in use yet; the callback fits the signature and lives for ever.
    unsafe { bindings::rd_kafka_conf_set_ssl_cert_verify_cb(native.ptr(), Some(verify)) };
    let kind = RDKafkaType::RD_KAFKA_PRODUCER;
    let client = Client::new(&config, native, kind, Verdict::default()).ok()?;
    let until = Instant::now() + WITHIN;
    loop {
        let answer = client.fetch_metadata(None, LOOK_EVERY);
        let code = client.context().0.load(Ordering::Acquire);
        if code != ACCEPTED {
            return Some(sentence(code));
        }
        if answer.is_ok() || Instant::now() >= until {
            return None;
        }
    }
}

/// OpenSSL's verification error (its `X509_V_ERR_*`) of the last certificate that was not accepted.
#[derive(Default)]
struct Verdict(AtomicI32);

impl ClientContext for Verdict {
    // The client that was refused has said it all.
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

/// Takes note and changes nothing: what OpenSSL does not accept stays so, and no password follows.
unsafe extern "C" fn verify(
    _client: *mut bindings::rd_kafka_t,
    _broker: *const c_char,
    _broker_id: i32,
    code: *mut c_int,
    _depth: c_int,
    _certificate: *const c_char,
    _size: usize,
    _said: *mut c_char,
    _said_size: usize,
    context: *mut c_void,
) -> c_int {
    // SAFETY: librdkafka passes a valid code, and the context that the client was made with, which it outlives.
    let (code, verdict) = unsafe { (*code, &*context.cast::<Verdict>()) };
    if code == ACCEPTED {
        return 1;
    }
    verdict.0.store(code, Ordering::Release);
    0
}

fn sentence(code: i32) -> String {
    match code {
        2 | 18..=21 => {
            "it was signed by nobody who is trusted here: set ssl.ca.location to the certificate of its authority"
                .to_owned()
        }
        9 => "it is not valid yet: look at the clocks".to_owned(),
        10 => "it has expired".to_owned(),
        62 | 64 => {
            "it names other hosts than the one that was dialled: dial a host that it names, or have one made for this host".to_owned()
        }
        code => format!("OpenSSL's verification error {code}"),
    }
}
