//! What headers say in words: text as it is, the numbers of spring-kafka's headers as numbers, all else in base64.
//! Names and layouts are the contract's; values are never judged.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The number in a header that is known to hold one, big-endian.
pub fn number(name: &str, bytes: &[u8]) -> Option<i64> {
    let counts = [
        "retry_topic-attempts",
        "kafka_dlt-original-partition",
        "kafka_original-partition",
    ];
    let wide = [
        "kafka_dlt-original-offset",
        "kafka_dlt-original-timestamp",
        "kafka_original-offset",
        "kafka_original-timestamp",
    ];
    // Java's BigInteger: as many bytes as it takes.
    let big = [
        "retry_topic-original-timestamp",
        "retry_topic-backoff-timestamp",
    ];
    let fits = match bytes.len() {
        4 if counts.contains(&name) => true,
        8 if wide.contains(&name) => true,
        1..=8 => big.contains(&name),
        _ => false,
    };
    if !fits {
        return None;
    }
    let sign = if bytes.first()? & 0x80 == 0 { 0 } else { -1 };
    Some(
        bytes
            .iter()
            .fold(sign, |number, byte| number << 8 | i64::from(*byte)),
    )
}

/// For people: nothing in it can move a terminal's cursor.
pub fn in_words(name: &str, bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else {
        return "null".to_owned();
    };
    match number(name, bytes) {
        Some(number) => number.to_string(),
        None => text(bytes),
    }
}

/// UTF-8 with its control characters escaped, else base64.
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().any(char::is_control) => text.escape_debug().to_string(),
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", STANDARD.encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_are_read_and_all_else_is_text_or_base64() {
        let say = |name: &str, bytes: &[u8]| in_words(name, Some(bytes));
        assert_eq!(say("retry_topic-attempts", &[0, 0, 0, 5]), "5");
        let offset = (-2_i64).to_be_bytes();
        assert_eq!(say("kafka_dlt-original-offset", &offset), "-2");
        let time = [0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00];
        assert_eq!(say("retry_topic-backoff-timestamp", &time), "1700000000000");
        assert_eq!(say("mine", b"plain"), "plain");
        assert_eq!(say("mine", b"\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(say("mine", &[0xff, 0x00]), "base64:/wA=");
        assert_eq!(say("kafka_dlt-original-offset", &[0xff]), "base64:/w==");
        assert_eq!(in_words("mine", None), "null");
    }
}
