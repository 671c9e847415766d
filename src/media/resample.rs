//! Changes of sample rate, chunk by chunk: 8 to 16 kHz for what speech models hear, any synthesiser's
//! rate to the line's.
//!
//! A polyphase windowed sinc (Kaiser, 80 dB): the rate changes by L/M in one step, each output sample
//! is one dot product with the phase of the filter that fits it. State carries across chunks, so that
//! seams are not heard (livekit/sip#724). Output is aligned with input; the filter's delay (2 ms at
//! 8 kHz) only means that the last samples come with [`Resampler::flush`]. The filter of a pair of
//! rates is made once a process and shared by all calls.

use std::{
    f64::consts::PI,
    sync::{Arc, Mutex, PoisonError},
};

/// Rates that are taken, in Hz.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=192_000;
/// Phases a filter may have: 11,025 Hz to 8 kHz needs 320.
const MAX_PHASES: usize = 320;
const STOPBAND_DB: f64 = 80.0;
/// Filters kept for all calls.
const KEPT_KERNELS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot resample from {from} Hz to {to} Hz: use common rates from 4000 to 192000 Hz, such as 16000, 22050, 24000, 44100 or 48000"
)]
pub struct UnsupportedRate {
    pub from: u32,
    pub to: u32,
}

/// Resamples one stream of mono audio.
pub struct Resampler {
    kernel: Arc<Kernel>,
    /// Input not yet used up, oldest first; begins with half a filter of silence.
    input: Vec<f32>,
    /// Phase of the next output sample, 0 to `up - 1`.
    phase: usize,
    taken: u64,
    given: u64,
}

/// The filter for one pair of rates.
struct Kernel {
    from: u32,
    to: u32,
    up: usize,
    down: usize,
    /// Taps of one phase.
    taps: usize,
    /// `up` rows of `taps`, each summing to 1.
    rows: Vec<f32>,
}

impl Resampler {
    /// From `from` Hz to `to` Hz.
    pub fn new(from: u32, to: u32) -> Result<Self, UnsupportedRate> {
        let kernel = kernel(from, to)?;
        let mut resampler = Resampler { kernel, input: Vec::new(), phase: 0, taken: 0, given: 0 };
        resampler.reset();
        Ok(resampler)
    }

    /// Forgets the stream; the next sample begins another.
    pub fn reset(&mut self) {
        self.input.clear();
        self.input.resize(self.kernel.taps / 2 - 1, 0.0);
        (self.phase, self.taken, self.given) = (0, 0, 0);
    }

    /// Takes a chunk of any length and appends to `out` what can be told by now.
    pub fn process(&mut self, pcm: &[i16], out: &mut Vec<i16>) {
        if self.kernel.up == self.kernel.down {
            return out.extend_from_slice(pcm);
        }
        self.taken += pcm.len() as u64;
        self.input.extend(pcm.iter().map(|&sample| f32::from(sample)));
        self.convolve(u64::MAX, out);
    }

    /// Appends the rest of the stream and begins another. In all, `n` samples of input become
    /// `n * to / from`, rounded up.
    pub fn flush(&mut self, out: &mut Vec<i16>) {
        if self.kernel.up != self.kernel.down {
            let (up, down) = (self.kernel.up as u64, self.kernel.down as u64);
            let total = (self.taken * up).div_ceil(down);
            self.input.resize(self.input.len() + self.kernel.taps, 0.0);
            self.convolve(total, out);
        }
        self.reset();
    }

    fn convolve(&mut self, total: u64, out: &mut Vec<i16>) {
        let Kernel { up, down, taps, ref rows, .. } = *self.kernel;
        let mut at = 0;
        while at + taps <= self.input.len() && self.given < total {
            let row = &rows[self.phase * taps..(self.phase + 1) * taps];
            out.push(dot(row, &self.input[at..at + taps]).round() as i16);
            self.given += 1;
            at += (self.phase + down) / up;
            self.phase = (self.phase + down) % up;
        }
        // Steps longer than the filter do not occur: it spans many periods of the lower rate.
        self.input.drain(..at.min(self.input.len()));
    }
}

/// A short piece at another rate, by straight lines between its samples, or by the mean of those that one
/// takes the place of: for what is at hand when a line changes its rate, where a filter would need what is
/// not there. `n` samples become `n * to / from`, rounded up, whatever the rates.
pub fn stretched(pcm: &[i16], from: u32, to: u32) -> Vec<i16> {
    let Some(&last) = pcm.last().filter(|_| from != to) else { return pcm.to_vec() };
    let (up, down) = (u64::from(to), u64::from(from));
    let length = (pcm.len() as u64 * up).div_ceil(down) as usize;
    if to < from {
        return (0..length as u64).map(|n| mean(pcm, n, up, down)).collect();
    }
    let at = |n: usize| i64::from(pcm.get(n).copied().unwrap_or(last));
    let point = |n: usize| {
        let place = n as u64 * down;
        let (index, rest) = ((place / up) as usize, (place % up) as i64);
        (at(index) + (at(index + 1) - at(index)) * rest / up as i64) as i16
    };
    (0..length).map(point).collect()
}

