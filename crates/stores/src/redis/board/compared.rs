//! A board held against its shadow, a page of products at a time: all at once, two hundred thousand of them would keep Redis from
//! everybody else for more than a second. An event counts on both in one step, and so does each product here, so that the pages
//! say what one step would.

use std::collections::BTreeMap;

use commerce::ranking::ports::{Comparison, Difference, Error};

use super::answers::{number, strange};

/// Products a page.
pub const TOGETHER: usize = 1_000;

/// Where the next page is.
pub struct Next {
    /// Of the day's keys, from 1.
    pub key: usize,
    pub cursor: String,
}

impl Next {
    pub fn first() -> Self {
        Self {
            key: 1,
            cursor: START.to_owned(),
        }
    }
}

/// A scan's cursor before its first page and after its last.
const START: &str = "0";

/// What the pages so far have told.
#[derive(Default)]
pub struct Compared {
    products: u64,
    foreign: i64,
    /// By number; a member that is none is somebody else's and comes first. A page may name a product again.
    different: BTreeMap<(Option<i64>, String), Difference>,
}

impl Compared {
    /// Adds a page; where the next one is.
    ///
    /// # Errors
    /// An answer that is not of the script's form.
    pub fn page(&mut self, at: &Next, answer: &[String]) -> Result<Option<Next>, Error> {
        let [keys, cursor, products, rows @ ..] = answer else {
            return Err(strange(answer));
        };
        self.products += number(products)?.unsigned_abs();
        for row in rows.as_chunks::<7>().0 {
            self.row(row)?;
        }
        let last_key = number(keys)?.unsigned_abs() as usize;
        let (key, cursor) = match cursor.as_str() {
            START if at.key >= last_key => return Ok(None),
            START => (at.key + 1, START),
            cursor => (at.key, cursor),
        };
        Ok(Some(Next {
            key,
            cursor: cursor.to_owned(),
        }))
    }

    fn row(&mut self, row: &[String; 7]) -> Result<(), Error> {
        let [product, counts @ ..] = row;
        let mut numbers = [0; 6];
        for (into, text) in numbers.iter_mut().zip(counts) {
            *into = number(text)?;
        }
        let [
            recounted,
            recounted_amount,
            found_score,
            found_amount,
            foreign,
            foreign_amount,
        ] = numbers;
        self.foreign += foreign;
        // A sum past 64 bits is left as it was, as the scripts leave it.
        let sum = |one: i64, other: i64| one.checked_add(other).unwrap_or(one);
        let difference = Difference {
            product: product.clone(),
            expected_score: sum(recounted, foreign),
            found_score,
            expected_amount: sum(recounted_amount, foreign_amount),
            found_amount,
        };
        if (difference.expected_score, difference.expected_amount) != (found_score, found_amount) {
            let place = (product.parse().ok(), product.clone());
            self.different.insert(place, difference);
        }
        Ok(())
    }

    /// With at most `max` differences listed.
    pub fn told(self, max: usize) -> Comparison {
        Comparison {
            products: self.products,
            different: self.different.len() as u64,
            foreign: self.foreign,
            differences: self.different.into_values().take(max).collect(),
        }
    }
}
