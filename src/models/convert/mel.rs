//! The mel filter bank that Whisper was trained with (Slaney's scale and area normalisation, as
//! librosa computes it): a 400-point FFT at 16 kHz, so 201 bins from 0 to 8,000 Hz.

pub const BINS: usize = 201;
const NYQUIST_HZ: f64 = 8_000.0;
/// Below this the scale is linear, above it logarithmic.
const BREAK_HZ: f64 = 1_000.0;
const BREAK_MEL: f64 = 15.0;

/// `bands` filters of [`BINS`] weights each, row by row.
pub fn filter_bank(bands: usize) -> Vec<f32> {
    let edges: Vec<f64> = linspace(hz_to_mel(0.0), hz_to_mel(NYQUIST_HZ), bands + 2).map(mel_to_hz).collect();
    let bins: Vec<f64> = linspace(0.0, NYQUIST_HZ, BINS).collect();
    let mut bank = Vec::with_capacity(bands * BINS);
    for band in edges.windows(3) {
        let area = 2.0 / (band[2] - band[0]);
        for bin in &bins {
            let rising = -(band[0] - bin) / (band[1] - band[0]);
            let falling = (band[2] - bin) / (band[2] - band[1]);
            let weight = rising.min(falling);
            // A negative zero stays one, as in the published files: their hashes see it.
            bank.push((if weight >= 0.0 { weight * area } else { 0.0 }) as f32);
        }
    }
    bank
}

fn linspace(from: f64, to: f64, count: usize) -> impl Iterator<Item = f64> {
    let last = count - 1;
    let step = (to - from) / last as f64;
    (0..count).map(move |i| if i == last { to } else { i as f64 * step + from })
}

fn log_step() -> f64 {
    6.4f64.ln() / 27.0
}

fn hz_to_mel(hz: f64) -> f64 {
    if hz < BREAK_HZ { hz * 3.0 / 200.0 } else { BREAK_MEL + (hz / BREAK_HZ).ln() / log_step() }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < BREAK_MEL { mel * 200.0 / 3.0 } else { BREAK_HZ * ((mel - BREAK_MEL) * log_step()).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_is_a_triangle_of_unit_area() {
        for bands in [80, 128] {
            let bank = filter_bank(bands);
            assert_eq!(bank.len(), bands * BINS);
            for filter in bank.chunks(BINS) {
                assert!(filter.iter().all(|w| w.is_finite() && *w >= 0.0));
                assert!(filter.iter().any(|w| *w > 0.0));
            }
        }
    }

    #[test]
    fn scale_is_continuous_at_its_break() {
        assert!((hz_to_mel(1_000.0) - 15.0).abs() < 1e-9);
        assert!((mel_to_hz(hz_to_mel(3_456.0)) - 3_456.0).abs() < 1e-6);
    }
}
