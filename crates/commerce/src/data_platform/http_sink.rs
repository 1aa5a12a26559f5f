//! The data platform over HTTP: one POST an event, with Standard Webhooks headers.
//! It tries each once: what is tried again, and when, is decided by the consumer runtime. Built by the binary.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use sha2::Sha256;

use super::ports::{Delivered, Delivery, Sink};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// How much of an answer is read so that its connection can be used again.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// How much of it is told as the cause.
const CAUSE_MAX_CHARS: usize = 200;

#[derive(Clone)]
pub struct Settings {
    /// `http://` or `https://`.
    pub url: String,
    /// Signs each delivery where it is set: base64, with or without `whsec_` before it.
    pub secret: Option<String>,
    /// Deliveries in flight at a time.
    pub concurrency: usize,
    pub connect_timeout_ms: u64,
    /// From connecting to the end of the answer.
    pub request_timeout_ms: u64,
    /// The longest Retry-After that is taken at its word.
    pub retry_after_max_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            secret: None,
            concurrency: 16,
            connect_timeout_ms: 2_000,
            request_timeout_ms: 10_000,
            retry_after_max_ms: 600_000,
        }
    }
}

/// A setting that cannot be used; the text names it and says what would be right, never the secret itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

pub struct HttpSink {
    client: Client,
    url: Url,
    key: Option<Vec<u8>>,
    concurrency: usize,
    retry_after_max_ms: u64,
}

impl HttpSink {
    /// # Errors
    /// `Error` for a URL or secret that cannot be used, or where no TLS provider was installed.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let url: Url = settings
            .url
            .parse()
            .map_err(|e| Error(format!("data_platform.url {:?}: {e}", settings.url)))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            let said = format!("data_platform.url {url}: must begin with http:// or https://");
            return Err(Error(said));
        }
        let client = Client::builder()
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .timeout(Duration::from_millis(settings.request_timeout_ms))
            // A redirected POST may lose its body, and nobody signed for the other address.
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(settings.concurrency)
            .user_agent(concat!("madang/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Error(format!("data_platform: no HTTP client: {e}")))?;
        Ok(Self {
            client,
            url,
            key: settings.secret.as_deref().map(key).transpose()?,
            concurrency: settings.concurrency.max(1),
            retry_after_max_ms: settings.retry_after_max_ms,
        })
    }

    async fn post(&self, delivery: Delivery) -> Delivered {
        let request = self
            .client
            .post(self.url.clone())
            .headers(self.headers(&delivery, Timestamp::now()))
            .body(delivery.value);
        match request.send().await {
            Ok(response) => self.judge(response).await,
            Err(error) => Delivered::Retry {
                cause: no_answer(&error),
                after_ms: None,
            },
        }
    }

    fn headers(&self, delivery: &Delivery, now: Timestamp) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let seconds = now.as_second();
        headers.insert(TIMESTAMP, HeaderValue::from(seconds));
        if let Ok(id) = HeaderValue::from_str(&delivery.id) {
            headers.insert(ID, id);
        }
        let signature = self
            .key
            .as_deref()
            .and_then(|key| sign(key, &delivery.id, seconds, &delivery.value));
        if let Some(signature) = signature {
            headers.insert(SIGNATURE, signature);
        }
        headers
    }

    async fn judge(&self, mut response: Response) -> Delivered {
        let status = response.status();
        let after_ms = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| retry_after_ms(v, Timestamp::now()))
            .map(|ms| ms.min(self.retry_after_max_ms));
        let said = beginning(&mut response).await;
        let cause = || format!("answered {status}: {said}");
        match status.as_u16() {
            200..=299 => Delivered::Received,
            408 | 425 | 429 | 500..=599 => Delivered::Retry {
                cause: cause(),
                after_ms,
            },
            _ => Delivered::Refused { cause: cause() },
        }
    }
}

#[async_trait]
impl Sink for HttpSink {
    fn batch_max(&self) -> usize {
        // Few enough that a sink that hangs is noticed after two timeouts.
        self.concurrency * 2
    }

    async fn deliver(&self, batch: &[Delivery]) -> Vec<Delivered> {
        futures::stream::iter(batch.to_vec())
            .map(|delivery| self.post(delivery))
            .buffered(self.concurrency)
            .collect()
            .await
    }
}

fn key(secret: &str) -> Result<Vec<u8>, Error> {
    let text = secret.strip_prefix("whsec_").unwrap_or(secret);
    STANDARD
        .decode(text)
        .ok()
        .filter(|key| !key.is_empty())
        .ok_or_else(|| {
            Error("data_platform.secret: must be base64, with or without whsec_ before it".into())
        })
}

/// `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`.
fn sign(key: &[u8], id: &str, seconds: i64, body: &[u8]) -> Option<HeaderValue> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    HeaderValue::from_str(&format!("v1,{signature}")).ok()
}

/// Seconds, or an HTTP date; a date that has passed is 0.
fn retry_after_ms(text: &str, now: Timestamp) -> Option<u64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    Some(u64::try_from(at.as_millisecond() - now.as_millisecond()).unwrap_or(0))
}

/// The beginning of the answer's text. What cannot be read is left: the status alone decides.
async fn beginning(response: &mut Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_MAX_BYTES {
            break;
        }
    }
    String::from_utf8_lossy(&bytes)
        .chars()
        .filter(|c| !c.is_control())
        .take(CAUSE_MAX_CHARS)
        .collect()
}

fn no_answer(error: &reqwest::Error) -> String {
    if error.is_connect() {
        "could not connect".to_owned()
    } else if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        let status = error.status().map(|s: StatusCode| s.to_string());
        format!("no answer: {}", status.unwrap_or_else(|| source(error)))
    }
}

/// The innermost cause, which says most; the outer ones would repeat the address with its secrets.
fn source(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests;
