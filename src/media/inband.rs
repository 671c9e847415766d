//! DTMF as sound (ITU-T Q.23, Q.24), for lines on which telephone events were not agreed on.
//!
//! In: frames of 20 ms, and digits to send. Out: digits heard, and the two sines of a digit. Heard is what
//! stands for 40 ms: one tone of each group, loud enough and neither much louder than the other, alone in
//! its group, and together nearly all the sound there is. Speech has tones like these; it does not leave
//! them alone for so long.

use std::{f32::consts::TAU, time::Duration};

use super::{dtmf::Digit, jitter::FRAME_SAMPLES, resample::Resampler};
use crate::base::audio::{NARROWBAND_HZ, WIDEBAND_HZ, rate_of_frame};

const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
/// By row and column.
const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// A block is a frame long, and one begins every half of it.
const BLOCK: usize = FRAME_SAMPLES;
const HOP: usize = BLOCK / 2;
const HOP_LENGTH: Duration = Duration::from_millis(10);
/// Root mean square of the quietest tone that is taken: -33 dBm0.
const QUIETEST: f32 = 500.0;
/// The high tone may be 6 dB above the low one, or 10 dB below, as power.
const TWIST: std::ops::RangeInclusive<f32> = 0.1..=4.0;
/// A tone is so much stronger than the others of its group: 9 dB.
const ALONE: f32 = 8.0;
/// The share of all power that is in the two tones.
const PURE: f32 = 0.7;
/// Where a tone is looked for around its frequency, which may be off by 1.5 %.
const TUNINGS: [f32; 3] = [0.99, 1.0, 1.01];
/// Blocks that agree make a digit: they span 40 ms. So many that do not end it.
const ENOUGH: u32 = 3;
const MAY_MISS: u32 = 2;

/// Hears digits in one stream.
pub struct ToneReceiver {
    /// Of a wideband line, down to 8 kHz.
    lower: Option<Resampler>,
    pending: Vec<i16>,
    run: Option<Run>,
}

struct Run {
    digit: char,
    blocks: u32,
    missed: u32,
}

impl Default for ToneReceiver {
    fn default() -> Self {
        ToneReceiver { lower: None, pending: Vec::with_capacity(2 * BLOCK), run: None }
    }
}

impl ToneReceiver {
    /// Takes the next frame at 8 or 16 kHz; gives the digit that has ended.
    pub fn hear(&mut self, pcm: &[i16]) -> Option<Digit> {
        if rate_of_frame(pcm.len()) == WIDEBAND_HZ {
            if self.lower.is_none() {
                self.lower = Resampler::new(WIDEBAND_HZ, NARROWBAND_HZ).ok();
            }
            if let Some(lower) = &mut self.lower {
                lower.process(pcm, &mut self.pending);
            }
        } else {
            self.pending.extend_from_slice(pcm);
        }
        let mut ended = None;
        while self.pending.len() >= BLOCK {
            let heard = digit_of(&self.pending[..BLOCK]);
            self.pending.drain(..HOP);
            ended = self.follow(heard).or(ended);
        }
        ended
    }

    fn follow(&mut self, heard: Option<char>) -> Option<Digit> {
        match &mut self.run {
            Some(run) if heard == Some(run.digit) => {
                run.blocks += 1 + std::mem::take(&mut run.missed);
                None
            }
            Some(run) if heard.is_none() && run.missed + 1 < MAY_MISS => {
                run.missed += 1;
                None
            }
            run => {
                let begun = heard.map(|digit| Run { digit, blocks: 1, missed: 0 });
                let ended = std::mem::replace(run, begun)?;
                // The first block reaches a hop further than the others.
                let duration = HOP_LENGTH * (ended.blocks + 1);
                (ended.blocks >= ENOUGH).then_some(Digit { digit: ended.digit, duration })
            }
        }
    }
}

/// The digit whose tones a block consists of.
fn digit_of(block: &[i16]) -> Option<char> {
    let total: f32 = block.iter().map(|&s| f32::from(s) * f32::from(s)).sum::<f32>() / block.len() as f32;
    if total < QUIETEST * QUIETEST {
        return None;
    }
    let (row, column) = (strongest(block, &ROWS)?, strongest(block, &COLUMNS)?);
    let tuned = |hz: f32| TUNINGS.map(|tuning| power(block, hz * tuning)).into_iter().fold(0.0, f32::max);
    let (low, high) = (tuned(ROWS[row]), tuned(COLUMNS[column]));
    let fits =
        TWIST.contains(&(high / low)) && low.min(high) > QUIETEST * QUIETEST && low + high > PURE * total;
    fits.then_some(KEYS[row][column])
}

/// The tone that stands out of its group.
fn strongest(block: &[i16], group: &[f32; 4]) -> Option<usize> {
    let powers = group.map(|hz| power(block, hz));
    let (best, &power) = powers.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let alone = powers.iter().enumerate().all(|(n, other)| n == best || power > ALONE * other);
    alone.then_some(best)
}

/// Power of the block at one frequency (Goertzel): half the square of the sine's amplitude.
fn power(block: &[i16], hz: f32) -> f32 {
    let coefficient = 2.0 * (TAU * hz / NARROWBAND_HZ as f32).cos();
    let (mut last, mut before) = (0.0f32, 0.0f32);
    for &sample in block {
        let next = f32::from(sample) + coefficient * last - before;
        (before, last) = (last, next);
    }
    let magnitude = last * last + before * before - coefficient * last * before;
    2.0 * magnitude / (block.len() * block.len()) as f32
}

