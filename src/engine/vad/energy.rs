//! An energy gate: is there anything to listen to at all?
//!
//! A speech model on every frame of every call costs a core per few hundred calls, and most frames
//! of a phone call are one party's silence. The gate follows the noise floor by minimum tracking (it
//! falls at once with the quietest frame and creeps up otherwise, in the spirit of R. Martin's
//! minimum statistics, 2001) and opens for frames that stand out from it. It is generous: it lets
//! music and door slams through, since its only task is to spare the model what cannot be speech.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::audio::{WIDEBAND_HZ, duration_of, samples_in};

/// The quietest level told apart, in dBFS: below one step of 16-bit audio.
const SILENCE_DBFS: f32 = -96.0;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnergyGateConfig {
    /// How far above the noise floor a frame must be, in dB.
    pub margin_db: f32,
    /// Frames quieter than this never open the gate, in dBFS.
    pub quietest_dbfs: f32,
    /// Frames louder than this always open it, in dBFS: nobody has to shout over a loud floor.
    pub loudest_floor_dbfs: f32,
    /// How fast the floor rises while the level stays above it, in dB a second.
    pub rise_db_per_s: f32,
    /// How long the gate stays open after the last frame that opened it.
    pub hangover_ms: u32,
}

impl Default for EnergyGateConfig {
    fn default() -> Self {
        EnergyGateConfig {
            margin_db: 6.0,
            quietest_dbfs: -60.0,
            loudest_floor_dbfs: -35.0,
            rise_db_per_s: 1.5,
            hangover_ms: 400,
        }
    }
}

/// One caller's gate. Time passes by the samples it is given, at 16 kHz.
#[derive(Debug, Clone)]
pub struct EnergyGate {
    config: EnergyGateConfig,
    floor_dbfs: f32,
    /// Samples for which the gate stays open without a loud frame.
    open_for: u64,
}

impl EnergyGate {
    pub fn new(config: EnergyGateConfig) -> Self {
        // The first frames may already be speech: begin with a low floor, so that they open the gate.
        EnergyGate { config, floor_dbfs: config.quietest_dbfs, open_for: 0 }
    }

    /// Whether `frame` may hold speech. Call it once for every frame, in order.
    pub fn is_open(&mut self, frame: &[i16]) -> bool {
        let level = level_dbfs(frame);
        self.follow_floor(level, frame.len() as u64);
        if level >= self.threshold_dbfs() {
            self.open_for = samples_in(Duration::from_millis(self.config.hangover_ms.into()), WIDEBAND_HZ);
            return true;
        }
        let was_open = self.open_for > 0;
        self.open_for = self.open_for.saturating_sub(frame.len() as u64);
        was_open
    }

    /// The noise floor, in dBFS.
    pub fn floor_dbfs(&self) -> f32 {
        self.floor_dbfs
    }

    fn threshold_dbfs(&self) -> f32 {
        let over_floor = (self.floor_dbfs + self.config.margin_db).min(self.config.loudest_floor_dbfs);
        over_floor.max(self.config.quietest_dbfs)
    }

    fn follow_floor(&mut self, level: f32, samples: u64) {
        let rise = self.config.rise_db_per_s * duration_of(samples, WIDEBAND_HZ).as_secs_f32();
        self.floor_dbfs = level.min(self.floor_dbfs + rise);
    }
}

/// Root mean square level against full scale, in dBFS: 0 is a full-scale square wave, -96 silence.
pub fn level_dbfs(pcm: &[i16]) -> f32 {
    if pcm.is_empty() {
        return SILENCE_DBFS;
    }
    // A square fits into 32 bits: eight are made at a time.
    let sum: u64 = pcm.iter().map(|s| u64::from(u32::from(s.unsigned_abs()).pow(2))).sum();
    let mean = sum as f32 / pcm.len() as f32;
    (10.0 * (mean / (32_768.0 * 32_768.0)).log10()).max(SILENCE_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 512;

    /// A square wave at `dbfs`.
    fn at(dbfs: f32) -> Vec<i16> {
        let amplitude = (32_768.0 * 10f32.powf(dbfs / 20.0)) as i16;
        (0..FRAME).map(|n| if n % 16 < 8 { amplitude } else { -amplitude }).collect()
    }

    /// Gives `seconds` of sound at `dbfs`; how many frames found the gate open.
    fn hear(gate: &mut EnergyGate, dbfs: f32, seconds: f32) -> usize {
        let frames = (seconds * WIDEBAND_HZ as f32) as usize / FRAME;
        (0..frames).filter(|_| gate.is_open(&at(dbfs))).count()
    }

    #[test]
    fn level_is_zero_at_full_scale_and_bounded_in_silence() {
        assert!(level_dbfs(&[i16::MIN; 10]).abs() < 1e-3);
        assert_eq!(level_dbfs(&[0; 10]), SILENCE_DBFS);
        assert_eq!(level_dbfs(&[]), SILENCE_DBFS);
        assert!((level_dbfs(&at(-40.0)) + 40.0).abs() < 0.1);
    }

    #[test]
    fn digital_silence_never_opens() {
        assert_eq!(hear(&mut EnergyGate::new(EnergyGateConfig::default()), -96.0, 10.0), 0);
    }

    #[test]
    fn comfort_noise_after_digital_silence_never_opens() {
        let mut gate = EnergyGate::new(EnergyGateConfig::default());
        hear(&mut gate, -96.0, 1.0);
        assert_eq!(hear(&mut gate, -65.0, 5.0), 0);
    }

    #[test]
    fn first_frame_of_speech_opens_at_once() {
        let mut gate = EnergyGate::new(EnergyGateConfig::default());
        assert!(gate.is_open(&at(-30.0)));
        let mut gate = EnergyGate::new(EnergyGateConfig::default());
        hear(&mut gate, -55.0, 3.0);
        assert!(gate.is_open(&at(-40.0)));
    }

    #[test]
    fn steady_noise_closes_the_gate_once_the_floor_has_learnt_it() {
        let mut gate = EnergyGate::new(EnergyGateConfig::default());
        hear(&mut gate, -45.0, 15.0);
        assert_eq!(hear(&mut gate, -45.0, 5.0), 0);
        assert!(gate.is_open(&at(-38.0)), "speech stands out from it");
    }

    #[test]
    fn a_long_sentence_does_not_close_the_gate_on_itself() {
        let mut gate = EnergyGate::new(EnergyGateConfig::default());
        hear(&mut gate, -60.0, 1.0);
        let mut open = 0;
        for _ in 0..20 {
            open += hear(&mut gate, -28.0, 0.96); // a phrase
            open += hear(&mut gate, -60.0, 0.096); // and the gap between two
        }
        assert_eq!(open, 20 * (30 + 3));
    }

    #[test]
    fn hangover_keeps_the_gate_open_through_a_short_pause_only() {
        let mut gate = EnergyGate::new(EnergyGateConfig::default());
        hear(&mut gate, -60.0, 1.0);
        hear(&mut gate, -30.0, 0.5);
        let hangover = 400 * WIDEBAND_HZ as usize / 1_000;
        assert_eq!(hear(&mut gate, -70.0, 2.0), hangover.div_ceil(FRAME));
    }

    #[test]
    fn loud_speech_opens_over_a_loud_floor() {
        let mut gate = EnergyGate::new(EnergyGateConfig::default());
        hear(&mut gate, -25.0, 60.0);
        assert!(gate.is_open(&at(-24.0)));
    }
}
