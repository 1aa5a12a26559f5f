//! A request as the bytes that go out, built in place so that a connection allocates nothing per request.
//! It knows no route. Scenarios fill it, connections send it.

use std::fmt::{Display, Write};

#[derive(Default)]
pub struct Request {
    bytes: String,
    body: String,
}

const INFALLIBLE: &str = "a String takes whatever is written to it";

impl Request {
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_bytes()
    }

    pub fn get(&mut self, path: impl Display) {
        self.bytes.clear();
        write!(self.bytes, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").expect(INFALLIBLE);
    }

    /// `key` is the Idempotency-Key; `body` writes the JSON.
    pub fn post(
        &mut self,
        path: impl Display,
        key: Option<impl Display>,
        body: impl FnOnce(&mut String),
    ) {
        self.body.clear();
        body(&mut self.body);
        self.bytes.clear();
        write!(
            self.bytes,
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n",
            self.body.len()
        )
        .expect(INFALLIBLE);
        if !self.body.is_empty() {
            self.bytes.push_str("content-type: application/json\r\n");
        }
        if let Some(key) = key {
            write!(self.bytes, "idempotency-key: {key}\r\n").expect(INFALLIBLE);
        }
        self.bytes.push_str("\r\n");
        self.bytes.push_str(&self.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: &Request) -> &str {
        std::str::from_utf8(request.bytes()).unwrap()
    }

    #[test]
    fn is_whole_and_leaves_nothing_of_the_one_before() {
        let mut request = Request::default();
        request.post("/a", Some(7), |body| body.push_str("{}"));
        assert_eq!(
            text(&request),
            "POST /a HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 2\r\n\
             content-type: application/json\r\nidempotency-key: 7\r\n\r\n{}"
        );
        request.post("/b", None::<u64>, |_| {});
        assert_eq!(
            text(&request),
            "POST /b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n"
        );
        request.get("/c?d=1");
        assert_eq!(
            text(&request),
            "GET /c?d=1 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
        );
    }
}