/// Amplitude of each sine that is sent: -10 dBm0.
const AMPLITUDE: f32 = 7_050.0;

/// The sines of a digit under way.
#[derive(Default)]
pub struct ToneSender {
    /// Samples of the digit that were sent.
    sent: u32,
}

impl ToneSender {
    /// The next digit begins.
    pub fn begin(&mut self) {
        self.sent = 0;
    }

    /// Fills a frame at `rate` Hz with the tones of the digit with this event code.
    pub fn fill(&mut self, code: u8, rate: u32, out: &mut [i16]) {
        let Some((low, high)) = tones(code) else { return };
        for sample in out {
            let sine = |hz: f32| (TAU * hz * self.sent as f32 / rate as f32).sin();
            *sample = (AMPLITUDE * (sine(low) + sine(high))) as i16;
            self.sent += 1;
        }
    }
}

fn tones(code: u8) -> Option<(f32, f32)> {
    let digit = super::dtmf::digit_of(code)?;
    let row = KEYS.iter().position(|row| row.contains(&digit))?;
    let column = KEYS[row].iter().position(|key| *key == digit)?;
    Some((ROWS[row], COLUMNS[column]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::audio::Codec, media::codec};

    /// `digits`, each for `tone` ms and `gap` ms of silence after it, detuned by `factor`.
    fn dialled(digits: &str, tone: usize, gap: usize, factor: f32, gains: (f32, f32), rate: u32) -> Vec<i16> {
        let mut pcm = vec![0; rate as usize / 10];
        for digit in digits.chars() {
            let row = KEYS.iter().position(|row| row.contains(&digit)).unwrap();
            let column = KEYS[row].iter().position(|key| *key == digit).unwrap();
            let (low, high) = (ROWS[row] * factor, COLUMNS[column] * factor);
            let sine = |hz: f32, n: usize| (TAU * hz * n as f32 / rate as f32).sin();
            let at = |n: usize| (gains.0 * sine(low, n) + gains.1 * sine(high, n)) as i16;
            pcm.extend((0..tone * rate as usize / 1_000).map(at));
            pcm.extend(vec![0; gap * rate as usize / 1_000]);
        }
        pcm.extend(vec![0; rate as usize / 10]);
        pcm
    }

    fn heard(pcm: &[i16], rate: u32) -> String {
        let mut receiver = ToneReceiver::default();
        let frames = pcm.chunks_exact(rate as usize / 50);
        frames.filter_map(|frame| receiver.hear(frame)).map(|digit| digit.digit).collect()
    }

    const ALL: &str = "1234567890*#ABCD55";

    #[test]
    fn digits_of_every_level_and_length_are_heard_through_every_codec() {
        for codec in Codec::ALL {
            let rate = codec.sample_rate();
            for (tone, gap, gain) in [(50, 50, 7_000.0), (100, 100, 1_500.0), (80, 80, 12_000.0)] {
                let pcm = dialled(ALL, tone, gap, 1.0, (gain, gain), rate);
                assert_eq!(heard(&codec::through(codec, &pcm), rate), ALL, "{codec:?} {tone} ms {gain}");
            }
        }
    }

    #[test]
    fn tolerances_of_q24_are_kept() {
        for factor in [0.985, 1.015] {
            assert_eq!(
                heard(&dialled(ALL, 60, 60, factor, (6_000.0, 6_000.0), 8_000), 8_000),
                ALL,
                "{factor}"
            );
        }
        for (low, high) in [(6_000.0, 10_000.0), (9_000.0, 4_000.0)] {
            assert_eq!(heard(&dialled(ALL, 60, 60, 1.0, (low, high), 8_000), 8_000), ALL);
        }
        let too_short = dialled(ALL, 20, 60, 1.0, (6_000.0, 6_000.0), 8_000);
        assert_eq!(heard(&too_short, 8_000), "");
        assert_eq!(heard(&dialled("5", 500, 60, 1.0, (6_000.0, 0.0), 8_000), 8_000), "", "one tone is none");
    }

    #[test]
    fn speech_is_no_digit() {
        let clips: [&[u8]; 2] = [
            include_bytes!("../../tests/speech/clips/complete.wav"),
            include_bytes!("../../tests/speech/clips/incomplete.wav"),
        ];
        for clip in clips {
            let mut wav = hound::WavReader::new(clip).unwrap();
            let rate = wav.spec().sample_rate;
            let pcm: Vec<i16> = wav.samples().map(Result::unwrap).collect();
            for gain in [1, 2, 4] {
                let loud: Vec<i16> = pcm.iter().map(|s| s.saturating_mul(gain)).collect();
                let mut narrow = Vec::new();
                Resampler::new(rate, 8_000).unwrap().process(&loud, &mut narrow);
                assert_eq!(heard(&narrow, 8_000), "");
            }
        }
    }

    #[test]
    fn what_is_sent_is_heard() {
        for rate in [8_000, 16_000] {
            let (mut sender, mut pcm) = (ToneSender::default(), Vec::new());
            for code in 0..16 {
                sender.begin();
                for n in 0..10 {
                    let mut frame = vec![0; rate as usize / 50];
                    if n < 5 {
                        sender.fill(code, rate, &mut frame);
                    }
                    pcm.extend(frame);
                }
            }
            assert_eq!(heard(&pcm, rate), "0123456789*#ABCD", "{rate} Hz");
        }
    }
}
