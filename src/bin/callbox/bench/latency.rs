//! The latency section: the demonstration's call several times over, and some in which the callee does not
//! let the agent finish.

use std::time::Duration;

use callbox::call::record::LatencySplit;
use callbox::eval::figures::{Spread, table};
use callbox::eval::phone::turns;
use callbox::node::NodeConfig;
use callbox::node::call_metrics::parts;
use callbox::node::config::Sources;
use serde_json::{Map, Value, json};

use super::row;
use crate::demo::{Answer, answers};
use crate::phone::milliseconds;
use crate::stage::{Stage, manners};

/// Calls that are interrupted.
const INTERRUPTED: usize = 3;
/// An agent that says this is not done when it is interrupted.
const LONG_SENTENCE: &str = "I am calling on behalf of Anna Miller to make an appointment for a check-up \
on Saturday morning at ten o'clock or at any later time before noon that you may still have free in your \
calendar for a patient who has not been there before";
/// Longer than the disclosure, which nobody can interrupt, and inside the sentence, whether or not the
/// phone hears a pause between the two.
const INTO_THE_SENTENCE: Duration = Duration::from_millis(4_000);
/// An interrupted call need not be finished.
const LONG_ENOUGH: Duration = Duration::from_secs(14);

pub async fn run(mut config: NodeConfig, sources: Sources, calls: usize) -> anyhow::Result<Value> {
    config.log.level = "error".into();
    let mut stage = Stage::set(config, sources, None, |_| {}).await?;
    let models = &stage.models;
    println!("{}, {}, {}", models.asr.model, models.llm.model, models.tts.model);
    let (mut all, mut effort) = (Vec::new(), Map::new());
    for _ in 0..calls {
        let finished = stage.call(&stage.request(), false).await?;
        all.extend(answers(&finished));
        for (engine, factor) in &finished.effort {
            if let Some(list) = effort.entry(*engine).or_insert_with(|| json!([])).as_array_mut() {
                list.push(json!(factor));
            }
        }
    }
    let yields = interruptions(&mut stage).await?;
    stage.strike().await?;
    let figures = split(&all);
    println!(
        "{} answers in {calls} calls; the node's parts follow one another, the last row is what the far end waits for any voice, a filler's too, both jitter buffers included",
        all.len()
    );
    for (engine, factors) in &effort {
        let spread = Spread::of(factors.as_array().into_iter().flatten().filter_map(Value::as_f64));
        println!("real time factor of {engine}: {:.2}", spread.map_or(f64::NAN, |spread| spread.p50));
    }
    match Spread::of(yields.iter().copied()) {
        Some(spread) => println!("ms from the far end's interrupting word until it hears no agent: {spread}"),
        None => println!("no interruption found the agent speaking: no figure"),
    }
    Ok(json!({ "parts": figures, "interruption_ms": yields, "real_time_factors": effort }))
}

/// How long the agent's voice went on into each interruption, as the far end hears it, in milliseconds.
async fn interruptions(stage: &mut Stage) -> anyhow::Result<Vec<f64>> {
    stage.set_pace(turns::Config {
        barge_in: Some(0),
        barge_in_after: INTO_THE_SENTENCE,
        hang_up_at: Some(LONG_ENOUGH),
        ..manners()
    });
    let mut request = stage.request();
    request["first_sentence"] = LONG_SENTENCE.into();
    request["record"] = false.into();
    let mut yields = Vec::new();
    for _ in 0..INTERRUPTED {
        let report = stage.call(&request, false).await?.report;
        yields.extend(report.yields().first().copied().map(milliseconds));
    }
    Ok(yields)
}

/// Prints the table and gives its figures by name.
fn split(answers: &[Answer]) -> Map<String, Value> {
    let names = parts(&LatencySplit::default()).map(|(name, _)| name);
    let part = |index: usize| Spread::of(answers.iter().map(|answer| parts(&answer.split)[index].1 as f64));
    let external = Spread::of(answers.iter().filter_map(|answer| answer.external_ms));
    let spreads = names.iter().enumerate().map(|(index, name)| (*name, part(index)));
    let mut rows = vec![row!["latency (ms)", "p50", "p95", "max", "n"]];
    let mut figures = Map::new();
    for (name, spread) in spreads.chain([("heard by the phone", external)]) {
        let Some(Spread { count, p50, p95, max, .. }) = spread else { continue };
        rows.push(row![name, format!("{p50:.0}"), format!("{p95:.0}"), format!("{max:.0}"), count]);
        figures.insert(name.to_owned(), json!(spread));
    }
    print!("{}", table(&rows));
    figures
}
