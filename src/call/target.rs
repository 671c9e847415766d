//! The second leg of a transfer: its call, its audio, and the introduction of its party.

use std::future::pending;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use crate::call::conversing::renegotiate;
use crate::call::leg::{Audio, Leg};
use crate::call::transfer::Happening;
use crate::media::{MediaEvent, MediaEvents, MediaHandle};
use crate::sip::{Signal, SipCall, SipEnd};
use crate::voice::introduction::Verdict;

/// Keys by signalling that may wait for the introduction; more are lost.
const KEYS: usize = 8;

#[derive(Default)]
pub(super) struct Target {
    pub(super) line: Option<OwnedSemaphorePermit>,
    pub(super) call: Option<SipCall>,
    /// Until it is answered.
    pub(super) leg: Option<Leg>,
    answer: Option<String>,
    /// From then on.
    audio: Option<Audio>,
    /// What comes from it; the introduction has it while it is made.
    heard: Option<MediaEvents>,
    introduction: Option<Introducing>,
}

/// An introduction under way.
struct Introducing {
    task: JoinHandle<(Verdict, MediaEvents)>,
    keys: mpsc::Sender<char>,
}

impl Target {
    /// Its media, which flows from here on.
    pub(super) fn start(&mut self) -> Result<MediaHandle, String> {
        if let Some(audio) = &self.audio {
            return Ok(audio.handle.clone());
        }
        let (Some(leg), Some(sdp)) = (self.leg.take(), self.answer.take()) else {
            return Err("it is not answered".into());
        };
        let agreed = leg.accept(&sdp).map_err(|error| error.to_string())?;
        let (audio, heard) = leg.start(&agreed).map_err(|error| error.to_string())?;
        let handle = audio.handle.clone();
        (self.audio, self.heard) = (Some(audio), Some(heard));
        Ok(handle)
    }

    /// Its party is introduced to by `introduce`, which is lent what comes from it.
    pub(super) fn introduce<F>(&mut self, introduce: impl FnOnce(Lent) -> F)
    where
        F: Future<Output = (Verdict, MediaEvents)> + Send + 'static,
    {
        let Some(heard) = self.heard.take() else { return };
        let (keys, pressed) = mpsc::channel(KEYS);
        let task = tokio::spawn(introduce(Lent { heard, pressed }));
        self.introduction = Some(Introducing { task, keys });
    }

    /// What the second leg tells next; never, while there is none.
    pub(super) async fn next(&mut self) -> Happening {
        loop {
            let Target { call: Some(call), heard, introduction, .. } = self else { return pending().await };
            let happening = tokio::select! {
                signal = call.signals.recv() => self.signalled(signal),
                event = next_event(heard) => self.heard(event),
                introduced = introduced(introduction) => Some(self.introduced(introduced)),
            };
            if let Some(happening) = happening {
                return happening;
            }
        }
    }

    pub(super) fn press(&self, digit: char) {
        if let Some(audio) = &self.audio {
            press(&audio.handle, digit);
        }
    }

    fn signalled(&mut self, signal: Option<Signal>) -> Option<Happening> {
        if let (Some(leg), Some(call)) = (&mut self.leg, &self.call) {
            leg.fit(&call.handle);
        }
        match signal {
            Some(Signal::Answered { sdp }) => {
                self.answer = Some(sdp);
                Some(Happening::Answered)
            }
            Some(Signal::Reoffer(reoffer)) => {
                match (&mut self.audio, &mut self.leg) {
                    (Some(audio), _) => renegotiate(audio, reoffer),
                    (None, Some(leg)) => leg.reply(reoffer),
                    // Dropped, it is refused.
                    (None, None) => {}
                }
                None
            }
            Some(Signal::LateAnswer { sdp }) => {
                let used = self.audio.as_mut().map(|audio| audio.accept(&sdp));
                if let Some(Err(error)) = used {
                    tracing::warn!(%error, "the late answer of a transfer cannot be used");
                    self.hang_up();
                }
                None
            }
            Some(Signal::Dtmf { digit, .. }) => match &self.introduction {
                Some(introduction) => {
                    let _ = introduction.keys.try_send(digit);
                    None
                }
                None => Some(Happening::TargetPressed(digit)),
            },
            Some(Signal::Ended(end)) => Some(self.end(Some(end))),
            Some(_) => None,
            None => Some(self.end(None)),
        }
    }

    fn heard(&mut self, event: Option<MediaEvent>) -> Option<Happening> {
        match event {
            Some(MediaEvent::Dtmf { digit, .. }) => Some(Happening::TargetPressed(digit)),
            Some(MediaEvent::RtpTimeout { .. }) => Some(Happening::TargetLost),
            Some(_) => None,
            None => {
                self.heard = None;
                Some(Happening::TargetLost)
            }
        }
    }

    fn introduced(&mut self, done: Option<(Verdict, MediaEvents)>) -> Happening {
        let Some((verdict, heard)) = done else { return Happening::TargetLost };
        self.heard = Some(heard);
        Happening::Introduced(verdict)
    }

    /// The port, the session and the line go back.
    pub(super) fn end(&mut self, end: Option<SipEnd>) -> Happening {
        *self = Target::default();
        Happening::TargetEnded(end)
    }

    pub(super) fn hang_up(&self) {
        if let Some(call) = &self.call {
            call.handle.hang_up();
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.hang_up();
        if let Some(introduction) = &self.introduction {
            introduction.task.abort();
        }
        if let Some(audio) = &self.audio {
            audio.handle.close();
        }
    }
}

/// What an introduction is lent, and gives back the first of.
pub(super) struct Lent {
    pub(super) heard: MediaEvents,
    pub(super) pressed: mpsc::Receiver<char>,
}

async fn next_event(heard: &mut Option<MediaEvents>) -> Option<MediaEvent> {
    match heard {
        Some(heard) => heard.recv().await,
        None => pending().await,
    }
}

/// What an introduction came to, once; `None` if it broke. Never, if there is none.
async fn introduced(introduction: &mut Option<Introducing>) -> Option<(Verdict, MediaEvents)> {
    let done = match introduction {
        Some(introduction) => (&mut introduction.task).await,
        None => pending().await,
    };
    *introduction = None;
    done.ok()
}

pub(super) fn press(leg: &MediaHandle, digit: char) {
    if let Err(error) = leg.press(digit) {
        tracing::debug!(%error, "a key was not passed on");
    }
}
