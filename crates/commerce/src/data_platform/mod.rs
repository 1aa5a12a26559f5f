//! data_platform: to be filled by its feature.
