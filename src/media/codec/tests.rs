use super::*;
use crate::media::conceal::signals::{rms, snr};

fn two_tones(rate: u32, samples: usize) -> Vec<i16> {
    let wave = |n: usize, hz: f32| (n as f32 * hz / rate as f32 * std::f32::consts::TAU).sin();
    (0..samples).map(|n| (5_000.0 * (wave(n, 440.0) + wave(n, 1_100.0))) as i16).collect()
}

/// The best signal-to-noise ratio over the delays that a codec may have.
fn best_snr(said: &[i16], heard: &[i16]) -> f64 {
    let length = said.len() - 500;
    let at = |delay: usize| snr(&said[..length], &heard[delay..delay + length]);
    (0..500).map(at).fold(f64::MIN, f64::max)
}

#[test]
fn every_codec_gives_back_what_it_was_given() {
    for codec in Codec::ALL {
        let rate = codec.sample_rate();
        let said = two_tones(rate, rate as usize);
        let heard = through(codec, &said);
        let (snr, level) = (best_snr(&said, &heard), rms(&heard) / rms(&said));
        println!("{codec:?}: {snr:.1} dB");
        assert!(snr > 15.0 && (0.9..1.1).contains(&level), "{codec:?}: {snr:.1} dB, level {level:.2}");
    }
}

#[test]
fn wideband_carries_what_narrowband_cannot() {
    let high: Vec<i16> = (0..16_000).map(|n| (8_000.0 * (n as f32 * 2.16).sin()) as i16).collect();
    for codec in [Codec::G722, Codec::Opus] {
        let heard = through(codec, &high);
        assert!(rms(&heard[2_000..]) > 0.5 * rms(&high), "{codec:?} at 5.5 kHz");
    }
}

#[test]
fn payloads_have_the_length_of_their_codec() {
    for (codec, expected) in [(Codec::Pcmu, 160..=160), (Codec::G722, 160..=160), (Codec::Opus, 3..=160)] {
        let pcm = two_tones(codec.sample_rate(), frame_samples(codec.sample_rate()));
        let written = Encoder::new(codec, OpusTerms::default()).encode(&pcm, &mut [0; MAX_PAYLOAD]);
        assert!(expected.contains(&written), "{codec:?}: {written}");
    }
}

#[test]
fn a_lost_frame_comes_with_the_next_where_that_was_agreed_on() {
    for fec in [true, false] {
        let mut encoder = Encoder::new(Codec::Opus, OpusTerms { fec, ..OpusTerms::default() });
        let said = two_tones(16_000, 16_000);
        let packets: Vec<Vec<u8>> = said
            .chunks(320)
            .map(|frame| {
                let mut payload = [0; MAX_PAYLOAD];
                let written = encoder.encode(frame, &mut payload);
                payload[..written].to_vec()
            })
            .collect();
        let mut decoder = Decoder::new(Codec::Opus);
        let mut heard = Vec::new();
        packets[..30].iter().for_each(|packet| decoder.decode(packet, &mut heard).unwrap());
        let mut recovered = Vec::new();
        decoder.recover(&packets[31], &mut recovered);
        assert_eq!(recovered.len(), if fec { 320 } else { 0 });
        if fec {
            assert!(rms(&recovered) > 0.5 * rms(&said), "{}", rms(&recovered));
        }
    }
}

#[test]
fn what_is_no_payload_is_refused_and_harms_nothing() {
    let mut decoder = Decoder::new(Codec::Opus);
    let mut pcm = Vec::new();
    assert_eq!(decoder.decode(&[], &mut pcm), Err(Unreadable));
    for seed in 0..2_000u32 {
        let length = seed as usize % 40;
        let bytes: Vec<u8> =
            (0..length as u32).map(|n| (seed.wrapping_mul(2_654_435_761) >> (n % 25)) as u8).collect();
        for decoder in [&mut decoder, &mut Decoder::new(Codec::G722)] {
            decoder.recover(&bytes, &mut pcm);
            let _ = decoder.decode(&bytes, &mut pcm);
            pcm.clear();
        }
    }
}

/// Not a test: `cargo test --lib --release -- --ignored --nocapture cost_of_a_codec`.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_codec() {
    for codec in Codec::ALL {
        let pcm = two_tones(codec.sample_rate(), codec.sample_rate() as usize * 20);
        let clock = std::time::Instant::now();
        std::hint::black_box(through(codec, &pcm));
        let share = clock.elapsed().as_secs_f64() / 20.0;
        println!("{codec:?}: {:.3} % of a core for both directions of a call", share * 100.0);
    }
}
