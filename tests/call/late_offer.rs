//! A caller without an offer: its answer, in the ACK, says what is spoken.

use callbox::base::audio::Codec;
use callbox::call::record::{CallStatus, EndedBy};
use callbox::media::codec::g711;

use crate::eventually;
use crate::far_end::FarEnd;
use crate::handing_over::outcome;
use crate::peers::{Sipp, free_port};
use crate::rig::{Rig, Script};
use crate::tones::share;

/// Tenths of a second that are a tone of `hz` and little else.
fn tenths_of(hz: f64, pcm: &[i16]) -> usize {
    let loud = |part: &&[i16]| part.iter().any(|sample| sample.unsigned_abs() > 1_500);
    pcm.chunks_exact(800).filter(loud).filter(|part| share(part, hz, 8_000) > 0.9).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_in_the_ack_is_spoken_and_heard() {
    let (far, port) = (FarEnd::new().await, free_port());
    let rig = Rig::start(([127, 0, 0, 1], port).into(), Script::new()).await;
    // We would rather speak μ-law.
    let offered = "m=audio [auto_media_port] RTP/AVP 0 101\na=rtpmap:0 PCMU/8000";
    let answered = format!("m=audio {} RTP/AVP 8 101\na=rtpmap:8 PCMA/8000", far.port());
    let filled = [(offered, &*answered), ("milliseconds=\"200\"", "milliseconds=\"7000\"")];
    let peer = Sipp::uac_filled("uac_late", &filled, rig.sip.local_address(), port, &[]);
    let ours = far.hears(1).await.from;
    let voice = || far.heard().into_iter().map(|byte| g711::ALAW[usize::from(byte)]).collect::<Vec<i16>>();
    eventually("the caller hears the agent", || tenths_of(440.0, &voice()) >= 5).await;
    far.speaks_in(Codec::Pcma, ours);
    let story = rig.next_story().await;
    peer.succeeds().await;
    assert_eq!(outcome(&story), (CallStatus::Completed, EndedBy::Caller));
    assert!(far.came().iter().all(|came| came.header.payload_type == 8), "we speak what was not agreed on");
    let heard = tenths_of(700.0, &rig.recording(&story).channel(0));
    assert!(heard >= 5, "{heard} tenths of a second of the caller's tone are heard");
    rig.is_clean().await;
}
