//! Words every floor shares: ids, numbers, money, wallets, personal data, audio units, keys of calls,
//! blame. No I/O.

pub mod audio;
pub mod e164;
pub mod fault;
pub mod id;
pub mod money;
pub mod pii;
pub mod srtp;
pub mod terms;
pub mod wallet;
pub mod words;

pub use e164::E164;
pub use fault::Fault;
pub use id::{CallId, ClaimId, LookupId};
pub use money::Usd;
pub use pii::Pii;
pub use wallet::Wallet;
