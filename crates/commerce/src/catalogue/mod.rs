//! catalogue: to be filled by its feature.
