//! A thin JSON client for whole-shop tests.
//! It judges nothing: any status is an answer, only a broken connection is an error.
//! Called by tests and `ShopProcess`.

use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

const TIMEOUT_S: u64 = 60;

/// Talks to one base URL, with an optional bearer token. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    token: Option<String>,
}

/// What came back: status, headers, the body's text and, when the text is JSON, its value (else null).
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Client {
    /// `base_url` without a trailing slash, such as `http://127.0.0.1:8083`.
    pub fn new(base_url: impl Into<String>) -> Client {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error means that the test has installed one already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(TIMEOUT_S))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("the client's own fixed settings are valid");
        Client {
            http,
            base_url: base_url.into(),
            token: None,
        }
    }

    /// The same client calling as the bearer of `token`.
    pub fn with_token(&self, token: impl Into<String>) -> Client {
        Client {
            token: Some(token.into()),
            ..self.clone()
        }
    }

    pub async fn get(&self, path: &str) -> Result<Response> {
        self.send(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Response> {
        self.post_with(path, &[], body).await
    }

    /// POST with further headers, such as `[("idempotency-key", "a")]`.
    pub async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Response> {
        self.send_json(Method::POST, path, headers, body).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Response> {
        self.send_json(Method::PATCH, path, &[], body).await
    }

    async fn send_json(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Response> {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(method, path, &all, Some(body.to_string().into_bytes()))
            .await
    }

    /// Any request: `body` is sent as it is, `None` sends no body and no content type.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Response> {
        let what = format!("{method} {path}");
        let response = self
            .request(method, path, headers, body)?
            .send()
            .await
            .with_context(|| what.clone())?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.bytes().await.context(what)?;
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&body).into_owned();
        Ok(Response {
            status,
            headers,
            text,
            json,
        })
    }

    /// The request unsent, for what [`Client::send`] cannot do, such as reading an event stream.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<reqwest::RequestBuilder> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base_url));
        for (name, value) in headers {
            request = request.header(
                HeaderName::from_bytes(name.as_bytes())?,
                HeaderValue::from_str(value)?,
            );
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        Ok(request)
    }
}

impl Response {
    /// A header's value, or "" when it is absent or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The answer itself when the status is the expected one.
    ///
    /// # Panics
    /// On another status, with the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Response {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}
