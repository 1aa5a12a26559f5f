//! Pages of a list by cursor: `{items, nextCursor}` with `?cursor=&limit=`.
//! A cursor is opaque to clients: base64url of the last item's sort key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub const LIMIT_DEFAULT: u32 = 20;
pub const LIMIT_MAX: u32 = 100;

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page starts; null on the last one.
    pub next_cursor: Option<String>,
}

/// The query of a list. `?limit=` 1 to 100.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// `nextCursor` of the page before.
    pub cursor: Option<String>,
    /// Items a page, 1 to 100; 20 when absent.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
}

/// A position in a list sorted by `(major, minor)`: `(created_at in microseconds, id)` for newest first, or `(id, 0)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub major: i64,
    pub minor: i64,
}

impl Cursor {
    #[must_use]
    pub fn encode(self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}.{}", self.major, self.minor))
    }

    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let text = std::str::from_utf8(&bytes).ok()?;
        let (major, minor) = text.split_once('.')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

/// What a list is asked for, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    pub after: Option<Cursor>,
    pub limit: u32,
}

/// How many are asked for in a query.
///
/// # Errors
/// The bounds, where it is not an integer from 1 to `max`.
pub fn limit(asked: Option<&str>, default: u32, max: u32) -> Result<u32, String> {
    let Some(text) = asked else {
        return Ok(default);
    };
    text.parse()
        .ok()
        .filter(|limit| (1..=max).contains(limit))
        .ok_or_else(|| format!("must be an integer from 1 to {max}"))
}

impl PageQuery {
    /// # Errors
    /// The field's name and what is wrong with it.
    pub fn check(&self) -> Result<PageRequest, (&'static str, String)> {
        let limit = limit(self.limit.as_deref(), LIMIT_DEFAULT, LIMIT_MAX)
            .map_err(|detail| ("limit", detail))?;
        let after = match self.cursor.as_deref() {
            None | Some("") => None,
            Some(text) => Some(
                Cursor::decode(text)
                    .ok_or_else(|| ("cursor", "is not a cursor of this list".to_owned()))?,
            ),
        };
        Ok(PageRequest { after, limit })
    }
}

impl<T> Page<T> {
    /// Cuts `rows` (fetched with one more than the limit) to a page.
    #[must_use]
    pub fn cut(mut rows: Vec<T>, limit: u32, cursor: impl Fn(&T) -> Cursor) -> Self {
        let limit = limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = if more {
            rows.last().map(|row| cursor(row).encode())
        } else {
            None
        };
        Self {
            items: rows,
            next_cursor,
        }
    }
}
