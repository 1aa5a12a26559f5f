//! order: to be filled by its feature.
