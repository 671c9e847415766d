//! Packet loss concealment for speech, in the spirit of ITU-T G.711 Appendix I (09/1999).
//!
//! In: what was received, in order, and the lengths of the holes. Out: sound for the holes. The last
//! pitch period of the past is repeated, from 10 ms on two periods and from 20 ms on three so that it
//! does not buzz; it fades from 10 ms on and is silent at 60 ms. What is received next is blended in.
//! Unlike the Appendix this delays nothing: instead of holding 3.75 ms back to overlap the seam, the
//! step at the seam is measured and faded out. Lengths below are of 8 kHz; wideband has twice as many.

use std::ops::RangeInclusive;

use super::prefetch::prefetch;
use crate::base::audio::{NARROWBAND_HZ, frame_samples};

/// Samples of the past that three of the longest periods and one overlap need.
const HISTORY: usize = 390;
/// Pitch periods looked for: 200 Hz to 66 Hz. Higher voices are caught at a multiple.
const PITCH: RangeInclusive<usize> = 40..=120;
/// How much of the past a period is matched against.
const WINDOW: usize = 160;
/// Where sound is added or taken by pitch: after 10 and 20 ms a period more is repeated.
const STAGE: usize = 80;
const SILENT_AFTER: usize = 480;

/// What fills holes in one stream.
pub struct Concealer {
    /// Samples for each of 8 kHz: 1 or 2.
    scale: usize,
    /// In a circle: the oldest sample is at `oldest`.
    past: Box<[i16]>,
    oldest: usize,
    hole: Option<Box<Hole>>,
}

/// State of a hole that is being filled.
struct Hole {
    scale: usize,
    /// The past as it was when the hole began.
    past: Box<[i16]>,
    pitch: usize,
    /// Periods repeated: 1 to 3.
    periods: usize,
    /// Position inside the repeated periods.
    phase: usize,
    /// Samples made so far.
    made: usize,
    /// The step from the last sample received to the first one repeated.
    step: f32,
}

impl Concealer {
    /// For audio at `rate` Hz, a multiple of 8 kHz.
    pub fn new(rate: u32) -> Self {
        let scale = (rate / NARROWBAND_HZ).max(1) as usize;
        Concealer { scale, past: vec![0; HISTORY * scale].into(), oldest: 0, hole: None }
    }

    /// Takes what was received; its beginning is changed where a hole ends.
    pub fn received(&mut self, pcm: &mut [i16]) {
        if let Some(mut hole) = self.hole.take() {
            let overlap = hole.overlap_at_end().min(pcm.len());
            for (i, sample) in pcm[..overlap].iter_mut().enumerate() {
                let weight = (i + 1) as f32 / (overlap + 1) as f32;
                let old = if hole.is_silent() { 0.0 } else { hole.next() };
                *sample = to_sample(old * (1.0 - weight) + f32::from(*sample) * weight);
            }
        }
        self.remember(pcm);
    }

    /// Fills a hole. `false` once nothing but silence is left to give.
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        if self.hole.is_none() {
            self.hole = Some(Hole::begin(self.past().into(), self.scale).into());
        }
        let Some(hole) = &mut self.hole else { return false };
        let audible = !hole.is_silent();
        for sample in out.iter_mut() {
            *sample = if hole.is_silent() { 0 } else { to_sample(hole.next()) };
        }
        self.remember(out);
        audible
    }

    /// Brings the oldest of the past nearer, which what is given next replaces.
    pub fn prefetch(&self) {
        let replaced = self.past.len().min(self.oldest + frame_samples(NARROWBAND_HZ) * self.scale);
        self.past.get(self.oldest..replaced).into_iter().for_each(prefetch);
    }

    /// The last samples given, oldest first.
    pub fn past(&self) -> Vec<i16> {
        [&self.past[self.oldest..], &self.past[..self.oldest]].concat()
    }

    /// Whether the last samples given were invented.
    pub fn is_concealing(&self) -> bool {
        self.hole.is_some()
    }

    /// Adds samples to the past that were given as they are.
    pub fn remember(&mut self, pcm: &[i16]) {
        let kept = &pcm[pcm.len().saturating_sub(self.past.len())..];
        let first = kept.len().min(self.past.len() - self.oldest);
        self.past[self.oldest..self.oldest + first].copy_from_slice(&kept[..first]);
        self.past[..kept.len() - first].copy_from_slice(&kept[first..]);
        self.oldest = (self.oldest + kept.len()) % self.past.len();
    }
}

impl Hole {
    fn begin(past: Box<[i16]>, scale: usize) -> Self {
        let (pitch, last) = (pitch_of(&past, scale), past.len() - 1);
        let step = f32::from(past[last]) - f32::from(past[last - pitch]);
        Hole { scale, past, pitch, periods: 1, phase: 0, made: 0, step }
    }

    const fn is_silent(&self) -> bool {
        self.made >= SILENT_AFTER * self.scale
    }

