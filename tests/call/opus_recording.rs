//! A call recorded as Opus: who was heard is in the channel of that side.

use std::process::Command;

use callbox::call::record::Speaker;

use crate::callee::{Callee, Manner};
use crate::peers::traces;
use crate::rig::{Recording, Rig, Script, plan};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_recorded_as_opus() {
    let callee = Callee::start(Manner::answering().speaks_after_silence(1)).await;
    let script =
        Script::new().hears(["Good morning."]).hangs_up_with("Thank you, goodbye.").recorded_as_opus();
    let rig = Rig::start(callee.trunk(), script).await;
    let story = rig.story(rig.place(plan())).await;
    assert_eq!(story.said(Speaker::Caller), ["Good morning."]);
    let file = rig.recording_file(&story);
    assert!(file.extension().is_some_and(|extension| extension == "ogg"), "{file:?}");
    let wav = traces::folder("opusdec").join("decoded.wav");
    let decoded = Command::new("opusdec").args(["--quiet", "--rate", "8000"]).arg(&file).arg(&wav).status();
    assert!(decoded.expect("opusdec starts: install the package `opus-tools`").success());
    let recording = Recording::read(&wav);
    let length = story.ending().length_secs.unwrap();
    assert!((recording.seconds - length).abs() < 1.5, "{} s of {length} s are recorded", recording.seconds);
    assert!(recording.loud_share(0) > 0.02, "the callee is on the left");
    assert!(recording.loud_share(1) > 0.10, "the agent is on the right");
    assert!(!file.with_extension("ogg.part").exists());
    rig.is_clean().await;
}
