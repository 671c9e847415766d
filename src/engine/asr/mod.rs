//! Speech recognition engines.

pub mod openai;
pub mod remote;
pub mod scripted;

pub use remote::RemoteAsr;
pub use scripted::ScriptedAsr;
