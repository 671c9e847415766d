//! Engines in executables of their own: started, watched and spoken to over a Unix socket.
//!
//! # The protocol
//! The engine's standard input is one end of a connected Unix stream socket, used in both directions.
//! Each message is
//!
//! ```text
//! u32 LE  length of the header
//!         header: a JSON object, UTF-8
//! u32 LE  length of the payload
//!         payload: mono signed 16-bit little-endian samples, or nothing
//! ```
//!
//! The parent asks, the engine answers, one at a time. A request's header is
//! `{"call": NAME, …}`, one name per method of the engine's trait; the answer's header is `{"ok": VALUE}`
//! or `{"error": {"kind": "start" | "request", "detail": TEXT}}`. The first request is
//! `{"call": "hello", "protocol": 1, "kind": "asr" | "llm" | "tts"}`; its answer, given once the model is
//! loaded, is `{"ok": {"protocol": 1, "kind": …, "name": TEXT, "voices": [{"name", "language"}]}}`
//! (`voices` for `tts` alone). At the end of the stream the engine exits.
//!
//! | kind | request | payload | `ok` |
//! |---|---|---|---|
//! | asr | `start` `stream` `hint: {language, vocabulary}` | | `null` |
//! | asr | `push` `stream` | 16 kHz audio | `null` |
//! | asr | `partial` `stream`; `finish` `stream` | | `{"text", "samples"}` |
//! | asr | `cancel` `stream` | | `null` |
//! | llm | `warm` `stream` `messages: [{role, content}]` `tools` | | `{"warming": BOOL}` |
//! | llm | `start` `stream` `request: {messages, tools, max_tokens, temperature}` | | `null` |
//! | llm | `step` | | `{"deltas": [[stream, DELTA]], "warming": BOOL}` |
//! | llm | `cancel` `stream`; `forget` `stream` | | `null` |
//! | tts | `start` `stream` `request: {text, voice, speed}` | | `null` |
//! | tts | `next` `stream` | | `{"rate": HZ}` and audio as payload, or `null` at the end |
//! | tts | `cancel` `stream` | | `null` |
//!
//! `DELTA` is `{"type": "text", "text"}`, `{"type": "tool_call", "name", "arguments"}`,
//! `{"type": "done", "usage": {prompt_tokens, reused_tokens, generated_tokens}}` or
//! `{"type": "failed", "detail"}`. What an engine writes to standard error becomes log lines of the
//! parent: no transcripts there. In Python an engine begins with `socket.socket(fileno=0)`.

mod child;
pub mod message;
mod serve;
mod wire;

#[cfg(test)]
mod tests;

pub use child::{EngineProcess, Program, Timeouts};
pub use serve::{serve_asr, serve_llm, serve_tts};
pub use wire::WireError;
