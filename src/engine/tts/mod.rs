//! Voices.

pub mod openai;
pub mod remote;
pub mod scripted;

pub use remote::RemoteTts;
pub use scripted::ScriptedTts;
