//! A single tone of the far end: the beep after which an answering machine records.
//!
//! In come 20 ms frames, of which the band below 4 kHz counts; out comes a [`Beep`] shortly after it ended. Windows of 40 ms, one a
//! frame, are compared with the sine that explains them best (a bank of Goertzel filters, then a
//! parabola between its three highest). A beep is a run of windows that one steady sine explains, no
//! shorter than 150 ms and no longer than two seconds.
//!
//! What sounds alike and is none: two tones at once (DTMF, North American ringback) are never one sine;
//! tones that follow each other without a gap (the SIT before "the number you have dialled", a tune) are
//! dropped; so is one second of 425 Hz, the ringback of most of Europe. Speech moves its pitch.

use std::f32::consts::TAU;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::{jitter::FRAME_SAMPLES, resample::Resampler};
use crate::base::audio::{FRAME, NARROWBAND_HZ, WIDEBAND_HZ, rate_of_frame};

const WINDOW: usize = 2 * FRAME_SAMPLES;
/// The pitch of a beep, with room for a measurement of exactly 400 or 2 200 Hz that is a little off.
const BEEP_HZ: RangeInclusive<f32> = 395.0..=2_205.0;
/// The bank of filters, some beyond either end of it.
const FIRST_FILTER_HZ: f32 = 387.5;
const FILTERS: usize = 152;
/// Filters that are computed side by side.
const LANES: usize = 8;
/// Between two filters; half of what a window of 40 ms resolves.
const STEP_HZ: f32 = 12.5;
/// The share of a window's power that its sine explains: noise may be 10 dB below the tone.
const PUREST: f32 = 0.9;
/// Amplitude below which nothing is looked for: −44 dB of full scale.
const QUIETEST: f32 = 200.0;
/// A steady tone stays this near to its mean frequency.
const DRIFT_HZ: f32 = 12.0;
/// Windows that a lost packet may spoil within a tone.
const MAY_MISS: u32 = 2;
/// A run is a frame longer than its windows are many; at its ends up to 20 ms go unseen.
const SHORTEST: Duration = Duration::from_millis(130);
const LONGEST: Duration = Duration::from_millis(2_060);
const RINGBACK_HZ: Range<f32> = 415.0..435.0;
const RINGBACK: Duration = Duration::from_millis(900);

/// A tone that stood alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beep {
    pub hz: f32,
    /// To within a frame at either end.
    pub length: Duration,
}

/// Finds beeps in one stream. About 50 000 multiplications a frame that is not silent.
pub struct BeepDetector {
    window: [f32; WINDOW],
    hann: [f32; WINDOW],
    run: Option<Run>,
    /// Of a wideband line, down to 8 kHz.
    lower: Option<Resampler>,
    lowered: Vec<i16>,
}

/// A tone under way.
#[derive(Debug, Clone, Copy)]
struct Run {
    hz: f32,
    amplitude: f32,
    windows: u32,
    /// Windows since the last that fitted.
    missed: u32,
    /// Another tone went before it, without a gap.
    chained: bool,
}

/// The sine that explains a window best.
#[derive(Debug, Clone, Copy)]
struct Sine {
    hz: f32,
    amplitude: f32,
}

impl Default for BeepDetector {
    fn default() -> Self {
        let hann = |n: usize| 0.5 - 0.5 * (TAU * (n as f32 + 0.5) / WINDOW as f32).cos();
        BeepDetector {
            window: [0.0; WINDOW],
            hann: std::array::from_fn(hann),
            run: None,
            lower: None,
            lowered: Vec::new(),
        }
    }
}

impl BeepDetector {
    /// Takes the next frame at 8 or 16 kHz; gives the beep that has ended, 60 ms after its end. A frame
    /// of another length counts as silence.
    pub fn hear(&mut self, pcm: &[i16]) -> Option<Beep> {
        if rate_of_frame(pcm.len()) != WIDEBAND_HZ {
            return self.hear_narrow(pcm);
        }
        if self.lower.is_none() {
            self.lower = Resampler::new(WIDEBAND_HZ, NARROWBAND_HZ).ok();
        }
        let Some(lower) = &mut self.lower else { return self.hear_narrow(&[]) };
        lower.process(pcm, &mut self.lowered);
        // The filter's delay makes the first frame short.
        let ready = self.lowered.len() / FRAME_SAMPLES * FRAME_SAMPLES;
        let frames: Vec<i16> = self.lowered.drain(..ready).collect();
        frames.chunks(FRAME_SAMPLES).filter_map(|frame| self.hear_narrow(frame)).last()
    }

    fn hear_narrow(&mut self, pcm: &[i16]) -> Option<Beep> {
        self.window.copy_within(FRAME_SAMPLES.., 0);
        let newest = &mut self.window[FRAME_SAMPLES..];
        newest.fill(0.0);
        if pcm.len() == FRAME_SAMPLES {
            newest.iter_mut().zip(pcm).for_each(|(to, from)| *to = f32::from(*from));
        }
        let sine = self.sine();
        self.follow(sine)
    }

