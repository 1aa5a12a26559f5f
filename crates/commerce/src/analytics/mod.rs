//! analytics: to be filled by its feature.
