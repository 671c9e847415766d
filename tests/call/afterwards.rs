//! What there is of a call when it is over: its recording and its last words.

use std::time::{Duration, Instant};

use callbox::call::event::CallChange;
use callbox::call::record::{CallStatus, EndedBy, Speaker};

use crate::far_end::FarEnd;
use crate::peers::Sipp;
use crate::rig::{Rig, Script, Story, plan};
use crate::tones::share;

/// An announcement of 700 Hz is played until `scenario` ends the call.
async fn announced(scenario: &str, words: &[(&str, &str)]) -> Story {
    let far = FarEnd::new().await;
    let port = far.port();
    let words = [&[("@EARLY@", port.as_str())], words].concat();
    let peer = Sipp::uas_filled(scenario, &words, 1, &[]).await;
    let rig = Rig::start(peer.address, Script::new()).await;
    let call = rig.place(plan());
    far.speaks(far.hears(1).await.from);
    let story = rig.story(call).await;
    peer.succeeds().await;
    let heard = rig.recording(&story).channel(0);
    let clearest = heard.chunks_exact(800).map(|part| share(part, 700.0, 8_000)).fold(0.0, f64::max);
    assert!(clearest > 0.9, "{clearest} of what is recorded is the announcement");
    rig.is_clean().await;
    story
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_before_a_refusal_is_on_the_record() {
    let story = announced("uas_early_refused", &[("@STATUS@", "486 Busy Here")]).await;
    assert_eq!(story.ending().status, CallStatus::Busy);
    assert!(story.turns().is_empty() && story.quality().is_none(), "nobody answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_before_an_unusable_answer_is_on_the_record() {
    let no_audio = ("m=audio @PORT@ RTP/AVP 8 101", "m=video 9 RTP/AVP 31");
    let story = announced("uas_early_moves", &[no_audio]).await;
    assert_eq!(story.ending().status, CallStatus::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_is_silent_while_the_last_words_are_transcribed() {
    let far = FarEnd::new().await;
    let slow = Duration::from_millis(2_500);
    let words = [
        ("[auto_media_port]", far.port()),
        ("<pause milliseconds=\"100\"/>", "<pause milliseconds=\"3000\"/>".into()),
    ];
    let words = words.each_ref().map(|(name, value)| (*name, value.as_str()));
    let peer = Sipp::uas_filled("uas_bye", &words, 1, &[]).await;
    let script = Script::new().hears(["Just a moment, I'll"]).hears_slowly(slow);
    let rig = Rig::start(peer.address, script).await;
    let call = rig.place(plan());
    far.speaks(far.hears(1).await.from);
    rig.until(call, |change| matches!(change, CallChange::Ended(_))).await;
    let quiet = Instant::now() - far.came().last().unwrap().at;
    // The recogniser has been at work for `slow` since the far end hung up.
    assert!(quiet > slow / 2, "the last packet came {quiet:?} before the end was told");
    let story = rig.story(call).await;
    peer.succeeds().await;
    assert_eq!(story.ending().ended_by, EndedBy::Callee);
    assert_eq!(story.said(Speaker::Caller), ["Just a moment, I'll"]);
    let (recorded, length) = (rig.recording(&story).seconds, story.ending().length_secs.unwrap());
    assert!(recorded < length + slow.as_secs_f64() / 2.0, "{recorded} s of {length} s are recorded");
    rig.is_clean().await;
}
