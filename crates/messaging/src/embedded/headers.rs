//! Headers as one blob: compact and without loss (order, duplicate names, null and empty values).
//! Not Kafka's wire format: only this log reads it. Used by the appender and by reads.

use bytes::Bytes;

use crate::record::Headers;

/// `count`, then for each header `name length, name, value length + 1 (0: null), value`; numbers are LEB128.
/// No headers at all are no blob.
#[must_use]
pub fn encode(headers: &Headers) -> Option<Vec<u8>> {
    if headers.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(size(headers) + 4 * headers.len());
    write_number(&mut out, headers.len() as u64);
    for (name, value) in headers.iter() {
        write_number(&mut out, name.len() as u64);
        out.extend_from_slice(name.as_bytes());
        match value {
            None => write_number(&mut out, 0),
            Some(value) => {
                write_number(&mut out, value.len() as u64 + 1);
                out.extend_from_slice(value);
            }
        }
    }
    Some(out)
}

/// `None` when the blob is not one that `encode` made.
#[must_use]
pub fn decode(blob: Option<Vec<u8>>) -> Option<Headers> {
    let mut headers = Headers::new();
    let Some(blob) = blob else {
        return Some(headers);
    };
    let mut rest = Bytes::from(blob);
    let count = read_number(&mut rest)?;
    for _ in 0..count {
        let length = read_number(&mut rest)?;
        let name = String::from_utf8(take(&mut rest, length)?.to_vec()).ok()?;
        let value = match read_number(&mut rest)? {
            0 => None,
            length => Some(take(&mut rest, length - 1)?),
        };
        headers.append_nullable(name, value);
    }
    rest.is_empty().then_some(headers)
}

/// Bytes of all names and values.
#[must_use]
pub fn size(headers: &Headers) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.len() + value.map_or(0, Bytes::len))
        .sum()
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(rest: &mut Bytes) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take(rest: &mut Bytes, length: u64) -> Option<Bytes> {
    let length = usize::try_from(length).ok()?;
    (length <= rest.len()).then(|| rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers_of(list: Vec<(String, Option<Vec<u8>>)>) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in list {
            headers.append_nullable(name, value.map(Bytes::from));
        }
        headers
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(list in proptest::collection::vec(
            (".{0,200}", proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300))), 0..8)) {
            let headers = headers_of(list);
            prop_assert_eq!(decode(encode(&headers)), Some(headers));
        }

        #[test]
        fn any_bytes_are_read_without_panic(blob in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(Some(blob));
        }
    }

    #[test]
    fn nothing_is_no_blob() {
        assert_eq!(encode(&Headers::new()), None);
        assert_eq!(decode(None), Some(Headers::new()));
    }
}
