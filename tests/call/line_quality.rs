//! What a call's record says of its line, with baresip and its reports at the other end.

use std::net::SocketAddr;

use callbox::base::audio::Codec;
use callbox::call::record::{CallPlan, CallQuality, CallStatus, StreamQuality};

use crate::baresip::Baresip;
use crate::lossy_path::{LossyPath, ONE_OF};
use crate::rig::{Rig, Script, plan};

/// In which baresip reports twice.
const SECONDS: u64 = 13;

async fn of_a_call_to(trunk: SocketAddr) -> CallQuality {
    let rig = Rig::start(trunk, Script::new()).await;
    let plan = CallPlan {
        max_duration_secs: SECONDS,
        // Baresip's tone is no reason to fall silent.
        interruption_threshold_ms: Some(60_000),
        ..plan()
    };
    let story = rig.story(rig.place(plan)).await;
    assert_eq!(story.ending().status, CallStatus::Completed);
    rig.is_clean().await;
    let quality = story.quality().expect("an answered call is measured");
    let round_trip = quality.round_trip_ms.expect("baresip says when it got our report");
    assert!((0.0..500.0).contains(&round_trip), "{quality:?}");
    quality
}

fn both_ways(quality: &CallQuality) -> [&StreamQuality; 2] {
    [quality.heard.as_ref().expect("baresip speaks"), quality.sent.as_ref().expect("baresip reports")]
}

#[tokio::test(flavor = "multi_thread")]
async fn record_says_how_a_good_line_was_both_ways() {
    let baresip = Baresip::answering(Codec::Pcmu).await;
    let quality = of_a_call_to(baresip.address).await;
    for stream in both_ways(&quality) {
        assert!(stream.score > 3.8 && stream.loss < 0.03 && stream.jitter_ms < 100.0, "{quality:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn record_says_how_much_a_bad_line_lost_both_ways() {
    let baresip = Baresip::answering(Codec::Pcmu).await;
    let path = LossyPath::to(baresip.address).await;
    let quality = of_a_call_to(path.address).await;
    let lost = 1.0 / ONE_OF as f64;
    for stream in both_ways(&quality) {
        assert!((0.7 * lost..1.4 * lost).contains(&stream.loss), "{quality:?}");
        assert!((2.0..3.8).contains(&stream.score), "{quality:?}");
    }
}
