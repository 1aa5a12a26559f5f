//! What the board's scripts answer, read: flat lists of text, the first word says which kind.
//! Pure. Only the adapter beside this file uses it.

use commerce::ids::ProductId;
use commerce::ranking::model::{Place, Standing};
use commerce::ranking::ports::{Applied, Error, Read};
use jiff::civil::Date;

use super::super::Error as RedisError;

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        match error {
            RedisError::Unavailable(_) | RedisError::NoScript => {
                Self::Unavailable(error.to_string())
            }
            RedisError::Setting(_) | RedisError::Failed(_) => Self::Failed(error.to_string()),
        }
    }
}

pub fn applied(answer: &[String]) -> Result<Applied, Error> {
    match split(answer)? {
        ("done", _) => Ok(Applied::Done),
        ("behind", [next]) => Ok(Applied::Behind {
            next: number(next)?,
        }),
        ("unplaced", _) => Ok(Applied::Unplaced),
        ("missing", days) => Ok(Applied::Missing(days_of(days)?)),
        _ => Err(strange(answer)),
    }
}

pub fn standings(answer: &[String]) -> Result<Read<Vec<Standing>>, Error> {
    match split(answer)? {
        ("missing", days) => Ok(Read::Missing(days_of(days)?)),
        ("found", list) => {
            let standing = |row: &[String]| {
                Ok(Standing {
                    product: product(&row[0])?,
                    score: number(&row[1])?,
                    amount: number(&row[2])?,
                })
            };
            let rows = list.as_chunks::<3>().0.iter();
            rows.map(|row| standing(row))
                .collect::<Result<_, _>>()
                .map(Read::Found)
        }
        _ => Err(strange(answer)),
    }
}

pub fn place(answer: &[String]) -> Result<Read<Place>, Error> {
    match split(answer)? {
        ("missing", days) => Ok(Read::Missing(days_of(days)?)),
        ("found", []) => Ok(Read::Found(Place::NONE)),
        ("found", [rank, score]) => Ok(Read::Found(Place {
            rank: u64::try_from(number(rank)?).ok(),
            score: number(score)?,
        })),
        _ => Err(strange(answer)),
    }
}

fn split(answer: &[String]) -> Result<(&str, &[String]), Error> {
    match answer {
        [word, rest @ ..] => Ok((word, rest)),
        [] => Err(strange(answer)),
    }
}

/// Days are the last ten characters of their keys.
fn days_of(keys: &[String]) -> Result<Vec<Date>, Error> {
    let day = |key: &String| {
        let start = key.len().checked_sub(10)?;
        key.get(start..)?.parse().ok()
    };
    keys.iter()
        .map(|key| day(key).ok_or_else(|| strange(keys)))
        .collect()
}

fn product(text: &str) -> Result<ProductId, Error> {
    text.parse()
        .map_err(|_| Error::Failed(format!("the board holds a product {text}")))
}

/// A whole number; a score that another program wrote with a fraction is cut.
pub fn number(text: &str) -> Result<i64, Error> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    match text.parse::<f64>() {
        Ok(number) => Ok(number as i64),
        Err(_) => Err(Error::Failed(format!("the board holds a number {text}"))),
    }
}

pub fn strange(answer: &[String]) -> Error {
    Error::Failed(format!("a script answered {:?}", answer.first()))
}
