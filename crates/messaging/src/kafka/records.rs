//! A librdkafka message as a record of the port.
//! Used by members and readers.

use std::ffi::CStr;
use std::ptr;

use bytes::Bytes;
use rdkafka::bindings::{
    rd_kafka_header_cnt, rd_kafka_header_get_all, rd_kafka_message_headers, rd_kafka_resp_err_t,
};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Timestamp, bindings::rd_kafka_headers_t};

use crate::envelope::header_name;
use crate::record::{Headers, Record, TimestampType, TopicPartition};

#[must_use]
pub fn record(message: &BorrowedMessage<'_>, at: &TopicPartition) -> Record {
    let (timestamp_ms, timestamp_type) = match message.timestamp() {
        Timestamp::NotAvailable => (-1, TimestampType::CreateTime),
        Timestamp::CreateTime(ms) => (ms, TimestampType::CreateTime),
        Timestamp::LogAppendTime(ms) => (ms, TimestampType::LogAppendTime),
    };
    Record {
        topic: at.topic.clone(),
        partition: at.partition,
        offset: message.offset(),
        timestamp_ms,
        timestamp_type,
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: headers(message),
    }
}

/// rdkafka's own accessor panics on a header name that is not UTF-8, which any foreign producer may send.
fn headers(message: &BorrowedMessage<'_>) -> Headers {
    let mut native: *mut rd_kafka_headers_t = ptr::null_mut();
    // SAFETY: the message is alive for the whole call; librdkafka keeps the headers with it.
    let found = unsafe { rd_kafka_message_headers(message.ptr(), &mut native) };
    if found != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Headers::new();
    }
    // SAFETY: `native` was just set, and belongs to the message.
    let count = unsafe { rd_kafka_header_cnt(native) };
    let mut headers = Headers::with_capacity(count);
    for index in 0..count {
        let mut name = ptr::null();
        let mut value = ptr::null();
        let mut size = 0;
        // SAFETY: as above; on success `name` is a C string and `value` null or `size` bytes, all within the message.
        let (name, value) = unsafe {
            let got = rd_kafka_header_get_all(native, index, &mut name, &mut value, &mut size);
            if got != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            let value = (!value.is_null())
                .then(|| Bytes::copy_from_slice(std::slice::from_raw_parts(value.cast(), size)));
            (header_name(&CStr::from_ptr(name).to_string_lossy()), value)
        };
        headers.append_nullable(name, value);
    }
    headers
}