/// The mean of what the `n`th sample stands for, where `up` samples take the place of `down`. Those at its
/// edges count by the part that lies inside.
fn mean(pcm: &[i16], n: u64, up: u64, down: u64) -> i16 {
    let span = n * down..((n + 1) * down).min(pcm.len() as u64 * up);
    let inside = |k: u64| span.end.min((k + 1) * up) - span.start.max(k * up);
    let touched = span.start / up..span.end.div_ceil(up);
    let sum: i64 = touched.map(|k| i64::from(pcm[k as usize]) * inside(k) as i64).sum();
    (sum / (span.end - span.start) as i64) as i16
}

/// Eight partial sums, which the compiler keeps in vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + tail
}

fn kernel(from: u32, to: u32) -> Result<Arc<Kernel>, UnsupportedRate> {
    static KERNELS: Mutex<Vec<Arc<Kernel>>> = Mutex::new(Vec::new());
    let unsupported = UnsupportedRate { from, to };
    if !RATES.contains(&from) || !RATES.contains(&to) {
        return Err(unsupported);
    }
    let divisor = gcd(from, to);
    if (to / divisor) as usize > MAX_PHASES {
        return Err(unsupported);
    }
    let mut kept = KERNELS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept.iter().find(|k| (k.from, k.to) == (from, to)) {
        return Ok(known.clone());
    }
    let made = Arc::new(Kernel::design(from, to, (to / divisor) as usize, (from / divisor) as usize));
    if kept.len() < KEPT_KERNELS {
        kept.push(made.clone());
    }
    Ok(made)
}

impl Kernel {
    /// Passes up to 0.85 of the lower Nyquist frequency (3.4 kHz on the line). Going down, the
    /// stopband begins at 1.05 of it, so that aliases fall between 3.8 and 4 kHz; going up, at 1.15,
    /// where the first image of telephone speech begins.
    fn design(from: u32, to: u32, up: usize, down: usize) -> Self {
        let nyquist = f64::from(from.min(to)) / 2.0;
        let stop = if from > to { 1.05 } else { 1.15 };
        let (cutoff, transition) = ((0.85 + stop) / 2.0 * nyquist, (stop - 0.85) * nyquist);
        let from_hz = f64::from(from);
        // Kaiser's estimate of the length, in input samples, made even so that a centre lies between.
        let length = (STOPBAND_DB - 8.0) / (2.285 * 2.0 * PI * transition / from_hz);
        let taps = (length / 2.0).ceil() as usize * 2 + 2;
        let beta = 0.1102 * (STOPBAND_DB - 8.7);
        let half = (taps / 2) as f64;
        let tap = |phase: usize, i: usize| {
            // Distance from the output sample to input sample `i`, in input samples.
            let x = i as f64 - (half - 1.0) - phase as f64 / up as f64;
            let window = bessel_i0(beta * (1.0 - (x / half).powi(2)).max(0.0).sqrt());
            sinc(2.0 * cutoff / from_hz * x) * window
        };
        let mut rows = Vec::with_capacity(up * taps);
        for phase in 0..up {
            let row: Vec<f64> = (0..taps).map(|i| tap(phase, i)).collect();
            let sum: f64 = row.iter().sum();
            rows.extend(row.iter().map(|tap| (tap / sum) as f32));
        }
        Kernel { from, to, up, down, taps, rows }
    }
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// Modified Bessel function of the first kind, order 0, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::conceal::signals::{rms, snr};

    const TTS_RATES: [u32; 5] = [16_000, 22_050, 24_000, 44_100, 48_000];

    fn tone(hz: f64, rate: u32, samples: usize) -> Vec<i16> {
        let step = 2.0 * PI * hz / f64::from(rate);
        (0..samples).map(|n| (10_000.0 * (step * n as f64).sin()).round() as i16).collect()
    }