    fn follow(&mut self, sine: Option<Sine>) -> Option<Beep> {
        let begin = |sine: Sine, chained| Run {
            hz: sine.hz,
            amplitude: sine.amplitude,
            windows: 1,
            missed: 0,
            chained,
        };
        match (&mut self.run, sine) {
            (None, None) => None,
            (None, Some(sine)) => {
                self.run = Some(begin(sine, false));
                None
            }
            (Some(run), Some(sine)) if run.goes_on_with(sine) => {
                run.extend(sine);
                None
            }
            (Some(run), Some(sine)) if (sine.hz - run.hz).abs() > 2.0 * DRIFT_HZ => {
                // The tone changes: a tune or a signal of the network.
                *run = begin(sine, true);
                None
            }
            (Some(run), _) => {
                run.missed += 1;
                let over = run.missed > MAY_MISS;
                if over { self.run.take().and_then(Run::beep) } else { None }
            }
        }
    }

    /// The sine in the window, if one explains it.
    fn sine(&self) -> Option<Sine> {
        let total: f32 = self.hann.iter().sum();
        let power = self.window.iter().zip(&self.hann).map(|(x, w)| w * x * x).sum::<f32>() / total;
        if (2.0 * power).sqrt() < QUIETEST {
            return None;
        }
        let shaped: [f32; WINDOW] = std::array::from_fn(|n| self.window[n] * self.hann[n]);
        let hz = peak(loudest(&shaped), |hz| goertzel(&shaped, [hz])[0]);
        let [magnitude] = goertzel(&shaped, [hz]);
        let explained = 2.0 * magnitude / (total * total);
        let fits = BEEP_HZ.contains(&hz) && explained >= PUREST * power;
        fits.then(|| Sine { hz, amplitude: (2.0 * explained).sqrt() })
    }
}

impl Run {
    /// The same pitch, and no more than 6 dB softer.
    fn goes_on_with(&self, sine: Sine) -> bool {
        (sine.hz - self.hz).abs() <= DRIFT_HZ && sine.amplitude * 2.0 >= self.amplitude
    }

    fn extend(&mut self, sine: Sine) {
        self.windows += 1 + self.missed;
        self.missed = 0;
        self.hz += (sine.hz - self.hz) / self.windows as f32;
        self.amplitude = self.amplitude.max(sine.amplitude);
    }

    fn beep(self) -> Option<Beep> {
        let length = FRAME * (self.windows + 1);
        let ringback = RINGBACK_HZ.contains(&self.hz) && length >= RINGBACK;
        let beep = (SHORTEST..=LONGEST).contains(&length) && !self.chained && !ringback;
        beep.then_some(Beep { hz: self.hz, length })
    }
}

/// The frequency of the bank's loudest filter.
fn loudest(signal: &[f32; WINDOW]) -> f32 {
    let mut best = (0.0, FIRST_FILTER_HZ);
    for first in (0..FILTERS).step_by(LANES) {
        let bank: [f32; LANES] =
            std::array::from_fn(|lane| FIRST_FILTER_HZ + STEP_HZ * (first + lane) as f32);
        for (magnitude, hz) in goertzel(signal, bank).into_iter().zip(bank) {
            if magnitude > best.0 {
                best = (magnitude, hz);
            }
        }
    }
    best.1
}

/// Squared magnitudes of the signal's components at some frequencies (Goertzel 1958), computed side by
/// side, so that the compiler makes vectors of them.
fn goertzel<const N: usize>(signal: &[f32; WINDOW], hz: [f32; N]) -> [f32; N] {
    let turn = hz.map(|hz| 2.0 * (TAU * hz / NARROWBAND_HZ as f32).cos());
    let (mut s1, mut s2) = ([0.0f32; N], [0.0f32; N]);
    for x in signal {
        for lane in 0..N {
            let s0 = x + turn[lane] * s1[lane] - s2[lane];
            s2[lane] = s1[lane];
            s1[lane] = s0;
        }
    }
    std::array::from_fn(|lane| s1[lane] * s1[lane] + s2[lane] * s2[lane] - turn[lane] * s1[lane] * s2[lane])
}

