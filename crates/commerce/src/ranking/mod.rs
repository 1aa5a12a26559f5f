//! ranking: to be filled by its feature.
