//! Models are changed under live calls.

use std::process::Output;

use crate::{
    alone, eventually,
    node::{Node, turns},
    process,
    sound::Part,
    telephone::Telephone,
};

/// A callee who leaves time for a model to load.
async fn patient() -> Telephone {
    let words = Part::Says("We are open on Friday from nine to five.");
    Telephone::answering(&[Part::Silence(7.0), words, Part::Silence(8.0)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn live_call_keeps_its_model_and_the_next_one_gets_the_new() {
    let _alone = alone().await;
    let telephone = patient().await;
    let node = Node::real(telephone.address).await;
    let old = node.engine("llm");
    let id = node.place().await;
    node.talks(&id).await;

    let output = node.callbox(&["models", "use", "llm", "qwen2.5-coder-0.5b-instruct"]).await;
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(node.engines("llm").len(), 2, "the call's own engine and the new one");
    assert!(node.call(&id).await["completed"] == false, "the call ended before the swap was done");
    let call = node.finished(&id).await;
    assert_eq!(call["status"], "completed", "{call}");
    assert!(turns(&call, "assistant").count() >= 2, "{call}");
    eventually("the old engine ends", || !process::exists(old)).await;

    assert!(process::command_line(node.engine("llm")).contains("qwen2.5-coder-0.5b"));
    let second = node.place_short().await;
    assert_eq!(second["status"], "completed", "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hangup_signal_reads_the_configuration_again() {
    let _alone = alone().await;
    let telephone = patient().await;
    let node = Node::real(telephone.address).await;
    let (old, llm) = (node.engine("asr"), node.engine("llm"));
    let id = node.place().await;
    node.talks(&id).await;

    node.reload_with("whisper-tiny.en", "whisper-base");
    let runs = |name: &str| node.engines("asr").iter().any(|pid| process::command_line(*pid).contains(name));
    eventually("the new model runs", || runs("ggml-base.bin")).await;
    let call = node.finished(&id).await;
    assert_eq!(call["status"], "completed", "{call}");
    assert!(turns(&call, "user").next().is_some(), "{call}");
    eventually("the old engine ends", || !process::exists(old)).await;
    assert_eq!(node.engine("llm"), llm, "an engine that did not change was started again");
}

#[tokio::test(flavor = "multi_thread")]
async fn model_that_cannot_be_used_is_an_error_and_changes_nothing() {
    let _alone = alone().await;
    let node = Node::real(([127, 0, 0, 1], 9).into()).await;
    let before = ["asr", "llm", "tts"].map(|kind| node.engine(kind));
    let table = [
        (["llm", "no-such-model"], "no-such-model"),
        (["llm", "smollm2-135m-instuct"], "smollm2-135m-instruct"),
        (["llm", "qwen3-8b"], "callbox models pull qwen3-8b"),
        (["brain", "smollm2-135m-instruct"], "use one of asr, llm, tts"),
        (["llm", "whisper-tiny.en"], "asr"),
    ];
    for ([kind, name], expected) in table {
        let output = node.callbox(&["models", "use", kind, name]).await;
        assert!(!output.status.success(), "{kind} {name}: {}", text(&output));
        assert!(text(&output).contains(expected), "{kind} {name}: {}", text(&output));
    }
    node.reload_with("smollm2-135m-instruct", "no-such-model");
    eventually("the log says why", || node.log().contains("was not reloaded")).await;
    assert_eq!(["asr", "llm", "tts"].map(|kind| node.engine(kind)), before);
    node.is_well().await;
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}
