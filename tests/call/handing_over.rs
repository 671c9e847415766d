//! What the tests of transfers ask about a call.

use callbox::base::CallId;
use callbox::call::event::CallChange;
use callbox::call::record::{CallStatus, EndedBy, TransferStatus};

use crate::baresip::Baresip;
use crate::eventually;
use crate::rig::{Rig, Story};

/// What the agent says when it comes back.
pub const NOT_REACHED: &str =
    "I'm sorry, I could not reach anybody there. Can I help you with anything else?";

/// Waits until a transfer of the call has come so far.
pub async fn told(rig: &Rig, call: CallId, wanted: TransferStatus) {
    let told = |change: &CallChange| matches!(change, CallChange::Transfer { status } if *status == wanted);
    rig.until(call, told).await;
}

/// Waits until the agent has come back and said so; then the client ends the call.
pub async fn comes_back(rig: &Rig, call: CallId) -> Story {
    let says = |change: &CallChange| matches!(change, CallChange::Turn { turn } if turn.text.expose() == NOT_REACHED);
    rig.until(call, says).await;
    assert!(rig.directory.hang_up(call, EndedBy::Client));
    rig.story(call).await
}

pub fn outcome(story: &Story) -> (CallStatus, EndedBy) {
    let ending = story.ending();
    (ending.status, ending.ended_by)
}

/// Waits until a telephone has heard a tone of another's.
pub async fn hears(who: &str, phone: &Baresip, hz: f64) {
    eventually(&format!("the {who} hears {hz} Hz"), || phone.heard(hz) > -22.0).await;
}
