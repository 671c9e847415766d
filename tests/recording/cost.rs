//! What recordings cost, and what happens when there are more than a core can encode.

use std::{fs, path::Path, time::Duration};

use callbox::media::recording::{Recorder, RecordingSummary};
use tokio::sync::oneshot;

use crate::{
    FLUSH, alone, decoded, feed,
    sound::{both, conversation, loudness},
    tones::tone,
};

const CALLS: usize = 20;
const SECONDS: usize = 10;
/// Blocks of half a second.
const BLOCKS: usize = CALLS * SECONDS * 2;

/// The processor time that the recorder's thread has had.
fn spent() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let named = |task: &std::path::PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "media-recorder")
    };
    let recorder = tasks.filter(named).last().expect("the recorder has a thread");
    let nanos = fs::read_to_string(recorder.join("schedstat")).unwrap();
    Duration::from_nanos(nanos.split(' ').next().unwrap().parse().unwrap())
}

/// Records calls that all come at once, and gives the share of a core that one of them takes.
fn record(folder: &Path, extension: &str, queue: usize, audio: &[[i16; 2]]) -> (f64, Vec<RecordingSummary>) {
    let recorder = Recorder::start(queue, FLUSH).unwrap();
    let files = (0..CALLS).map(|n| folder.join(format!("{n}.{extension}")));
    let taps: Vec<_> = files
        .map(|file| {
            let mut tap = recorder.begin(file, 8_000);
            feed(&mut tap, 8_000, audio);
            tap
        })
        .collect();
    let finishing = taps.into_iter().map(|tap| {
        let (reply, summary) = oneshot::channel();
        recorder.finish(tap, Some(reply));
        summary
    });
    let finishing: Vec<_> = finishing.collect();
    let summaries = finishing.into_iter().map(|summary| summary.blocking_recv().unwrap().unwrap()).collect();
    (spent().as_secs_f64() / (CALLS * SECONDS) as f64, summaries)
}

#[test]
fn opus_costs_little_of_a_core_and_less_when_it_is_behind() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let audio = conversation(SECONDS * 8_000);
    let (wav, _) = record(dir.path(), "wav", BLOCKS * 16, &audio);
    let (calm, whole) = record(dir.path(), "ogg", BLOCKS * 16, &audio);
    let (hurried, hurried_whole) = record(dir.path(), "ogg", BLOCKS * 2, &audio);
    println!(
        "share of a core that a recorded call takes: WAV {:.3} %, Opus {:.3} %, Opus behind {:.3} %",
        wav * 100.0,
        calm * 100.0,
        hurried * 100.0
    );
    for summary in whole.iter().chain(&hurried_whole) {
        assert_eq!(summary.dropped_samples, 0);
        assert_eq!(summary.duration, Duration::from_secs(SECONDS as u64));
    }
    assert!(hurried < calm * 0.8, "{hurried} and {calm}");
}

#[test]
fn what_is_more_than_the_queue_holds_is_dropped_counted_and_silent() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let samples = SECONDS * 8_000;
    let audio = both(tone(440.0, samples, 8_000), tone(700.0, samples, 8_000));
    let (_, summaries) = record(dir.path(), "ogg", BLOCKS / 20, &audio);
    let dropped: Duration = summaries.iter().map(RecordingSummary::dropped).sum();
    let kept: Duration = summaries.iter().map(|summary| summary.duration).sum();
    assert!(dropped > Duration::from_secs(1) && kept > Duration::from_secs(1), "{dropped:?} of {kept:?}");
    for summary in summaries {
        let whole = Duration::from_secs(SECONDS as u64);
        // A recording begins and ends with a block that was kept.
        let outside = whole.checked_sub(summary.duration).expect("no recording is longer than its call");
        assert_eq!(outside + silence_of(&summary), summary.dropped(), "{summary:?}");
    }
}

/// How much of a recording is silent on both sides, in whole blocks; the others sound on both.
fn silence_of(summary: &RecordingSummary) -> Duration {
    if summary.duration.is_zero() {
        return Duration::ZERO;
    }
    let [left, right] = decoded(&summary.path, 8_000);
    let held = Duration::from_secs_f64(left.len() as f64 / 8_000.0);
    assert!(held.abs_diff(summary.duration) <= Duration::from_millis(20), "{held:?} {summary:?}");
    // Away from the edges, where the codec fades.
    let sounds = |side: &[i16]| loudness(&side[800..3_200]) > 1_000.0;
    let blocks = left.chunks(4_000).zip(right.chunks(4_000)).filter(|(left, _)| left.len() > 3_200);
    let silent = blocks.filter(|(left, right)| {
        assert_eq!(sounds(left), sounds(right), "{summary:?}");
        !sounds(left)
    });
    Duration::from_millis(500) * silent.count() as u32
}
