//! The log-mel spectrum Whisper hears, for eight seconds at 16 kHz.
//!
//! As `transformers.WhisperFeatureExtractor(chunk_length=8)` with `do_normalize=True` computes it:
//! silence in front up to eight seconds, zero mean and unit variance over the whole (silence
//! included), centred frames of 400 samples every 160 with reflection at the ends, periodic Hann
//! window, power spectrum, 80 triangular filters on Slaney's mel scale with unit area, decimal
//! logarithm, clamped to eight decades below the maximum, `(x + 4) / 4`.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};

/// Mel bands of a frame.
pub const BANDS: usize = 80;
/// Frames in eight seconds.
pub const FRAMES: usize = 800;
/// Samples in eight seconds.
pub const SAMPLES: usize = 128_000;

const WINDOW: usize = 400;
const HOP: usize = 160;
const BINS: usize = WINDOW / 2 + 1;
const PAD: usize = WINDOW / 2;
/// Below this the logarithm is not taken.
const POWER_FLOOR: f64 = 1e-10;

/// Tables, buffers and the latest result; about 2 MB, reused from call to call.
pub struct LogMel {
    fft: Arc<dyn RealToComplex<f64>>,
    hann: Vec<f64>,
    filters: Vec<Filter>,
    /// Eight seconds with [`PAD`] samples of reflection at either end.
    signal: Vec<f64>,
    frame: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
    /// Band by band, as the model wants them: `[BANDS][FRAMES]`.
    features: Vec<f32>,
}

/// A triangle over neighbouring FFT bins.
struct Filter {
    first_bin: usize,
    weights: Vec<f64>,
}

impl Default for LogMel {
    fn default() -> Self {
        Self::new()
    }
}

impl LogMel {
    pub fn new() -> Self {
        let fft = RealFftPlanner::<f64>::new().plan_fft_forward(WINDOW);
        LogMel {
            hann: (0..WINDOW).map(hann).collect(),
            filters: filterbank(),
            signal: vec![0.0; PAD + SAMPLES + PAD],
            frame: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            features: vec![0.0; BANDS * FRAMES],
            fft,
        }
    }

    /// The features of the last eight seconds of `pcm`, row-major `[BANDS][FRAMES]`.
    pub fn features(&mut self, pcm: &[i16]) -> &[f32] {
        let pcm = &pcm[pcm.len().saturating_sub(SAMPLES)..];
        self.fill_signal(pcm);
        let silent = silent_frames(SAMPLES - pcm.len());
        for frame in 0..FRAMES {
            // Frames of the silence in front are all alike: one is computed, the others copy it.
            if frame > 0 && frame < silent {
                self.copy_first_frame_to(frame);
            } else {
                self.analyse(frame);
            }
        }
        self.compress();
        &self.features
    }

    /// Normalises `pcm` behind its silence and reflects both ends.
    fn fill_signal(&mut self, pcm: &[i16]) {
        let (mean, deviation) = moments(pcm);
        let body = &mut self.signal[PAD..PAD + SAMPLES];
        let (silence, speech) = body.split_at_mut(SAMPLES - pcm.len());
        silence.fill(-mean / deviation);
        for (to, from) in speech.iter_mut().zip(pcm) {
            *to = (f64::from(*from) / 32_768.0 - mean) / deviation;
        }
        for n in 1..=PAD {
            self.signal[PAD - n] = self.signal[PAD + n];
            self.signal[PAD + SAMPLES - 1 + n] = self.signal[PAD + SAMPLES - 1 - n];
        }
    }

    /// The logarithm of the mel power of one frame, into its column.
    fn analyse(&mut self, frame: usize) {
        let samples = &self.signal[frame * HOP..frame * HOP + WINDOW];
        for ((to, sample), weight) in self.frame.iter_mut().zip(samples).zip(&self.hann) {
            *to = sample * weight;
        }
        self.fft
            .process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch)
            .expect("the buffers were made by this transform");
        let mut power = [0f64; BINS];
        for (to, bin) in power.iter_mut().zip(&self.spectrum) {
            *to = bin.norm_sqr();
        }
        for (band, filter) in self.filters.iter().enumerate() {
            self.features[band * FRAMES + frame] = filter.of(&power).max(POWER_FLOOR).log10() as f32;
        }
    }

    fn copy_first_frame_to(&mut self, frame: usize) {
        for band in self.features.chunks_exact_mut(FRAMES) {
            band[frame] = band[0];
        }
    }

    /// Clamps to eight decades below the maximum and scales to about -1 to 1.
    fn compress(&mut self) {
        let loudest = self.features.iter().copied().fold(f32::MIN, f32::max);
        for value in &mut self.features {
            *value = (value.max(loudest - 8.0) + 4.0) / 4.0;
        }
    }
}

impl Filter {
    fn of(&self, power: &[f64; BINS]) -> f64 {
        let bins = &power[self.first_bin..self.first_bin + self.weights.len()];
        bins.iter().zip(&self.weights).map(|(power, weight)| power * weight).sum()
    }
}

