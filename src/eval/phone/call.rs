//! One answered call: feeds [`Turns`] and [`Hearing`] with what media, signalling and the clock say,
//! and writes the report.

use std::future::pending;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::hearing::{Change, Hearing};
use super::report::{CallReport, Said};
use super::script::Step;
use super::turns::{self, Effect, Event, Turns};
use super::{Config, ear::Ear};
use crate::base::audio::{NARROWBAND_HZ, duration_of};
use crate::engine::worker::VadHandle;
use crate::media::dtmf::sending_time;
use crate::media::{FRAME_SAMPLES, MediaError, MediaEvent, MediaEvents, MediaHandle, Recorded, UtteranceId};
use crate::sip::sdp::{self, Local};
use crate::sip::{Signal, SipCall, SipEnd};

/// Audio that is kept of a call: 30 minutes.
const KEPT: usize = 30 * 60 * NARROWBAND_HZ as usize;
/// What the other side's jitter buffer may still hold when the phone hangs up.
const TAIL: Duration = Duration::from_millis(200);

/// An answered call whose audio flows.
pub(super) struct Conversation<'a> {
    pub config: &'a Config,
    pub pace: turns::Config,
    pub call: SipCall,
    pub local: Local,
    pub media: MediaHandle,
    pub events: MediaEvents,
    pub vad: Option<&'a VadHandle>,
    pub record: Option<PathBuf>,
}

impl Conversation<'_> {
    /// Talks until one side hangs up.
    pub async fn hold(mut self) -> CallReport {
        let began = Instant::now();
        let mut exchange = Exchange {
            script: &self.config.script,
            media: self.media.clone(),
            turns: Turns::new(self.pace.clone(), self.config.script.len(), began),
            hearing: Hearing::new(self.config.voiced_dbfs),
            ear: Ear::new(self.vad),
            clock: Clock::default(),
            said: Vec::new(),
            voices: Vec::new(),
            voice: None,
            pressing: None,
            report: CallReport::unanswered(SipEnd::LocalHangup),
        };
        let recorded = self.record.take().map(|path| self.media.record(path));
        exchange.report.end = self.talk(&mut exchange).await;
        exchange.report.talked = Some(began.elapsed());
        self.finish(exchange, recorded).await
    }

    async fn talk(&mut self, exchange: &mut Exchange<'_>) -> SipEnd {
        loop {
            while let Some(effect) = exchange.turns.poll_effect() {
                match effect {
                    Effect::Perform(step) => exchange.perform(step).await,
                    Effect::HangUp => {
                        tokio::time::sleep(TAIL).await;
                        self.call.handle.hang_up();
                    }
                }
            }
            let due = [exchange.turns.poll_timeout(), exchange.pressing].into_iter().flatten().min();
            tokio::select! {
                biased;
                signal = self.call.signals.recv() => match signal {
                    Some(Signal::Ended(end)) => return end,
                    Some(signal) => self.signal(signal),
                    None => return SipEnd::LocalHangup,
                },
                Some(event) = self.events.recv() => exchange.hear(event).await,
                () = at(due) => exchange.handle_timeout(Instant::now()),
            }
        }
    }

    /// A new offer is answered and followed as the codec allows; the script goes on.
    fn signal(&mut self, signal: Signal) {
        let Signal::Reoffer(reoffer) = signal else { return };
        self.local.version += 1;
        let answer = match reoffer.sdp.as_deref() {
            None => Ok(sdp::offer(&self.local)),
            Some(offer) => sdp::answer(&self.local, offer).map_err(|_| 488).map(|(answer, agreed)| {
                // A leg that is gone needs no update.
                let _ = self.media.update(agreed.agreed());
                answer
            }),
        };
        // The other side may have hung up meanwhile.
        let _ = reoffer.reply.send(answer);
    }

    async fn finish(
        self,
        mut exchange: Exchange<'_>,
        recorded: Option<Result<Recorded, MediaError>>,
    ) -> CallReport {
        exchange.sum_up();
        exchange.report.media = self.media.stats().await.ok();
        self.media.close();
        match recorded {
            Some(Ok(recorded)) => match recorded.summary().await {
                Ok(summary) => exchange.report.recording = Some(summary),
                Err(error) => exchange.note(Some(error)),
            },
            Some(Err(error)) => exchange.note(Some(error)),
            None => {}
        }
        exchange.report
    }
}