    /// A quarter period, and 4 ms for every 10 ms of hole, 10 ms at most.
    fn overlap_at_end(&self) -> usize {
        let stage = STAGE * self.scale;
        (self.pitch / 4 + 32 * self.scale * (self.made / stage)).min(stage)
    }

    fn next(&mut self) -> f32 {
        let wanted = (1 + self.made / (STAGE * self.scale)).min(3);
        if self.phase == 0 && wanted > self.periods {
            self.periods = wanted;
        }
        let length = self.pitch * self.periods;
        let quarter = self.pitch / 4;
        let history = self.past.len();
        let mut value = f32::from(self.past[history - length + self.phase]);
        // The end of the repeated piece turns into what came before its beginning.
        let left = length - self.phase;
        if left <= quarter {
            let before = f32::from(self.past[history - length - left]);
            let weight = left as f32 / (quarter + 1) as f32;
            value = value * weight + before * (1.0 - weight);
        }
        if self.made < quarter {
            value += self.step * (1.0 - (self.made + 1) as f32 / (quarter + 1) as f32);
        }
        self.phase = (self.phase + 1) % length;
        self.made += 1;
        value * gain(self.made / self.scale)
    }
}

/// 1 for 10 ms, then down a fifth every 10 ms.
fn gain(made: usize) -> f32 {
    let faded = made.saturating_sub(STAGE) as f32;
    (1.0 - faded / (SILENT_AFTER - STAGE) as f32).max(0.0)
}

/// The lag at which the newest [`WINDOW`] samples resemble those before them most. Coarse first (every
/// second lag and sample of 8 kHz), then exact around the best.
fn pitch_of(past: &[i16], scale: usize) -> usize {
    let range = PITCH.start() * scale..=PITCH.end() * scale;
    let best = |lags: &mut dyn Iterator<Item = usize>, stride: usize| {
        let scored = lags.map(|lag| (lag, resemblance(past, WINDOW * scale, lag, stride)));
        scored.fold((*range.start(), f32::MIN), |best, next| if next.1 > best.1 { next } else { best }).0
    };
    let coarse = best(&mut range.clone().step_by(2 * scale), 2 * scale);
    let (from, to) = (coarse + 1 - 2 * scale, coarse + 2 * scale - 1);
    best(&mut (from..=to).filter(|lag| range.contains(lag)), scale)
}

/// Normalised correlation of the last `window` samples with those `lag` earlier: -1.0 to 1.0, and 0
/// over silence.
pub(super) fn resemblance(pcm: &[i16], window: usize, lag: usize, stride: usize) -> f32 {
    let newest = &pcm[pcm.len() - window..];
    let earlier = &pcm[pcm.len() - window - lag..pcm.len() - lag];
    let (mut cross, mut power) = (0.0f32, [0.0f32; 2]);
    for (&a, &b) in newest.iter().zip(earlier).step_by(stride) {
        let (a, b) = (f32::from(a), f32::from(b));
        cross += a * b;
        power[0] += a * a;
        power[1] += b * b;
    }
    let scale = (power[0] * power[1]).sqrt();
    if scale > 0.0 { cross / scale } else { 0.0 }
}

fn to_sample(value: f32) -> i16 {
    value.round() as i16
}

#[cfg(test)]
pub(super) mod signals {
    //! Test signals at 8 kHz.

    pub fn tone(hz: f32, amplitude: f32, samples: usize) -> Vec<i16> {
        let step = std::f32::consts::TAU * hz / 8_000.0;
        (0..samples).map(|n| (amplitude * (step * n as f32).sin()) as i16).collect()
    }

    /// Harmonics of a gliding pitch (110 to 140 Hz) under two formants, syllables of 250 ms and a
    /// little noise: no speech, but periodic, uneven and never quite repeating, as speech is.
    pub fn speech_like(samples: usize) -> Vec<i16> {
        let (mut phase, mut noise) = (0.0f32, 12_345u32);
        let formant = |hz: f32, centre: f32, width: f32| 1.0 / (1.0 + ((hz - centre) / width).powi(2));
        let mut next = |n: usize| {
            let t = n as f32 / 8_000.0;
            let pitch = 125.0 + 15.0 * (std::f32::consts::TAU * 0.9 * t).sin();
            phase += pitch / 8_000.0;
            let envelope = 0.15 + 0.85 * (std::f32::consts::PI * t / 0.25).sin().powi(2);
            let voiced: f32 = (1..25)
                .map(|k| {
                    let hz = pitch * k as f32;
                    let level = formant(hz, 600.0, 120.0) + 0.5 * formant(hz, 1_700.0, 200.0);
                    level * (std::f32::consts::TAU * (phase * k as f32).fract()).sin()
                })
                .sum();
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hiss = (noise >> 16) as f32 / 65_536.0 - 0.5;
            (envelope * (3_500.0 * voiced + 200.0 * hiss)) as i16
        };
        (0..samples).map(&mut next).collect()
    }

