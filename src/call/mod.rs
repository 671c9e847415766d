//! A call from dial to record.

pub mod event;
pub mod record;