/// Where the spectrum peaks around `hz`: the top of the parabola through the levels, in decibels, of
/// three neighbours.
fn peak(hz: f32, power: impl Fn(f32) -> f32) -> f32 {
    let [below, here, above] = [hz - STEP_HZ, hz, hz + STEP_HZ].map(|hz| power(hz).max(1.0).ln());
    let bend = below - 2.0 * here + above;
    let shift = if bend < 0.0 { 0.5 * (below - above) / bend } else { 0.0 };
    hz + STEP_HZ * shift.clamp(-0.5, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Resampler;

    /// Audio at 8 kHz that is put together piece by piece.
    #[derive(Default)]
    struct Line(Vec<f32>);

    impl Line {
        fn tones(mut self, hz: &[f32], ms: usize) -> Self {
            let at =
                |n: usize| hz.iter().map(|hz| (TAU * hz * n as f32 / 8_000.0).sin() * 6_000.0).sum::<f32>();
            self.0.extend((0..ms * 8).map(at));
            self
        }

        fn silence(self, ms: usize) -> Self {
            self.tones(&[], ms)
        }

        /// White noise, peaks at `amplitude`, over all there is.
        fn under_noise(mut self, amplitude: f32) -> Self {
            let mut state = 12_345u32;
            for sample in &mut self.0 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample += ((state >> 16) as f32 / 32_768.0 - 1.0) * amplitude;
            }
            self
        }

        fn beeps(&self) -> Vec<Beep> {
            let mut detector = BeepDetector::default();
            let pcm: Vec<i16> = self.0.iter().map(|x| *x as i16).chain([0; 1_600]).collect();
            pcm.chunks(FRAME_SAMPLES).filter_map(|frame| detector.hear(frame)).collect()
        }
    }

    fn spoken(wav: &[u8]) -> Line {
        let reader = hound::WavReader::new(std::io::Cursor::new(wav)).unwrap();
        let wide: Vec<i16> = reader.into_samples().map(Result::unwrap).collect();
        let mut narrow = Vec::new();
        Resampler::new(16_000, 8_000).unwrap().process(&wide, &mut narrow);
        Line(narrow.into_iter().map(f32::from).collect())
    }

    #[test]
    fn a_beep_is_found_with_its_pitch_and_length_wherever_it_begins() {
        for hz in [400.0, 440.0, 606.3, 850.0, 1_000.0, 1_400.0, 2_193.0] {
            for (ms, before) in [(150, 503), (150, 511), (400, 507), (1_000, 500), (1_990, 513)] {
                let beeps = Line::default().silence(before).tones(&[hz], ms).silence(300).beeps();
                let [beep] = beeps[..] else { panic!("{hz} Hz, {ms} ms after {before}: {beeps:?}") };
                assert!((beep.hz - hz).abs() < 4.0, "{hz} Hz is heard as {}", beep.hz);
                assert!(beep.length.abs_diff(Duration::from_millis(ms as u64)).as_millis() <= 41, "{beep:?}");
            }
        }
    }

    #[test]
    fn too_short_and_too_long_are_no_beeps() {
        for ms in [60, 90, 2_300, 8_000] {
            assert_eq!(Line::default().silence(500).tones(&[1_000.0], ms).silence(300).beeps(), [], "{ms}");
        }
    }

    #[test]
    fn a_beep_stands_out_of_noise_and_survives_a_lost_packet() {
        let noisy = Line::default().silence(500).tones(&[1_000.0], 400).silence(300).under_noise(1_500.0);
        assert_eq!(noisy.beeps().len(), 1);
        let mut lossy = Line::default().silence(500).tones(&[1_000.0], 600).silence(300);
        lossy.0[5_600..5_760].fill(0.0);
        assert_eq!(lossy.beeps().len(), 1);
    }

    #[test]
    fn signals_of_the_network_are_no_beeps() {
        let ringback = Line::default().tones(&[440.0, 480.0], 1_000).silence(500);
        let europe = Line::default().silence(200).tones(&[425.0], 1_000).silence(500);
        let digit = Line::default().silence(200).tones(&[770.0, 1_336.0], 300).silence(200);
        let sit = Line::default().silence(200).tones(&[950.0], 330).tones(&[1_400.0], 330);
        let sit = sit.tones(&[1_800.0], 330).silence(300);
        for (name, line) in [("ringback", ringback), ("425 Hz", europe), ("DTMF", digit), ("SIT", sit)] {
            assert_eq!(line.beeps(), [], "{name}");
        }
    }

    #[test]
    fn noise_is_no_beep() {
        assert_eq!(Line::default().silence(20_000).under_noise(8_000.0).beeps(), []);
    }

    #[test]
    fn speech_is_no_beep() {
        let clips: [&[u8]; 2] = [
            include_bytes!("../../tests/speech/clips/complete.wav"),
            include_bytes!("../../tests/speech/clips/incomplete.wav"),
        ];
        for clip in clips {
            let line = spoken(clip);
            assert!(line.0.iter().any(|sample| sample.abs() > 3_000.0), "the clip is heard");
            assert_eq!(line.beeps(), []);
        }
    }

    /// Held vowels are the nearest that speech comes to a tone.
    #[test]
    fn a_sung_vowel_is_no_beep() {
        for pitch in [110.0f32, 180.0, 220.0, 300.0, 420.0] {
            let mut phase = 0.0;
            let sung = (0..16_000).map(|n| {
                let vibrato = 1.0 + 0.03 * (TAU * 5.5 * n as f32 / 8_000.0).sin();
                phase += TAU * pitch * vibrato / 8_000.0;
                let formants = |hz: f32| 1.0 / (1.0 + ((hz - 350.0) / 120.0).powi(2)) + 0.1;
                let harmonic = |k: u32| (k as f32 * phase).sin() * formants(pitch * k as f32);
                (1..=8).map(harmonic).sum::<f32>() * 4_000.0
            });
            assert_eq!(Line(sung.collect()).beeps(), [], "{pitch} Hz");
        }
    }
}
