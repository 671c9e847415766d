//! A caller on real SIP and RTP that judges a node from outside, and the benches.
//!
//! In: a script, an address, engines to listen with. Out: what was heard and when, measured on the wire
//! and not by the node about itself.
//!
//! | file | what it is |
//! |---|---|
//! | [`phone`] | a softphone that speaks a script and measures how fast it is answered |
//! | [`media_load`], [`bare_peer`] | many calls at once, and far ends that do nothing with them |
//! | [`stamped`] | a socket that tells when the kernel got a datagram |
//! | [`sip_load`] | calls that come and go, with SIPp at the far end |
//! | [`words`], [`wer`] | word error rate over normalised text |
//! | [`telephone`], [`sentences`] | speech as a recogniser gets it from a telephone, and what is said |
//! | [`buyer`], [`chain`] | an agent with a wallet that pays by x402, and a chain with USDC on this machine |
//! | [`machine`] | what figures were measured on, and what a process uses of it |
//! | [`figures`] | medians, percentiles and the tables that show them |

pub mod bare_peer;
pub mod buyer;
pub mod chain;
pub mod figures;
pub mod machine;
pub mod media_load;
pub mod phone;
pub mod sentences;
pub mod sip_load;
pub mod stamped;
pub mod telephone;
pub mod wer;
pub mod words;
