//! The wer section: sentences spoken by other voices than the agent's, over a telephone line, to every
//! recogniser that is installed.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::ensure;
use callbox::base::audio::{WIDEBAND_HZ, duration_of};
use callbox::engine::SpeechHint;
use callbox::engine::worker::AsrHandle;
use callbox::eval::figures::table;
use callbox::eval::sentences::SENTENCES;
use callbox::eval::telephone::{over_the_line, speak};
use callbox::eval::wer::{Errors, Judged, judge};
use callbox::models::{self, Kind};
use callbox::node::NodeConfig;
use serde_json::{Value, json};

use super::row;
use crate::phone::EngineShelf;

/// Sentences shown that were recognised worst.
const WORST: usize = 5;

struct Clip {
    voice: String,
    text: &'static str,
    /// 16 kHz.
    pcm: Vec<i16>,
}

pub async fn run(config: &NodeConfig, voices: &[String]) -> anyhow::Result<Value> {
    let shelf = EngineShelf::open(config)?;
    let recognisers = recognisers(config, shelf.asr_model())?;
    let owned = voices.to_vec();
    let clips = tokio::task::spawn_blocking(move || clips(&owned)).await??;
    println!(
        "{} sentences by flite's voices {}, 8 kHz μ-law; synthetic voices have neither noise nor accent, and faults \
         of their own: compare recognisers by this, not with figures taken from people",
        SENTENCES.len(),
        voices.join(", ")
    );
    let mut rows = vec![row!["model", "voice", "WER %", "sub", "del", "ins", "words", "CER %", "RTF"]];
    let (mut figures, mut worst) = (Vec::new(), String::new());
    for model in recognisers {
        let asr = shelf.asr_of(&model).await?;
        for voice in voices {
            let mine: Vec<&Clip> = clips.iter().filter(|clip| clip.voice == *voice).collect();
            let (judged, rtf) = recognise(&asr, &mine).await?;
            let (words, characters) = (sum(&judged, |j| j.words), sum(&judged, |j| j.characters));
            rows.push(row![
                model,
                voice,
                percent(words),
                words.substitutions,
                words.deletions,
                words.insertions,
                words.of,
                percent(characters),
                format!("{rtf:.2}"),
            ]);
            worst += &worst_of(&model, voice, &judged);
            figures.push(json!({
                "model": model, "voice": voice, "words": words, "wer": words.rate(),
                "cer": characters.rate(), "rtf": rtf, "sentences": judged,
            }));
        }
    }
    print!("{}\n{worst}", table(&rows));
    Ok(json!({ "recognisers": figures }))
}

/// The configured recogniser first, then every other that is installed.
fn recognisers(config: &NodeConfig, own: &str) -> anyhow::Result<Vec<String>> {
    let store = models::Store::open(&config.models)?;
    let others = store.installed().filter(|model| model.kind == Kind::Asr && model.name != own);
    Ok([own.to_owned()].into_iter().chain(others.map(|model| model.name.clone())).collect())
}

fn clips(voices: &[String]) -> anyhow::Result<Vec<Clip>> {
    let scratch = Scratch::make()?;
    let mut clips = Vec::new();
    for voice in voices {
        for text in SENTENCES {
            let (pcm, rate) = speak(voice, text, &scratch.0)?;
            ensure!(!pcm.is_empty(), "flite says nothing with voice `{voice}`; `flite -lv` lists its voices");
            clips.push(Clip { voice: voice.clone(), text, pcm: over_the_line(&pcm, rate)? });
        }
    }
    Ok(clips)
}

/// Also gives the time it took for each second of speech.
async fn recognise(asr: &AsrHandle, clips: &[&Clip]) -> anyhow::Result<(Vec<Judged>, f64)> {
    let (mut judged, mut computed, mut samples) = (Vec::new(), 0.0, 0);
    let stream = asr.stream(SpeechHint { language: Some("en".into()), vocabulary: Vec::new() });
    for clip in clips {
        let begun = Instant::now();
        stream.push(&clip.pcm)?;
        let heard = stream.finish().await?;
        computed += begun.elapsed().as_secs_f64();
        samples += clip.pcm.len() as u64;
        judged.push(judge(clip.text, &heard.value.text));
    }
    Ok((judged, computed / duration_of(samples, WIDEBAND_HZ).as_secs_f64()))
}

fn sum(judged: &[Judged], of: fn(&Judged) -> Errors) -> Errors {
    judged.iter().map(of).sum()
}

fn percent(errors: Errors) -> String {
    format!("{:.1}", errors.rate() * 100.0)
}

fn worst_of(model: &str, voice: &str, judged: &[Judged]) -> String {
    let mut wrong: Vec<&Judged> = judged.iter().filter(|judged| judged.words.rate() > 0.0).collect();
    wrong.sort_by(|a, b| b.words.rate().total_cmp(&a.words.rate()));
    let line = |judged: &&Judged| {
        let Judged { said, recognised, words, .. } = judged;
        format!("  {:>3.0} %  said  {said}\n         heard {recognised}\n", words.rate() * 100.0)
    };
    let lines: String = wrong.iter().take(WORST).map(line).collect();
    format!(
        "{model}, {voice}: {} of {} sentences without an error\n{lines}",
        judged.len() - wrong.len(),
        judged.len()
    )
}

/// A folder that goes when this does.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> std::io::Result<Self> {
        let dir = std::env::temp_dir().join(format!(
            "callbox-bench-{}-{:08x}",
            std::process::id(),
            rand::random::<u32>()
        ));
        std::fs::create_dir(&dir)?;
        Ok(Scratch(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The system clears its folder of temporary files in the end.
        let _ = std::fs::remove_dir_all(Path::new(&self.0));
    }
}