    fn resample(from: u32, to: u32, pcm: &[i16], chunk: usize) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to).unwrap();
        let mut out = Vec::new();
        pcm.chunks(chunk).for_each(|part| resampler.process(part, &mut out));
        resampler.flush(&mut out);
        out
    }

    #[test]
    fn a_tone_in_the_telephone_band_comes_through_in_place() {
        for rate in TTS_RATES {
            for hz in [300.0, 1_000.0, 3_300.0] {
                let out = resample(rate, 8_000, &tone(hz, rate, rate as usize), 441);
                assert_eq!(out.len(), 8_000);
                let middle = 100..7_900;
                let snr = snr(&tone(hz, 8_000, 8_000)[middle.clone()], &out[middle]);
                assert!(snr > 60.0, "{rate} Hz, tone {hz}: {snr:.1} dB");
            }
        }
        for hz in [300.0, 1_000.0, 3_300.0] {
            let out = resample(8_000, 16_000, &tone(hz, 8_000, 8_000), 160);
            assert_eq!(out.len(), 16_000);
            let snr = snr(&tone(hz, 16_000, 16_000)[200..15_800], &out[200..15_800]);
            assert!(snr > 60.0, "8 to 16 kHz, tone {hz}: {snr:.1} dB");
        }
    }

    #[test]
    fn what_would_alias_is_removed() {
        for rate in TTS_RATES {
            for hz in [4_250.0, 5_000.0, 7_000.0, f64::from(rate) / 2.0 - 300.0] {
                let out = resample(rate, 8_000, &tone(hz, rate, rate as usize), 441);
                let rejection = 20.0 * (10_000.0 / 2f64.sqrt() / rms(&out[100..7_900]).max(1e-3)).log10();
                assert!(rejection > 70.0, "{rate} Hz, tone {hz}: {rejection:.1} dB");
            }
        }
    }

    #[test]
    fn full_scale_does_not_wrap_around() {
        let square: Vec<i16> =
            (0..4_800).map(|n| if n / 40 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let out = resample(48_000, 8_000, &square, 480);
        assert!(out.contains(&i16::MAX) && out.contains(&i16::MIN));
        // Halves of the wave are 6.7 samples long and keep their sign away from the edges.
        let wrong = (20..780)
            .filter(|n| (2..5).contains(&(n * 6 % 40 / 6)) && (out[*n] > 0) != (n * 6 / 40 % 2 == 0));
        assert_eq!(wrong.count(), 0);
    }

    #[test]
    fn straight_lines_keep_a_signal_in_its_place() {
        let slow = tone(300.0, 8_000, 800);
        let there = stretched(&slow, 8_000, 16_000);
        assert!(snr(&tone(300.0, 16_000, 1_600)[..1_598], &there[..1_598]) > 35.0);
        assert!(snr(&slow, &stretched(&there, 16_000, 8_000)) > 15.0);
        assert_eq!((stretched(&[], 8_000, 16_000), stretched(&[1, 3], 8_000, 8_000)), (vec![], vec![1, 3]));
        assert_eq!(stretched(&[1, 3, 5], 16_000, 8_000), [2, 5]);
    }

    #[test]
    fn means_keep_a_signal_in_its_place_at_any_ratio() {
        for (from, to) in
            [(22_050, 8_000), (11_025, 8_000), (24_000, 16_000), (44_100, 16_000), (48_000, 8_000)]
        {
            let there = stretched(&tone(300.0, from, from as usize / 10), from, to);
            assert_eq!(there.len(), to as usize / 10, "{from} {to}");
            // Each stands for the span that it is the mean of, half of which lies before its place.
            let shift = 0.5 * (f64::from(to) / f64::from(from) - 1.0);
            let step = 2.0 * PI * 300.0 / f64::from(to);
            let wanted: Vec<i16> = (0..there.len())
                .map(|n| (10_000.0 * (step * (n as f64 - shift)).sin()).round() as i16)
                .collect();
            let end = there.len() - 2;
            let snr = snr(&wanted[2..end], &there[2..end]);
            assert!(snr > 25.0, "{from} {to}: {snr:.1} dB");
        }
        assert_eq!(stretched(&[3, 3, 3], 12_000, 8_000), [3, 3]);
        assert_eq!(stretched(&[0, 3, 6], 12_000, 8_000), [1, 5]);
    }

    #[test]
    fn strange_rates_are_refused() {
        for (from, to) in [(0, 8_000), (8_000, 1_000_000), (44_101, 8_000), (3_999, 8_000)] {
            assert!(Resampler::new(from, to).is_err(), "{from} {to}");
        }
        assert_eq!(resample(8_000, 8_000, &[1, 2, 3], 2), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn chunks_do_not_show(
            rate in proptest::sample::select(&[8_000u32, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]),
            up: bool, chunk in 1usize..700, samples in 0usize..3_000,
        ) {
            let (from, to) = if up { (8_000, 16_000) } else { (rate, 8_000) };
            let pcm = tone(700.0, from, samples);
            let whole = resample(from, to, &pcm, usize::MAX);
            prop_assert_eq!(whole.len() as u64, (samples as u64 * u64::from(to)).div_ceil(from.into()));
            prop_assert_eq!(resample(from, to, &pcm, chunk), whole);
        }
    }
}
