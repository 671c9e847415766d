//! Engines on their real weights, against what the reference implementations answer.
//!
//! The weights are looked for in `CALLBOX_TEST_MODELS`, or else in `~/.cache/callbox/models`. A
//! missing one is a failure, not a skipped test: a green run means the models were heard.

mod silero;
mod smart_turn;
mod sounds;
mod weights;
