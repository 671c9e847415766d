//! Chat models.

pub mod openai;
pub mod remote;
pub mod scripted;
pub mod tool_call;

pub use remote::RemoteLlm;
pub use scripted::ScriptedLlm;
