//! A caller on real SIP and RTP that judges a node from outside, and the benches.
//!
//! In: a script, an address, engines to listen with. Out: what was heard and when, measured on the wire
//! and not by the node about itself.
//!
//! | file | what it is |
//! |---|---|
//! | [`phone`] | a softphone that speaks a script and measures how fast it is answered |
//! | [`machine`] | what figures were measured on, and what a process uses of it |
//! | [`figures`] | medians, percentiles and the tables that show them |

pub mod figures;
pub mod machine;
pub mod phone;
