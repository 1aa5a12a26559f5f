//! A day's row as a transaction holds it, and how a transaction on boards fails.
//! Only the board beside this file uses it.

use commerce::ranking::ports::Error;
use jiff::civil::Date;

use super::sheet::{FOREIGN, Sheet};
use crate::sql::{self, AsSqlError};

/// What a transaction ended with when it did not change the boards.
pub enum Failed {
    Sql(sql::Error),
    Lost,
}

impl From<sql::Error> for Failed {
    fn from(error: sql::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<sea_orm::DbErr> for Failed {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Sql(error.into())
    }
}

impl AsSqlError for Failed {
    fn as_sql_error(&self) -> Option<&sql::Error> {
        match self {
            Self::Sql(error) => Some(error),
            Self::Lost => None,
        }
    }
}

impl Failed {
    pub fn of(self, day: Date) -> Error {
        match self {
            Self::Sql(error) => port_error(error),
            Self::Lost => Error::Lost(day),
        }
    }
}

pub fn port_error(error: sql::Error) -> Error {
    match error {
        // A commit without an answer: the notes make a repeat harmless.
        sql::Error::Unavailable(_)
        | sql::Error::Conflict(_)
        | sql::Error::Full(_)
        | sql::Error::OutcomeUnknown(_) => Error::Unavailable(error.to_string()),
        other => Error::Failed(other.to_string()),
    }
}

/// A day's row, locked.
pub struct State {
    pub day: Date,
    /// Of the live sheet; 0: there is none.
    pub generation: i64,
    /// A rebuild is on.
    pub shadowed: bool,
}

impl State {
    pub fn live(&self) -> Option<Sheet> {
        (self.generation > 0).then_some(Sheet {
            day: self.day,
            number: self.generation,
        })
    }

    pub fn twin(&self) -> Sheet {
        Sheet {
            day: self.day,
            number: self.generation + 1,
        }
    }

    pub fn foreign(&self) -> Sheet {
        Sheet {
            day: self.day,
            number: FOREIGN,
        }
    }
}
