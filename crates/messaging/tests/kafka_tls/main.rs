//! The Kafka adapter with TLS and SASL: its settings, and a real broker's listeners.
//! A binary of its own, so that it can be built with the feature `kafka-tls` without building all other tests twice.

mod kafka_over_tls;
mod kafka_tls_settings;
