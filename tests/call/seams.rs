//! How our audio reaches baresip, whose decoder and jitter buffer are other people's.

use callbox::base::Pii;
use callbox::base::audio::Codec;
use callbox::call::record::{CallPlan, CallStatus};
use callbox::media::SocketMode;

use crate::baresip::Baresip;
use crate::eventually;
use crate::rig::{Rig, Script, plan};
use crate::tones::share;
use crate::wideband::both_hear;

/// The pitch of the scripted voice.
const VOICE_HZ: f64 = 440.0;
/// A tenth of a second: of a whole tone all of it is the tone, of one with a seam inside it is not.
const WINDOW: usize = 800;

#[tokio::test(flavor = "multi_thread")]
async fn baresip_speaks_a_law() {
    both_hear(Codec::Pcma, 440.0, SocketMode::PerCall).await;
}

/// Windows of speech, and those among them that are not one whole tone.
fn windows(pcm: &[i16]) -> (usize, usize) {
    let loud = |part: &[i16]| part.iter().any(|sample| sample.unsigned_abs() > 4_000);
    let speech = |window: &&[i16]| window.chunks(WINDOW / 10).all(loud);
    let windows: Vec<f64> =
        pcm.windows(WINDOW).step_by(WINDOW / 2).filter(speech).map(|w| share(w, VOICE_HZ, 8_000)).collect();
    (windows.len(), windows.iter().filter(|share| **share < 0.97).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn speech_reaches_baresip_without_a_seam_while_it_is_recorded() {
    let baresip = Baresip::answering(Codec::Pcmu).await;
    let rig = Rig::start(baresip.address, Script::new()).await;
    // The voice comes in pieces of 400 ms, of which each window of many would hold a seam.
    let words = "the quick brown fox jumps over the lazy dog and then it runs on and on through the woods ";
    let first_sentence = Some(Pii::new(words.repeat(2)));
    let call = rig.place(CallPlan {
        first_sentence,
        max_duration_secs: 9,
        // Baresip's own tone is no reason to fall silent.
        interruption_threshold_ms: Some(60_000),
        ..plan()
    });
    let story = rig.story(call).await;
    assert_eq!(story.ending().status, CallStatus::Completed);
    // The header of its dump is written when the call is over.
    eventually("baresip completes its dump", || windows(&baresip.decoded().0).0 > 40).await;
    let (all, broken) = windows(&baresip.decoded().0);
    assert!(broken * 20 <= all, "{broken} of {all} windows have a seam");
    let (recorded, broken) = windows(&rig.recording(&story).channel(1));
    assert!(
        recorded > 40 && broken * 20 <= recorded,
        "{broken} of {recorded} windows of the recording have one"
    );
}
