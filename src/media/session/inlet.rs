//! Audio that was made for another rate than the line has, on its way into the playout.

use std::borrow::Cow;

use crate::media::{
    playout::UtteranceId,
    resample::{Resampler, stretched},
};

/// Fits one utterance at a time; seams inside it are not heard.
#[derive(Default)]
pub struct Inlet(Option<Box<Fitting>>);

struct Fitting {
    utterance: UtteranceId,
    from: u32,
    to: u32,
    resampler: Resampler,
}

impl Inlet {
    /// The chunk at `to` Hz.
    pub fn fit(&mut self, utterance: UtteranceId, pcm: Cow<'_, [i16]>, from: u32, to: u32) -> Vec<i16> {
        if from == to {
            return pcm.into_owned();
        }
        let fits = |kept: &Fitting| (kept.utterance, kept.from, kept.to) == (utterance, from, to);
        if !self.0.as_deref().is_some_and(fits) {
            let made = Resampler::new(from, to).ok();
            self.0 = made.map(|resampler| Fitting { utterance, from, to, resampler }.into());
        }
        let Some(kept) = &mut self.0 else { return stretched(&pcm, from, to) };
        let mut out = Vec::with_capacity(pcm.len() * to as usize / from as usize + 1);
        kept.resampler.process(&pcm, &mut out);
        out
    }

    /// What the filter still holds of the utterance, if the line still has the rate `to`.
    pub fn flush(&mut self, utterance: UtteranceId, to: u32) -> Vec<i16> {
        let mut out = Vec::new();
        if let Some(kept) = self.0.take_if(|kept| kept.utterance == utterance && kept.to == to) {
            { kept }.resampler.flush(&mut out);
        }
        out
    }
}