    /// Decibels of `wanted` over its difference from `got`.
    pub fn snr(wanted: &[i16], got: &[i16]) -> f64 {
        let power = |v: f64| v * v;
        let signal: f64 = wanted.iter().map(|&a| power(f64::from(a))).sum();
        let noise: f64 = wanted.iter().zip(got).map(|(&a, &b)| power(f64::from(a) - f64::from(b))).sum();
        10.0 * (signal / noise.max(1e-9)).log10()
    }

    pub fn rms(pcm: &[i16]) -> f64 {
        (pcm.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / pcm.len() as f64).sqrt()
    }
}

#[cfg(test)]
mod measured;

#[cfg(test)]
mod tests {
    use super::{signals::*, *};

    /// Loses every `one_in`th frame; gives what is heard with concealment, and with zeros instead.
    fn lose(signal: &[i16], one_in: usize) -> (Vec<i16>, Vec<i16>) {
        let mut concealer = Concealer::new(NARROWBAND_HZ);
        let (mut concealed, mut zeroed) = (Vec::new(), Vec::new());
        for (i, frame) in signal.chunks_exact(160).enumerate() {
            let mut out = frame.to_vec();
            if i > 5 && i % one_in == 0 {
                concealer.conceal(&mut out);
                zeroed.extend([0; 160]);
            } else {
                concealer.received(&mut out);
                zeroed.extend(frame);
            }
            concealed.extend(out);
        }
        (concealed, zeroed)
    }

    /// Only the frames that were lost; with zeros their signal-to-noise ratio is 0 dB.
    fn only_lost(pcm: &[i16], one_in: usize, samples: usize) -> Vec<i16> {
        let lost = pcm.chunks_exact(160).enumerate().filter(|(i, _)| *i > 5 && i % one_in == 0);
        lost.flat_map(|(_, frame)| frame[..samples].to_vec()).collect()
    }

    #[test]
    fn a_lost_frame_of_a_tone_is_hard_to_tell() {
        let signal = tone(400.0, 8_000.0, 160 * 100);
        let (concealed, zeroed) = lose(&signal, 10);
        let (with, without) = (snr(&signal, &concealed), snr(&signal, &zeroed));
        println!("tone, 10 % lost: concealed {with:.1} dB, zeros {without:.1} dB");
        assert!(with > without + 15.0, "concealed {with:.1} dB, zeros {without:.1} dB");
    }

    #[test]
    fn speech_keeps_its_energy_through_ten_percent_loss() {
        let signal = speech_like(160 * 500);
        let (concealed, zeroed) = lose(&signal, 10);
        // The pitch glides by up to 85 Hz a second, so the wave runs out of phase within the frame;
        // what must hold is its beginning, its energy and its smoothness.
        let gain = |part| snr(&only_lost(&signal, 10, part), &only_lost(&concealed, 10, part));
        let kept = |heard: &[i16]| rms(&only_lost(heard, 10, 160)) / rms(&only_lost(&signal, 10, 160));
        println!(
            "speech-like, 10 % lost: {:.1} dB over zeros in the first 5 ms, {:.1} dB in all 20, level kept {:.2}",
            gain(40),
            gain(160),
            kept(&concealed)
        );
        assert!(gain(40) > 5.0 && gain(160) > 1.0, "{} {}", gain(40), gain(160));
        assert!((0.8..1.2).contains(&kept(&concealed)), "{}", kept(&concealed));
        assert_eq!(kept(&zeroed), 0.0);
        // The largest step between neighbours tells of clicks.
        let step = |pcm: &[i16]| pcm.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max();
        assert!(step(&concealed) <= step(&signal).map(|s| s * 3 / 2));
    }

    #[test]
    fn a_long_hole_fades_to_silence() {
        let mut concealer = Concealer::new(NARROWBAND_HZ);
        concealer.received(&mut tone(200.0, 8_000.0, 800));
        let mut frames = Vec::new();
        let audible: Vec<bool> = (0..5)
            .map(|_| {
                let mut out = [0; 160];
                let audible = concealer.conceal(&mut out);
                frames.push(rms(&out));
                audible
            })
            .collect();
        assert_eq!(audible, [true, true, true, false, false]);
        assert!(frames.is_sorted_by(|a, b| a >= b) && frames[3] == 0.0, "{frames:?}");
    }

    #[test]
    fn silence_and_full_scale_are_concealed_without_harm() {
        let mut concealer = Concealer::new(NARROWBAND_HZ);
        assert!(concealer.conceal(&mut [1; 160]));
        for value in [i16::MIN, i16::MAX] {
            concealer.received(&mut [value; 480]);
            concealer.conceal(&mut [0; 333]);
            concealer.received(&mut [value; 7]);
            concealer.conceal(&mut []);
        }
    }
}
