//! G.711: 8-bit logarithmic PCM at 8 kHz (ITU-T G.711, 11/1988).
//!
//! Linear samples are 16-bit, scaled as the ITU-T Software Tool Library (G.191) scales them: the
//! 14-bit values of μ-law times four, the 13-bit values of A-law times eight. Decoding reads a table made at
//! compile time. Encoding is arithmetic that the compiler does for eight samples at a time: a segment is an
//! octave, and the exponent and the first four bits of the mantissa of a binary floating-point number are
//! just a code's segment and step.

/// Linear value of every μ-law byte: ±32,124 down to 0.
pub static ULAW: [i16; 256] = table(true);
/// Linear value of every A-law byte: ±32,256 down to ±8.
pub static ALAW: [i16; 256] = table(false);

/// Added to a magnitude so that every μ-law segment begins at a power of two.
const ULAW_BIAS: u16 = 33;
const ULAW_CLIP: u16 = 0x1fff;
/// A-law inverts every even bit on the wire.
const ALAW_TOGGLE: u8 = 0x55;

/// μ-law byte of a linear sample. Both zeros exist; `0` becomes `0xff`.
pub fn encode_ulaw(sample: i16) -> u8 {
    let (sign, magnitude) = split(sample);
    let biased = ((magnitude >> 2) + ULAW_BIAS).min(ULAW_CLIP);
    (!segment_and_step(biased, 5) & 0x7f) | sign
}

/// A-law byte of a linear sample; `0` becomes `0xd5`.
pub fn encode_alaw(sample: i16) -> u8 {
    let (sign, magnitude) = split(sample);
    let level = magnitude >> 4;
    // Steps below the octave of 16, which is segment 1, are as wide as in it.
    let code = if level < 16 { level as u8 } else { segment_and_step(level, 3) };
    (code | sign) ^ ALAW_TOGGLE
}

/// Three bits and four: the octave of a magnitude above 0, counted from 2^`first` on, and its sixteenth.
fn segment_and_step(magnitude: u16, first: u32) -> u8 {
    const EXPONENT_BIAS: u32 = f32::MAX_EXP as u32 - 1;
    const BELOW_STEP: u32 = f32::MANTISSA_DIGITS - 1 - 4;
    // Exact: 16 bits fit into a mantissa.
    let float = f32::from(magnitude).to_bits() >> BELOW_STEP;
    float.wrapping_sub((EXPONENT_BIAS + first) << 4) as u8
}

/// Sign bit of the code (set for positive) and magnitude, negative values as one's complement.
fn split(sample: i16) -> (u8, u16) {
    if sample < 0 { (0, !sample as u16) } else { (0x80, sample as u16) }
}

const fn decode_ulaw(byte: u8) -> i16 {
    let code = !byte;
    let exponent = (code >> 4) & 7;
    let mantissa = (code & 0x0f) as i16;
    let magnitude = (((mantissa << 1) + ULAW_BIAS as i16) << exponent) - ULAW_BIAS as i16;
    if byte & 0x80 == 0 { -magnitude * 4 } else { magnitude * 4 }
}

