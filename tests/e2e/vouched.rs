//! What a carrier says of a call that comes in, as the API tells it.

use crate::{
    node::{Node, SCRIPTED},
    peers::{Sipp, free_port},
};

/// In the INVITE alone.
const SAID: &str = "Max-Forwards: 70
P-Asserted-Identity: <sip:+14155550111@[local_ip];user=phone>
X-Twilio-VerStat: TN-Validation-Passed-B
Diversion: <sip:+14155550102@[local_ip]>;reason=no-answer;counter=1
Diversion: <sip:+14155550101@[local_ip]>;reason=unconditional;counter=1
Contact";

#[tokio::test(flavor = "multi_thread")]
async fn record_says_what_the_carrier_vouches_for_and_who_was_called_first() {
    let port = free_port();
    let more = format!("[call]\ninbound_persona = \"receptionist\"\n{SCRIPTED}");
    let trunk = [("allow = [", "verification_header = \"X-Twilio-VerStat\", allow = [")];
    let node = Node::changed(([127, 0, 0, 1], port).into(), &more, &trunk).await;
    let said = [("Max-Forwards: 70\nContact", SAID)];
    let peer = Sipp::uac_filled("uac_call", &said, node.sip, port, &[]);
    let id = node.only_call().await["call_id"].as_str().unwrap().to_owned();
    peer.succeeds().await;
    let call = node.finished(&id).await;
    let told = ["direction", "from", "verification", "redirected_from", "status"].map(|key| &call[key]);
    assert_eq!(told, ["inbound", "+14155550111", "passed_b", "+14155550101", "completed"], "{call}");
}
