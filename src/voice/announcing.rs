//! One sentence that is said to whoever is on a line, who is asked nothing.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::engine::worker::TtsHandle;
use crate::media::{MediaEvent, MediaEvents, MediaHandle};
use crate::voice::event::ClauseId;
use crate::voice::introduction::Verdict;
use crate::voice::mouth::{Mouth, VoiceChoice};
use crate::voice::{Event, ms};

/// Progress of the sentence that may wait to be looked at; there is less.
const EVENTS: usize = 8;
/// Nothing takes longer than this.
pub const LONGEST: Duration = ms(20_000);
/// Before any of a conversation, which may follow on the same line.
const CLAUSE: ClauseId = ClauseId(0);

/// The line of whoever it is said to.
pub struct Line<'a> {
    pub media: MediaHandle,
    pub heard: &'a mut MediaEvents,
    /// Something is to come from it: silence means that it is lost.
    pub answered: bool,
}

/// Says `text`. Accepted is who has heard it to its end; lost, where the voice or the line failed.
pub async fn announce(text: String, tts: TtsHandle, voice: VoiceChoice, line: Line<'_>) -> Verdict {
    let Line { media, heard, answered } = line;
    let (events, mut progress) = mpsc::channel(EVENTS);
    let mouth = Mouth::open(tts, voice, media, events);
    mouth.speak(CLAUSE, text);
    let said = async {
        loop {
            tokio::select! {
                Some(event) = progress.recv() => if matches!(event, Event::EngineFailed { .. }) {
                    return Verdict::Lost;
                },
                event = heard.recv() => match event {
                    Some(MediaEvent::Played { utterance, .. }) if utterance.0 == CLAUSE.0 => return Verdict::Accepted,
                    Some(MediaEvent::RtpTimeout { .. }) if answered => return Verdict::Lost,
                    None => return Verdict::Lost,
                    Some(_) => {}
                },
            }
        }
    };
    let verdict = tokio::time::timeout(LONGEST, said).await.unwrap_or(Verdict::Lost);
    if verdict == Verdict::Lost {
        mouth.stop();
    }
    verdict
}
