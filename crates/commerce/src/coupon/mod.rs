//! coupon: to be filled by its feature.
