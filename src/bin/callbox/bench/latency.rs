//! The latency section: the demonstration's call several times over, and one in which the callee does not
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

pub async fn run(mut config: NodeConfig, sources: Sources, calls: usize) -> anyhow::Result<Value> {
    config.log.level = "error".into();
    let mut stage = Stage::set(config, sources, |_| {}).await?;
    let models = &stage.models;
    println!("{}, {}, {}", models.asr.model, models.llm.model, models.tts.model);
    let (mut all, mut effort) = (Vec::new(), Map::new());
    for _ in 0..calls {
        let finished = stage.call(false).await?;
        all.extend(answers(&finished));
        for (engine, factor) in &finished.effort {
            if let Some(list) = effort.entry(*engine).or_insert_with(|| json!([])).as_array_mut() {
                list.push(json!(factor));
            }
        }
    }
    // Early in the agent's first sentence, so that what ends it is not its own end.
    let barge_in_after = Duration::from_millis(700);
    stage.set_pace(turns::Config { barge_in: Some(0), barge_in_after, ..manners() });
    let interrupted = stage.call(false).await?;
    let yields: Vec<f64> = interrupted.report.yields().into_iter().map(milliseconds).collect();
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
    match yields.first() {
        Some(ms) => println!("interrupted, the agent is silent to the far end after {ms:.0} ms"),
        None => println!("the interrupting call found the agent silent: no figure"),
    }
    Ok(json!({ "parts": figures, "interruption_ms": yields, "real_time_factors": effort }))
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