const fn decode_alaw(byte: u8) -> i16 {
    let code = byte ^ ALAW_TOGGLE;
    let exponent = (code >> 4) & 7;
    let mantissa = ((code & 0x0f) as i16) << 4;
    let magnitude = match exponent {
        0 => mantissa + 8,
        _ => (mantissa + 0x108) << (exponent - 1),
    };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

const fn table(ulaw: bool) -> [i16; 256] {
    let mut values = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        values[byte] = if ulaw { decode_ulaw(byte as u8) } else { decode_alaw(byte as u8) };
        byte += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// G.711 tables 1a and 2a: ends of segments, in units of the 14-bit and 13-bit scales.
    #[test]
    fn codes_match_the_published_tables() {
        let ulaw =
            [(0x80, 8031), (0x8f, 4191), (0x9f, 2079), (0xaf, 1023), (0xbf, 495), (0xfe, 2), (0xff, 0)];
        for (byte, value) in ulaw {
            assert_eq!(ULAW[byte], value * 4, "{byte:#x}");
            assert_eq!(ULAW[byte & 0x7f], -value * 4, "{byte:#x}");
        }
        let alaw = [(0xff, 4032), (0xf0, 2112), (0xef, 2016), (0xdf, 1008), (0x90, 33), (0x81, 3), (0x80, 1)];
        for (code, value) in alaw {
            let byte = code ^ usize::from(ALAW_TOGGLE);
            assert_eq!(ALAW[byte], value * 8, "{byte:#x}");
        }
        assert_eq!([encode_ulaw(0), encode_ulaw(i16::MAX), encode_ulaw(i16::MIN)], [0xff, 0x80, 0x00]);
        assert_eq!([encode_alaw(0), encode_alaw(i16::MAX), encode_alaw(i16::MIN)], [0xd5, 0xaa, 0x2a]);
    }

    /// G.711 tables 5 and 6: one period of the digital milliwatt, 1 kHz at 0 dBm0. Full scale lies at
    /// +3.17 dBm0 for μ-law and +3.14 dBm0 for A-law.
    #[test]
    fn the_digital_milliwatt_has_its_nominal_level() {
        let level = |codes: [u8; 8], table: &[i16; 256], full_scale: f64| {
            let power: f64 =
                codes.iter().map(|&c| f64::from(table[usize::from(c)]).powi(2)).sum::<f64>() / 8.0;
            10.0 * (power / (full_scale * full_scale / 2.0)).log10()
        };
        let ulaw = level([0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e], &ULAW, 8159.0 * 4.0);
        let alaw = level([0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4], &ALAW, 4096.0 * 8.0);
        assert!((3.15..3.19).contains(&-ulaw), "{ulaw}");
        assert!((3.12..3.16).contains(&-alaw), "{alaw}");
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for byte in 0..=255u8 {
            // Negative zero of μ-law has no linear sample of its own.
            if byte != 0x7f {
                assert_eq!(encode_ulaw(ULAW[usize::from(byte)]), byte);
            }
            assert_eq!(encode_alaw(ALAW[usize::from(byte)]), byte);
        }
    }

    /// Decision values of table 2a where segments meet are no midpoints: 479 parts 471 from 495.
    #[test]
    fn segments_meet_at_the_published_decision_values() {
        for edge in [31, 95, 223, 479, 991, 2015, 4063] {
            let around = [edge * 4 - 1, edge * 4].map(|s| ULAW[usize::from(encode_ulaw(s))] / 4);
            assert!(around[0] < edge && edge < around[1], "{edge}: {around:?}");
        }
    }

    proptest! {
        #[test]
        fn the_error_is_at_most_half_a_step(sample: i16) {
            // One's complement moves the decision for negative samples by one 16-bit unit.
            let error = |value: i16| (i32::from(value) - i32::from(sample)).abs();
            let byte = encode_ulaw(sample);
            let clipped = (i32::from(sample).abs() - 32_635).max(0);
            prop_assert!(error(ULAW[usize::from(byte)]) <= (4 << (!byte >> 4 & 7)) + 1 + clipped);
            let byte = encode_alaw(sample);
            let exponent = ((byte ^ ALAW_TOGGLE) >> 4 & 7).max(1);
            prop_assert!(error(ALAW[usize::from(byte)]) <= (8 << (exponent - 1)) + 1);
        }

        #[test]
        fn encoding_is_monotonic(a: i16, b: i16) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(ULAW[usize::from(encode_ulaw(low))] <= ULAW[usize::from(encode_ulaw(high))]);
            prop_assert!(ALAW[usize::from(encode_alaw(low))] <= ALAW[usize::from(encode_alaw(high))]);
        }
    }
}