/// How many frames lie wholly in `silence` samples in front; the reflection at the start is silence
/// too if there is that much of it.
fn silent_frames(silence: usize) -> usize {
    if silence <= PAD { 0 } else { (silence + PAD).saturating_sub(WINDOW) / HOP + 1 }
}

/// Mean and deviation of `pcm` together with the silence that makes it eight seconds long.
fn moments(pcm: &[i16]) -> (f64, f64) {
    let n = SAMPLES as f64;
    let (mut sum, mut squares) = (0i64, 0i64);
    for sample in pcm {
        sum += i64::from(*sample);
        squares += i64::from(*sample) * i64::from(*sample);
    }
    let mean = sum as f64 / n / 32_768.0;
    let variance = (squares as f64 / n / (32_768.0 * 32_768.0) - mean * mean).max(0.0);
    (mean, (variance + 1e-7).sqrt())
}

/// Periodic, as `torch.hann_window`.
fn hann(n: usize) -> f64 {
    0.5 - 0.5 * (2.0 * std::f64::consts::PI * n as f64 / WINDOW as f64).cos()
}

fn filterbank() -> Vec<Filter> {
    let top = hertz_to_mel(8_000.0);
    let edges: Vec<f64> = (0..BANDS + 2).map(|n| mel_to_hertz(top * n as f64 / (BANDS + 1) as f64)).collect();
    edges.windows(3).map(|edge| triangle(edge[0], edge[1], edge[2])).collect()
}

fn triangle(low: f64, centre: f64, high: f64) -> Filter {
    let weight = |bin: usize| {
        let hertz = bin as f64 * 8_000.0 / (BINS - 1) as f64;
        let slope = ((hertz - low) / (centre - low)).min((high - hertz) / (high - centre));
        slope.max(0.0) * 2.0 / (high - low)
    };
    let covered = |bin: &usize| weight(*bin) > 0.0;
    let first_bin = (0..BINS).find(covered).unwrap_or(0);
    let weights = (first_bin..BINS).take_while(covered).map(weight).collect();
    Filter { first_bin, weights }
}

/// Slaney's scale: linear up to 1 kHz, logarithmic above (Auditory Toolbox, 1998).
fn hertz_to_mel(hertz: f64) -> f64 {
    if hertz < 1_000.0 { 3.0 * hertz / 200.0 } else { 15.0 + (hertz / 1_000.0).ln() * 27.0 / 6.4f64.ln() }
}

fn mel_to_hertz(mel: f64) -> f64 {
    if mel < 15.0 { 200.0 * mel / 3.0 } else { 1_000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(samples: usize) -> Vec<i16> {
        let wave = |n: usize| 6_000.0 * (std::f64::consts::TAU * 440.0 * n as f64 / 16_000.0).sin();
        (0..samples).map(|n| wave(n).round() as i16).collect()
    }

    /// The generator of the noise in the reference: a 32-bit linear congruence, upper half.
    fn noise(samples: usize, amplitude: u32) -> Vec<i16> {
        let mut state = 12_345u32;
        let mut step = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (((state >> 16) * 2 * amplitude) >> 16) as i16 - amplitude as i16
        };
        (0..samples).map(|_| step()).collect()
    }

    fn assert_features(pcm: &[i16], mean: f32, points: &[(usize, usize, f32)]) {
        let mut mel = LogMel::new();
        let features = mel.features(pcm);
        let average = features.iter().sum::<f32>() / features.len() as f32;
        assert!((average - mean).abs() < 1e-3, "mean {average}, expected {mean}");
        for &(band, frame, expected) in points {
            let value = features[band * FRAMES + frame];
            assert!((value - expected).abs() < 1e-3, "[{band}][{frame}] is {value}, expected {expected}");
        }
    }

    // Expected values: pipecat 1.14.0's `_whisper_features.py` on numpy, in double precision.

    #[test]
    fn a_tone_behind_silence_has_the_reference_spectrum() {
        let expected = [(0, 799, 0.778728), (5, 780, -0.260767), (40, 650, -0.260767), (79, 799, -0.260767)];
        assert_features(&tone(64_000), -0.211466, &expected);
    }

    #[test]
    fn only_the_last_eight_seconds_of_noise_count() {
        let expected = [(0, 799, 1.0915), (5, 780, 1.188984), (40, 650, 1.072285), (30, 0, 1.007761)];
        assert_features(&noise(144_000, 3_000), 1.113217, &expected);
    }

    #[test]
    fn silence_is_flat() {
        assert_features(&[0; 16_000], -1.5, &[(0, 0, -1.5), (79, 799, -1.5)]);
        assert_features(&[], -1.5, &[(0, 0, -1.5)]);
    }

    #[test]
    fn copied_silence_equals_computed_silence() {
        let pcm = tone(60_000);
        let mut mel = LogMel::new();
        let copied = mel.features(&pcm).to_vec();
        mel.fill_signal(&pcm);
        (0..FRAMES).for_each(|frame| mel.analyse(frame));
        mel.compress();
        let worst = copied.iter().zip(&mel.features).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-6, "{worst}");
    }

    #[test]
    fn every_band_covers_a_bin() {
        for filter in filterbank() {
            assert!(!filter.weights.is_empty() && filter.first_bin + filter.weights.len() <= BINS);
        }
    }
}
