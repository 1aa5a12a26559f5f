//! The order store behind `Orders`: placing, refusing, cancelling, reading.

mod cancel;
mod crowd;
mod place;
mod shop;
