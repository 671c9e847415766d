//! Use cases without transport: place a call, transfer it, read a call, watch a call, lease a number, look a number up,
//! who may be called.
//!
//! In come raw requests, as an API received them; out go a [`CallPlan`](crate::call::record::CallPlan)
//! for the directory of live calls, records from the store, or errors that name the field and the fix.
//! What the node must provide for this are the [`ports`].

pub mod caller_id;
pub mod field;
pub mod gate;
pub mod lease_number;
pub mod look_up;
pub mod nearest;
pub mod number_file;
pub mod opt_out;
pub mod place_call;
pub mod policy;
pub mod ports;
pub mod read_call;
pub mod request;
pub mod transfer_call;
pub mod watch_call;

pub use caller_id::CallerIdFailure;
pub use field::{FieldError, Verdict};
pub use gate::Gate;
pub use lease_number::{BuyFailure, BuyFields, BuyRequest, LeaseNumber, RenewFailure, ReserveFailure};
pub use look_up::{LookUp, LookUpFailure};
pub use place_call::{PlaceCall, PlaceFailure};
pub use policy::Policy;
pub use ports::{
    Admin, AdminError, CallerIds, Calls, HangUpError, Health, NoLeases, Part, PlaceError, Voices,
};
pub use read_call::ReadCall;
pub use request::{CallRequest, Caller};
pub use transfer_call::TransferCall;
pub use watch_call::{Update, WatchCall};
