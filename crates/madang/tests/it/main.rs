//! Whole-shop tests: they start the real binary and talk to it as its users do. One test binary, so that it links once.

mod whole;
