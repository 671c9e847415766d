//! Makes a frame out of slightly more or slightly less sound by cutting out or repeating one pitch
//! period, so that the delay can change inside speech and nobody hears it. Lengths are of 8 kHz.

use super::FRAME_SAMPLES;

/// Periods tried: 2.5 ms to 15 ms.
pub const LAGS: std::ops::RangeInclusive<usize> = 20..=120;
/// The furthest a splice reaches past the frame, either way.
pub const REACH: usize = *LAGS.end();
/// Samples over which one piece turns into the other.
const FADE: usize = 80;
/// Below this resemblance a splice would be heard.
const ALIKE: f32 = 0.85;
/// Root mean square under which anything may be spliced: about -47 dBFS.
const QUIET: f32 = 150.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Splice {
    /// Takes sound out: the buffer gets shorter.
    Cut,
    /// Repeats sound: the buffer gets longer.
    Repeat,
}

/// Writes one frame, whose length tells the rate, and gives how many samples it used of what begins at
/// `pcm[REACH]`, or `None` where no splice would go unheard. `pcm` has the [`REACH`] samples before the frame, the frame, and
/// for [`Splice::Cut`] the [`REACH`] samples after it.
pub fn splice(pcm: &[i16], kind: Splice, out: &mut [i16]) -> Option<usize> {
    let frame = out.len();
    let scale = frame / FRAME_SAMPLES;
    let (reach, fade) = (REACH * scale, FADE * scale);
    let target = |lag: usize| if kind == Splice::Cut { reach + lag } else { reach - lag };
    let here = &pcm[reach..reach + fade];
    let lags = LAGS.map(|lag| lag * scale);
    let scored = lags.map(|lag| (lag, resemblance(here, &pcm[target(lag)..][..fade], 2 * scale)));
    let (lag, score) = scored.fold((0, f32::MIN), |best, next| if next.1 > best.1 { next } else { best });
    if score < ALIKE && rms(here) > QUIET {
        return None;
    }
    let there = &pcm[target(lag)..];
    for (i, sample) in out.iter_mut().enumerate() {
        let weight = ((i + 1) as f32 / (fade + 1) as f32).min(1.0);
        let old = if i < fade { f32::from(here[i]) } else { 0.0 };
        *sample = (old * (1.0 - weight) + f32::from(there[i]) * weight) as i16;
    }
    Some(if kind == Splice::Cut { frame + lag } else { frame - lag })
}

/// Normalised correlation of every `stride`th sample.
fn resemblance(a: &[i16], b: &[i16], stride: usize) -> f32 {
    let (mut cross, mut left, mut right) = (0.0f32, 1.0f32, 1.0f32);
    for (&a, &b) in a.iter().zip(b).step_by(stride) {
        let (a, b) = (f32::from(a), f32::from(b));
        cross += a * b;
        left += a * a;
        right += b * b;
    }
    cross / (left * right).sqrt()
}

fn rms(pcm: &[i16]) -> f32 {
    let power: f32 = pcm.iter().map(|&s| f32::from(s) * f32::from(s)).sum();
    (power / pcm.len() as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::conceal::signals::tone;

    #[test]
    fn a_tone_stays_smooth_through_a_splice() {
        let signal = tone(200.0, 8_000.0, FRAME_SAMPLES + 2 * REACH);
        for (kind, used) in [(Splice::Cut, FRAME_SAMPLES + 40), (Splice::Repeat, FRAME_SAMPLES - 40)] {
            let mut out = [0; FRAME_SAMPLES];
            assert_eq!(splice(&signal, kind, &mut out), Some(used));
            let biggest = out.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max();
            assert!(biggest < Some(1_400), "{kind:?} {biggest:?}");
        }
    }

    #[test]
    fn loud_noise_is_left_alone_and_quiet_noise_is_not() {
        let mut seed = 1u32;
        let mut noise = |amplitude: i32| -> Vec<i16> {
            let mut next = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((seed >> 16) as i32 * amplitude / 32_768 - amplitude) as i16
            };
            (0..FRAME_SAMPLES + 2 * REACH).map(|_| next()).collect()
        };
        let mut out = [0; FRAME_SAMPLES];
        assert_eq!(splice(&noise(8_000), Splice::Cut, &mut out), None);
        assert!(splice(&noise(50), Splice::Cut, &mut out).is_some());
    }
}
