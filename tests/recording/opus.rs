//! An Opus recording lasts as long as the call, keeps its sides apart, and survives a crash.

use std::{
    fs,
    time::{Duration, Instant},
};

use callbox::media::recording::Recorder;

use crate::{
    FLUSH, alone, decoded, feed, finish,
    sound::{both, loudness},
    tones::{share, tone},
};

const LEFT: f64 = 437.0;
const RIGHT: f64 = 1_100.0;

#[test]
fn opus_recording_is_as_long_as_the_call_with_each_side_in_its_channel() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    for rate in [8_000, 16_000] {
        let samples = rate as usize * 33 / 10 + 77;
        let path = dir.path().join(format!("{rate}.ogg"));
        let recorder = Recorder::start(64, FLUSH).unwrap();
        let mut tap = recorder.begin(path.clone(), rate);
        feed(&mut tap, rate, &both(tone(LEFT, samples, rate), tone(RIGHT, samples, rate)));
        let summary = finish(&recorder, tap);
        assert_eq!(summary.dropped_samples, 0);
        let [left, right] = decoded(&path, rate);
        assert!(left.len().abs_diff(samples) <= 1, "{} of {samples} samples", left.len());
        let whole = rate as usize / 2..rate as usize * 3;
        let (left, right) = (&left[whole.clone()], &right[whole]);
        assert!(share(left, LEFT, rate) > 0.95 && share(right, RIGHT, rate) > 0.95);
        assert!(share(left, RIGHT, rate) < 1e-3 && share(right, LEFT, rate) < 1e-3);
    }
}

#[test]
fn what_one_side_says_leaves_no_trace_on_the_other() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("call.ogg");
    let recorder = Recorder::start(64, FLUSH).unwrap();
    let mut tap = recorder.begin(path.clone(), 8_000);
    feed(&mut tap, 8_000, &both(tone(LEFT, 16_000, 8_000), vec![0; 16_000]));
    finish(&recorder, tap);
    let [left, right] = decoded(&path, 8_000);
    assert!(loudness(&left) > 4_000.0, "{}", loudness(&left));
    assert!(loudness(&right) < 4.0, "{}", loudness(&right));
}

#[test]
fn a_gap_is_silence_on_both_sides_and_what_follows_is_in_its_place() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("call.ogg");
    let recorder = Recorder::start(64, FLUSH).unwrap();
    let mut tap = recorder.begin(path.clone(), 8_000);
    let second = both(tone(LEFT, 8_000, 8_000), tone(RIGHT, 8_000, 8_000));
    for begin in [0, 24_000] {
        for (n, frame) in second.chunks(160).enumerate() {
            let start = begin + n as u64 * 160;
            tap.push(&callbox::media::tap::TapFrame { start, rate: 8_000, stereo: frame.to_vec() });
        }
    }
    assert_eq!(finish(&recorder, tap).duration, Duration::from_secs(4));
    for side in decoded(&path, 8_000) {
        assert!(side.len().abs_diff(32_000) <= 1, "{}", side.len());
        assert!(loudness(&side[10_000..23_500]) < 20.0);
        assert!(loudness(&side[24_500..31_500]) > 4_000.0);
    }
}

/// What a killed process leaves is what was written to the disk: a copy of the growing file is that, too.
#[test]
fn file_of_a_killed_process_can_be_opened() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(64, FLUSH).unwrap();
    let mut tap = recorder.begin(dir.path().join("call.ogg"), 8_000);
    feed(&mut tap, 8_000, &both(tone(LEFT, 40_000, 8_000), tone(RIGHT, 40_000, 8_000)));
    let part = dir.path().join("call.ogg.part");
    let begun = Instant::now();
    let left = loop {
        let copy = dir.path().join("copy.ogg");
        // Until the recorder has begun there is none, and until it has caught up there is less.
        let left = fs::copy(&part, &copy).is_ok_and(|bytes| bytes > 4_000).then(|| decoded(&copy, 8_000));
        match left {
            Some([left, _]) if left.len() >= 39_900 => break left,
            _ => assert!(begun.elapsed() < Duration::from_secs(30), "the file does not grow"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(share(&left[4_000..39_900], LEFT, 8_000) > 0.95);
    finish(&recorder, tap);
}

#[test]
fn a_file_that_is_cut_anywhere_can_be_opened() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("call.ogg");
    let recorder = Recorder::start(64, FLUSH).unwrap();
    let mut tap = recorder.begin(path.clone(), 8_000);
    feed(&mut tap, 8_000, &both(tone(LEFT, 40_000, 8_000), tone(RIGHT, 40_000, 8_000)));
    finish(&recorder, tap);
    let whole = fs::read(&path).unwrap();
    for tenths in [4, 7, 9] {
        let cut = dir.path().join("cut.ogg");
        fs::write(&cut, &whole[..whole.len() * tenths / 10]).unwrap();
        let [left, _] = decoded(&cut, 8_000);
        // The last page may be lost, and pages are of half a second.
        assert!(left.len() + 2 * 4_000 >= 40_000 * tenths / 10, "{tenths} tenths: {}", left.len());
    }
}
