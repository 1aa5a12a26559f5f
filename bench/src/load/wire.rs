//! HTTP/1.1 answers as bytes: where one ends, its status, its body with or without chunks.
//! It does no I/O and keeps no state. `connection` reads for it.

use std::ops::Range;

/// Longer heads are no answers of a shop.
const HEAD_MAX_BYTES: usize = 64 * 1024;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// The head of an answer, and how its body is told from what follows.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// Bytes up to and with the empty line.
    pub bytes: usize,
    pub body: Body,
    pub keeps_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Length(usize),
    Chunked,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// `None`: more has to be read.
pub fn head(read: &[u8]) -> Result<Option<Head>, Malformed> {
    let Some(at) = read
        .windows(END_OF_HEAD.len())
        .position(|it| it == END_OF_HEAD)
    else {
        return if read.len() > HEAD_MAX_BYTES {
            Err(Malformed("the head does not end"))
        } else {
            Ok(None)
        };
    };
    let text = std::str::from_utf8(&read[..at]).map_err(|_| Malformed("the head is not text"))?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or(Malformed("no status line of HTTP/1.1"))?;
    let mut head = Head {
        status,
        bytes: at + END_OF_HEAD.len(),
        body: Body::Length(0),
        keeps_open: true,
    };
    let mut told = matches!(status, 204 | 304);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Malformed("a header line"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| Malformed("content-length"))?;
            head.body = Body::Length(length);
            told = true;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(Malformed("a transfer encoding that is not chunked"));
            }
            head.body = Body::Chunked;
            told = true;
        } else if name.eq_ignore_ascii_case("connection") {
            head.keeps_open = !value.eq_ignore_ascii_case("close");
        }
    }
    if !told {
        return Err(Malformed("neither content-length nor chunks"));
    }
    Ok(Some(head))
}

/// A chunk in `read`: where its data lies, and where the next one begins. An empty one is the last.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk {
    pub data: Range<usize>,
    pub next: usize,
}

/// The chunk that begins at `at`; `None`: more has to be read. Trailers are not read by anybody here and are refused.
pub fn chunk(read: &[u8], at: usize) -> Result<Option<Chunk>, Malformed> {
    let rest = &read[at..];
    let Some(end) = rest.windows(2).position(|it| it == b"\r\n") else {
        return if rest.len() > 64 {
            Err(Malformed("a chunk's size line is too long"))
        } else {
            Ok(None)
        };
    };
    let size = std::str::from_utf8(&rest[..end])
        .ok()
        .and_then(|line| line.split(';').next())
        .and_then(|size| usize::from_str_radix(size.trim(), 16).ok())
        .ok_or(Malformed("a chunk's size"))?;
    let data = at + end + 2;
    let Some(after) = read.get(data + size..data + size + 2) else {
        return Ok(None);
    };
    if after != b"\r\n" {
        return Err(Malformed("a chunk does not end with its line"));
    }
    Ok(Some(Chunk {
        data: data..data + size,
        next: data + size + 2,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_head_with_a_length() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nlocation: /a\r\n\r\n{}rest";
        let head = head(answer).unwrap().unwrap();
        assert_eq!(head.status, 201);
        assert_eq!(head.body, Body::Length(2));
        assert!(head.keeps_open);
        assert_eq!(&answer[head.bytes..], b"{}rest");
    }

    #[test]
    fn waits_for_the_whole_head() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        for end in 0..answer.len() {
            assert_eq!(head(&answer[..end]), Ok(None), "{end}");
        }
        assert!(head(answer).unwrap().is_some());
    }

    #[test]
    fn refuses_what_it_could_not_find_the_end_of() {
        for answer in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        ] {
            assert!(head(answer.as_bytes()).is_err(), "{answer}");
        }
        assert!(head(&[b'a'; HEAD_MAX_BYTES + 1]).is_err());
    }

    #[test]
    fn an_answer_without_content_needs_no_length() {
        let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
        let head = head(answer).unwrap().unwrap();
        assert_eq!(head.body, Body::Length(0));
        assert!(!head.keeps_open);
    }

    #[test]
    fn reads_chunks_up_to_the_last() {
        let body = b"3\r\nabc\r\n10;x=1\r\n0123456789abcdef\r\n0\r\n\r\n";
        let first = chunk(body, 0).unwrap().unwrap();
        assert_eq!(&body[first.data], b"abc");
        let second = chunk(body, first.next).unwrap().unwrap();
        assert_eq!(&body[second.data], b"0123456789abcdef");
        let last = chunk(body, second.next).unwrap().unwrap();
        assert!(last.data.is_empty());
        assert_eq!(last.next, body.len());
    }

    #[test]
    fn waits_for_a_whole_chunk_and_refuses_a_broken_one() {
        let body = b"3\r\nabc\r\n";
        for end in 0..body.len() {
            assert_eq!(chunk(&body[..end], 0), Ok(None), "{end}");
        }
        assert!(chunk(b"z\r\nabc\r\n", 0).is_err());
        assert!(chunk(b"3\r\nabcd\r\n", 0).is_err());
    }
}
