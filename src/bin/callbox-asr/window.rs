//! What of an utterance Whisper looks at. Pure arithmetic on samples at 16 kHz.

/// Samples a second.
pub const RATE: usize = 16_000;
/// Whisper's encoder takes 30 seconds at most, and a window should leave it room.
pub const MAX_WINDOW: usize = 24 * RATE;
/// Up to here the decoder is asked for all text at once. In more audio it now and then stops early;
/// taken segment by segment, it goes on from the last it was sure of.
pub const ONE_SEGMENT: usize = 12 * RATE;
/// Whisper refuses less than a second.
const MIN_WINDOW: usize = RATE + RATE / 10;

/// Encoder positions for `samples`: 50 a second and some room, in steps of 64. The full window has
/// 1,500; time is nearly proportional.
pub fn audio_ctx(samples: usize) -> i32 {
    let positions = (samples * 50).div_ceil(RATE) + 96;
    positions.next_multiple_of(64).min(1_500) as i32
}

/// More tokens than anybody says in the time; a loop is cut off there.
pub fn max_tokens(samples: usize) -> i32 {
    8 + (samples * 7 / RATE) as i32
}

/// Samples as Whisper wants them, padded with silence to its shortest window.
pub fn to_float(pcm: &[i16]) -> Vec<f32> {
    let mut samples: Vec<f32> = pcm.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
    samples.resize(samples.len().max(MIN_WINDOW), 0.0);
    samples
}

/// Where to cut an utterance that is longer than a window: the quietest 100 ms of the window's last
/// eight seconds, so that no word is cut if any pause is there.
pub fn cut(pcm: &[i16]) -> usize {
    const STEP: usize = RATE / 10;
    let from = MAX_WINDOW - 8 * RATE;
    let energy = |at: &usize| pcm[*at..*at + STEP].iter().map(|s| u64::from(s.unsigned_abs())).sum::<u64>();
    let quietest = (from..MAX_WINDOW - STEP).step_by(STEP).min_by_key(energy);
    quietest.map_or(MAX_WINDOW, |at| at + STEP / 2)
}

/// How loud the loudest 30 ms are, as the root mean square of their samples.
pub fn peak_level(pcm: &[i16]) -> f32 {
    let level = |frame: &[i16]| {
        let power: f64 = frame.iter().map(|s| f64::from(*s).powi(2)).sum();
        (power / frame.len() as f64).sqrt() as f32
    };
    pcm.chunks(RATE * 3 / 100).map(level).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_with_the_audio_up_to_whispers_own() {
        assert_eq!(audio_ctx(RATE), 192);
        assert_eq!(audio_ctx(3 * RATE), 256);
        assert_eq!(audio_ctx(29 * RATE), 1_500);
    }

    #[test]
    fn a_long_utterance_is_cut_in_its_pause() {
        let mut pcm = vec![3_000; 30 * RATE];
        pcm[20 * RATE..20 * RATE + RATE / 2].fill(2);
        let at = cut(&pcm);
        assert!((20 * RATE..20 * RATE + RATE / 2).contains(&at), "{at}");
    }

    #[test]
    fn a_short_word_stands_out_of_the_silence_around_it() {
        let mut pcm = vec![3; 3 * RATE];
        pcm[RATE..RATE + 800].fill(2_000);
        assert!(peak_level(&pcm) > 1_500.0);
        assert!(peak_level(&[0; 160]) < 1.0);
    }
}
