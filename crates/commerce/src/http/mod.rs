//! http: placeholder
