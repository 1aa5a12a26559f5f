//! What the shop means: catalogue, wallet, order, coupon, ranking, data platform, analytics. Each feature holds its model,
//! its pure decisions, its ports, its events and its routes. No engine is known here; `stores` implements the ports.

pub mod amount;
pub mod answer;
pub mod clock;
pub mod http;
pub mod ids;
pub mod json;
pub mod pace;
pub mod page;
pub mod together;
pub mod wire;

pub mod analytics;
pub mod catalogue;
pub mod coupon;
pub mod data_platform;
pub mod order;
pub mod ranking;
pub mod wallet;
