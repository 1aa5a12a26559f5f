//! wallet: to be filled by its feature.
