//! API families: each file is one published API, its shapes on one side and one service call on the
//! other. No rule lives here.

pub mod stablephone;