/// The phone's state during a call.
struct Exchange<'a> {
    script: &'a [Step],
    media: MediaHandle,
    turns: Turns,
    hearing: Hearing,
    ear: Ear,
    clock: Clock,
    /// Steps said, and when their first and last packets left.
    said: Vec<(usize, Instant, Option<Instant>)>,
    /// Voices heard, from and to.
    voices: Vec<(Duration, Duration)>,
    /// Where the voice that is being heard began.
    voice: Option<Duration>,
    /// When the digits under way have all been sent.
    pressing: Option<Instant>,
    report: CallReport,
}

impl Exchange<'_> {
    async fn perform(&mut self, step: usize) {
        match &self.script[step] {
            Step::Say(said) => {
                let utterance = UtteranceId(step as u64);
                let played = self.media.play(utterance, said.pcm.clone());
                self.note(played.and_then(|()| self.media.finish(utterance)).err());
            }
            Step::Press(digits) => {
                self.note(self.media.send_dtmf(digits).await.err());
                self.pressing = Some(Instant::now() + sending_time(digits));
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.pressing.is_some_and(|at| at <= now) {
            self.pressing = None;
            self.turns.handle(now, Event::StepEnded);
        }
        self.turns.handle_timeout(now);
    }

    async fn hear(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::Frame { start, pcm, .. } => self.frame(start, &pcm).await,
            MediaEvent::Playing { utterance, at } => self.said.push((utterance.0 as usize, at, None)),
            MediaEvent::Played { samples, .. } => {
                if let Some((_, start, end)) = self.said.last_mut() {
                    *end = Some(*start + last_packet(samples));
                }
                self.turns.handle(Instant::now(), Event::StepEnded);
            }
            MediaEvent::Dtmf { digit, .. } => self.report.dtmf.push(digit),
            _ => {}
        }
    }

    async fn frame(&mut self, start: u64, pcm: &[i16]) {
        self.clock.see(start, Instant::now());
        let end = start as usize + pcm.len();
        if end <= KEPT {
            self.report.audio.resize(start as usize, 0);
            self.report.audio.extend_from_slice(pcm);
        }
        let (level, speech) = self.ear.judge(pcm).await;
        let now = Instant::now();
        match self.hearing.handle_frame(start, level, speech) {
            Some(Change::Began { at }) => {
                self.voice = Some(duration_of(at, NARROWBAND_HZ));
                self.turns.handle(now, Event::OtherSpeaks);
            }
            Some(Change::Ended { at }) => {
                let at = duration_of(at, NARROWBAND_HZ);
                self.voice_ended(at);
                self.turns.handle(now, Event::OtherSilent { since: self.clock.moment_of(at).unwrap_or(now) });
            }
            None => {}
        }
    }

    fn voice_ended(&mut self, at: Duration) {
        if let Some(began) = self.voice.take() {
            self.voices.push((began, at));
        }
    }

    /// Brings moments and sample counts together, when the clock is known as well as it will be. A voice
    /// that still spoke when the call ended ends there.
    fn sum_up(&mut self) {
        self.voice_ended(duration_of(self.report.audio.len() as u64, NARROWBAND_HZ));
        for &(step, start, end) in &self.said {
            if let Some(Step::Say(line)) = self.script.get(step) {
                let (start, end) = (self.clock.time_of(start), end.map(|end| self.clock.time_of(end)));
                self.report.said.push(Said { step, text: line.text.clone(), start, end });
            }
        }
        for &(start, end) in &self.voices {
            self.report.hear(start, end);
        }
    }

    fn note(&mut self, problem: Option<impl std::fmt::Display>) {
        if let Some(problem) = problem {
            self.report.problem.get_or_insert_with(|| problem.to_string());
        }
    }
}

/// Ties sample counts to the clock. Frames reach the phone late and never early, so the earliest of them
/// tells when the count began.
#[derive(Default)]
struct Clock {
    origin: Option<Instant>,
}

impl Clock {
    fn see(&mut self, start: u64, now: Instant) {
        let origin = now.checked_sub(duration_of(start, NARROWBAND_HZ));
        self.origin = [self.origin, origin].into_iter().flatten().min();
    }

    fn moment_of(&self, time: Duration) -> Option<Instant> {
        self.origin.map(|origin| origin + time)
    }

    fn time_of(&self, moment: Instant) -> Duration {
        self.origin.map_or(Duration::ZERO, |origin| moment.saturating_duration_since(origin))
    }
}

/// From the packet with the first sample to the packet with the last.
fn last_packet(samples: u64) -> Duration {
    let frame = FRAME_SAMPLES as u64;
    duration_of(samples.div_ceil(frame).saturating_sub(1) * frame, NARROWBAND_HZ)
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => pending().await,
    }
}
