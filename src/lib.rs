//! Callbox: a self-hosted pay phone for AI agents.
//!
//! # The floors
//! A floor imports only floors below its own, neighbours on one floor never import each other, and
//! [`node`] alone sees all. `tests/arch` holds this.
//!
//! | floor | module | what it is |
//! |---|---|---|
//! | 0 | [`base`] | ids, E.164 numbers, money, wallets, personal data, audio units, whose fault an ending was |
//! | 1 | [`sip`] | trunks, registration, dialogs, digest, SDP offer and answer |
//! | 1 | [`media`] | RTP, jitter buffer, codecs, DTMF, pacing, recording: a sans-IO session and its driver |
//! | 1 | [`models`] | the catalogue of weights: fetch, verify, convert, find on disk |
//! | 2 | [`engine`] | the traits `Asr, Llm, Tts, Vad, Turn`; workers; engine processes; one file per model family |
//! | 3 | [`voice`] | the conversation: a pure state machine and its driver |
//! | 4 | [`call`] | a call from dial to record; the directory of live calls |
//! | 4 | [`eval`] | a synthetic caller on real SIP and RTP, an agent that pays, a chain for it; benches |
//! | 5 | [`store`] | call records, numbers, lookups and payments in SQL |
//! | 6 | [`pay`] | prices, challenges, x402 and MPP, sign-in with a wallet, the rule of spending, refunds |
//! | 7 | [`service`] | use cases without transport: place a call, lease a number, look a number up, who may be called |
//! | 8 | [`api`] | HTTP: routes, errors, auth, the table of what is offered and the pages made of it, one thin file per API family |
//! | 10 | [`node`] | configuration, wiring, telemetry, doctor, shutdown |
//!
//! # The way of a 20 ms frame
//! 1. The [`media`] driver receives a datagram; the session orders it, latches its source, and the
//!    jitter buffer gives one PCM frame per tick. The tap copies it to the recording; DTMF leaves as events.
//! 2. The [`voice`] driver lifts a narrowband frame to 16 kHz and asks the [`engine`] workers (VAD, ASR, turn).
//! 3. [`voice`] turns what they say into effects: ask the LLM, speak, stop speaking, hang up.
//! 4. LLM tokens are cut into clauses, synthesised, brought to the codec's rate and queued in the
//!    session's playout; the pacer sends one packet per tick, silence included. Barge-in empties
//!    everything behind step 3, and the transcript keeps only what was heard.
//!
//! # The way of a call
//! [`api`] parses the request, [`service`] checks it against policy and capacity, [`call`] dials by
//! [`sip`], runs the conversation, and emits [`call::event::CallEvent`]s; the wiring in [`node`] hands
//! them to [`store`], from which polling reads.
//!
//! # The way of a paid call
//! 1. [`api`] parses the body; what is invalid or refused by policy ends here, unpaid.
//! 2. Without a payment the answer is a [`pay::challenge`] that names every way to pay.
//! 3. With one, [`pay::gate`] claims the authorisation for this request alone and has it verified.
//! 4. [`service`] sets the work aside: a line that rings, a number that is held.
//! 5. The gate settles, and the work is handed over with its receipt. What fails before is not charged.
//!
//! # Swapping a model
//! Write one file against a trait of [`engine`] (or an executable that serves it over the engine
//! socket, [`engine::process`]), add one line in [`engine::registry`], name it in the configuration.

pub mod api;
pub mod base;
pub mod call;
pub mod engine;
pub mod eval;
pub mod media;
pub mod models;
pub mod node;
pub mod pay;
pub mod service;
pub mod sip;
pub mod store;
pub mod voice;
