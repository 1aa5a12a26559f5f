//! A librdkafka message as a record of the port.
//! Used by members and readers.

use std::ffi::CStr;
use std::ptr;

use bytes::{Bytes, BytesMut};
use rdkafka::bindings::{
    rd_kafka_header_cnt, rd_kafka_header_get_all, rd_kafka_message_headers, rd_kafka_resp_err_t,
};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Timestamp, bindings::rd_kafka_headers_t};

use crate::envelope::header_name;
use crate::record::{HeaderName, Headers, Record, TimestampType, TopicPartition};

#[must_use]
pub fn record(message: &BorrowedMessage<'_>, at: &TopicPartition) -> Record {
    let (timestamp_ms, timestamp_type) = match message.timestamp() {
        Timestamp::NotAvailable => (-1, TimestampType::CreateTime),
        Timestamp::CreateTime(ms) => (ms, TimestampType::CreateTime),
        Timestamp::LogAppendTime(ms) => (ms, TimestampType::LogAppendTime),
    };
    let found = headers(message);
    let mut copies = Copies::of(
        [message.key(), message.payload()]
            .into_iter()
            .chain(found.iter().map(|(_, value)| *value)),
    );
    let (key, value) = (copies.take(message.key()), copies.take(message.payload()));
    let mut headers = Headers::with_capacity(found.len());
    for (name, value) in found {
        headers.append_nullable(name, copies.take(value));
    }
    Record {
        topic: at.topic.clone(),
        partition: at.partition,
        offset: message.offset(),
        timestamp_ms,
        timestamp_type,
        key,
        value,
        headers,
    }
}

/// A record's bytes, copied one after another into one allocation, which lives as long as any of them.
struct Copies(Bytes);

impl Copies {
    fn of<'m>(pieces: impl Iterator<Item = Option<&'m [u8]>> + Clone) -> Self {
        let bytes = pieces.clone().flatten().map(<[u8]>::len).sum();
        let mut all = BytesMut::with_capacity(bytes);
        pieces
            .flatten()
            .for_each(|piece| all.extend_from_slice(piece));
        Self(all.freeze())
    }

    /// The copy of the next piece, in the order in which they were copied.
    fn take(&mut self, piece: Option<&[u8]>) -> Option<Bytes> {
        piece.map(|piece| self.0.split_to(piece.len()))
    }
}

/// rdkafka's own accessor panics on a header name that is not UTF-8, which any foreign producer may send.
fn headers<'m>(message: &'m BorrowedMessage<'_>) -> Vec<(HeaderName, Option<&'m [u8]>)> {
    let mut native: *mut rd_kafka_headers_t = ptr::null_mut();
    // SAFETY: the message is alive for the whole call; librdkafka keeps the headers with it.
    let found = unsafe { rd_kafka_message_headers(message.ptr(), &mut native) };
    if found != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Vec::new();
    }
    // SAFETY: `native` was just set, and belongs to the message.
    let count = unsafe { rd_kafka_header_cnt(native) };
    let mut headers = Vec::with_capacity(count);
    for index in 0..count {
        let mut name = ptr::null();
        let mut value = ptr::null();
        let mut size = 0;
        // SAFETY: as above; on success `name` is a C string and `value` null or `size` bytes, all within the message, which is
        // borrowed for as long as what is returned.
        let (name, value) = unsafe {
            let got = rd_kafka_header_get_all(native, index, &mut name, &mut value, &mut size);
            if got != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            let value =
                (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size));
            (header_name(&CStr::from_ptr(name).to_string_lossy()), value)
        };
        headers.push((name, value));
    }
    headers
}
