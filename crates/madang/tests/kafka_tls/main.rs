//! The real binary with the feature `kafka-tls`, on a broker that wants TLS and a password.
//! A binary of its own, so that it can be built with the feature without building all other tests twice.

mod kafka_tls_shop;
