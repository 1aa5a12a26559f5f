//! Whole-shop tests: the real binary, over HTTP and by its commands, on the embedded default and on the real three.
//! Nothing of the program's inside is seen here. Tests that need Kafka, MariaDB and Redis have `kafka` in their names.

mod demo;
mod lifecycle;
mod modes;
mod openapi;
mod problems;
mod records;
mod settings;
mod tokens;
mod whole;
