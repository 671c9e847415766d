//! What is said and done when an engine fails. The call apologises once, tries again while the engine
//! comes back, and ends cleanly when it does not.

use std::time::{Duration, Instant};

use crate::voice::answer::{Answer, Voicing};
use crate::voice::effect::{Closing, Effect};
use crate::voice::event::{ClauseId, EngineKind};
use crate::voice::latency::Marks;
use crate::voice::silence::LONGEST_MUTE_MS;
use crate::voice::{Conversation, ms};

/// Between two tries, in milliseconds.
const RETRY_MS: u64 = 700;
/// While the LLM is away the caller hears something this often, in milliseconds.
const REASSURE_MS: u64 = 5_000;

/// The engines that are away.
#[derive(Debug, Default)]
pub(super) struct Outages {
    asr: Option<Instant>,
    llm: Option<LlmOutage>,
    tts: Option<TtsOutage>,
}

impl Outages {
    pub(super) fn llm_is_out(&self) -> bool {
        self.llm.is_some()
    }
}

#[derive(Debug, Clone, Copy)]
struct LlmOutage {
    since: Instant,
    /// When the open question is put again; `None` while an answer is awaited.
    retry: Option<Instant>,
}

#[derive(Debug, Clone)]
struct TtsOutage {
    since: Instant,
    retry: Instant,
    /// Clauses that were not said.
    clauses: Vec<ClauseId>,
}

impl Outages {
    /// A retry is scheduled, which looks after the silence itself.
    pub(super) fn retry_pending(&self) -> bool {
        self.llm.is_some_and(|outage| outage.retry.is_some()) || self.tts.is_some()
    }
}

impl Conversation {
    /// The recogniser lost the utterance: the caller is asked to say it again.
    pub(super) fn handle_asr_failed(&mut self, now: Instant) {
        self.finishing = None;
        self.effects.push_back(Effect::DropUtterance);
        if self.is_machine() {
            return;
        }
        let since = *self.outages.asr.get_or_insert(now);
        if now >= since + self.engine_patience() {
            return self.say_and_hang_up(now, &self.config.phrases.goodbye.clone(), Closing::EngineLost);
        }
        if self.answer.is_none() {
            self.opened = true;
            self.say(now, &self.config.phrases.did_not_catch.clone(), Voicing::Line);
        }
    }

    /// The LLM failed: what it has said so far is said, then the question is put again.
    pub(super) fn handle_llm_failed(&mut self, now: Instant) {
        if self.is_machine() {
            return;
        }
        let first = self.outages.llm.is_none();
        let since = self.outages.llm.map_or(now, |outage| outage.since);
        self.outages.llm = Some(LlmOutage { since, retry: Some(now + ms(RETRY_MS)) });
        if let Some(rest) = self.stop_generating() {
            self.speak_generated(now, rest);
        }
        if first {
            let phrase = self.config.phrases.apology.clone();
            if self.answer.is_some() {
                self.speak(now, &phrase, Voicing::Aside);
            } else {
                self.say(now, &phrase, Voicing::Aside);
            }
        }
        self.answer_progressed(now);
    }

    pub(super) fn handle_tts_failed(&mut self, now: Instant, clause: Option<ClauseId>) {
        let retry = now + ms(RETRY_MS);
        let outage =
            self.outages.tts.get_or_insert_with(|| TtsOutage { since: now, retry, clauses: Vec::new() });
        outage.retry = retry;
        outage.clauses.extend(clause);
    }

    pub(super) fn recovery_timeout(&mut self, now: Instant) {
        self.tts_timeout(now);
        self.llm_timeout(now);
    }

    fn tts_timeout(&mut self, now: Instant) {
        let Some(outage) = &mut self.outages.tts else { return };
        if now >= outage.since + ms(LONGEST_MUTE_MS) {
            return self.hang_up(now, Closing::EngineLost);
        }
        if now < outage.retry {
            return;
        }
        outage.retry = now + ms(LONGEST_MUTE_MS);
        for clause in std::mem::take(&mut outage.clauses) {
            let text = self.answer.as_ref().and_then(|answer| answer.text_of(clause));
            self.effects.extend(text.map(|text| Effect::Speak { clause, text }));
        }
    }

    fn llm_timeout(&mut self, now: Instant) {
        let Some(outage) = self.outages.llm else { return };
        let due = outage.retry.is_some_and(|at| now >= at);
        if !due || self.answer.as_ref().is_some_and(Answer::awaits_audio) || self.agent_is_audible() {
            return self.postpone_llm_retry(now, due);
        }
        if now >= outage.since + self.engine_patience() {
            self.outages.llm = None;
            return self.say_and_hang_up(now, &self.config.phrases.goodbye.clone(), Closing::EngineLost);
        }
        if self.watchdog.silent_for(now) >= ms(REASSURE_MS) {
            self.say(now, &self.config.phrases.one_moment.clone(), Voicing::Aside);
            return self.postpone_llm_retry(now, true);
        }
        self.outages.llm = Some(LlmOutage { retry: None, ..outage });
        self.reply(now, Marks::default());
    }

    /// The agent is still speaking: the question waits.
    fn postpone_llm_retry(&mut self, now: Instant, due: bool) {
        if let Some(outage) = self.outages.llm.as_mut().filter(|_| due) {
            outage.retry = Some(now + ms(RETRY_MS));
        }
    }

    pub(super) fn recovery_deadline(&self) -> Option<Instant> {
        let tts = self.outages.tts.as_ref();
        let tts = tts.map(|outage| outage.retry.min(outage.since + ms(LONGEST_MUTE_MS)));
        let llm = self.outages.llm.and_then(|outage| outage.retry);
        [tts, llm].into_iter().flatten().min()
    }

    /// The engine answered.
    pub(super) fn outage_over(&mut self, engine: EngineKind) {
        match engine {
            EngineKind::Asr => self.outages.asr = None,
            EngineKind::Llm => self.outages.llm = None,
            EngineKind::Tts => self.outages.tts = None,
        }
    }

    fn engine_patience(&self) -> Duration {
        ms(self.config.watchdog.engine_patience_ms)
    }
}
