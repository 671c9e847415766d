//! A callee made of our own SIP and media: it answers, speaks by tones, and notes when it hears
//! something.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callbox::base::audio::Codec;
use callbox::eval::phone::session_of;
use callbox::media::{MediaEvent, MediaHandle, MediaPlane, UtteranceId};
use callbox::sip::sdp::{self, Local};
use callbox::sip::{IncomingCall, Signal, SipNode, Srtp};
use parking_lot::Mutex;

use crate::open_line::{open_line, sound};

/// Silence of the other side after which it is the callee's turn.
const PATIENCE: Duration = Duration::from_millis(900);
const TONE_HZ: f64 = 330.0;
const BEEP_HZ: f64 = 1_000.0;
const BEEP: Duration = Duration::from_millis(400);
/// Between a machine's greeting and its beep.
const BEFORE_BEEP: Duration = Duration::from_millis(600);

/// How a callee behaves.
#[derive(Clone, Default)]
pub struct Manner {
    /// Utterances it speaks, each after the other side has spoken and fallen silent.
    turns: u32,
    /// Speaks into the other side's speech, this long after the answer.
    interrupts: Option<Duration>,
    /// The only codec it speaks, if it is choosy.
    codec: Option<Codec>,
    /// Is a machine: greets at once for this long, then beeps.
    greeting: Option<Duration>,
    /// Plays for this long before it answers.
    early: Option<Duration>,
}

impl Manner {
    pub fn answering() -> Self {
        Manner::default()
    }

    /// An answering machine, whose greeting takes this long.
    pub fn voicemail(greeting: Duration) -> Self {
        Manner { greeting: Some(greeting), ..Manner::default() }
    }

    pub fn plays_early(mut self, length: Duration) -> Self {
        self.early = Some(length);
        self
    }

    pub fn speaks_after_silence(mut self, turns: u32) -> Self {
        self.turns = turns;
        self
    }

    pub fn in_codec(mut self, codec: Codec) -> Self {
        self.codec = Some(codec);
        self
    }

    pub fn interrupts_after(mut self, after: Duration) -> Self {
        self.interrupts = Some(after);
        self
    }
}

pub struct Callee {
    sip: SipNode,
    ear: Arc<Mutex<Ear>>,
}

/// What the callee hears.
#[derive(Default)]
struct Ear {
    loud_frames: u32,
    last_loud: Option<Instant>,
    interrupted_at: Option<Instant>,
    quiet_after: Option<Duration>,
    beeped: Option<Beeped>,
}

/// What a machine noted when its beep was over.
struct Beeped {
    quiet_before: Duration,
    loud_frames: u32,
}

impl Callee {
    pub async fn start(manner: Manner) -> Callee {
        let (sip, mut incoming, media) = open_line(Srtp::Off).await;
        let ear = Arc::new(Mutex::new(Ear::default()));
        let listening = ear.clone();
        tokio::spawn(async move {
            while let Some(call) = incoming.recv().await {
                talk(call, &media, &manner, &listening).await;
            }
        });
        Callee { sip, ear }
    }

    /// Where a trunk to this callee leads.
    pub fn trunk(&self) -> SocketAddr {
        self.sip.local_address()
    }

    pub fn heard_seconds(&self) -> f64 {
        f64::from(self.ear.lock().loud_frames) * 0.02
    }

    /// How long the other side had been silent at the end of the beep.
    pub fn quiet_before_beep(&self) -> Option<Duration> {
        self.ear.lock().beeped.as_ref().map(|beeped| beeped.quiet_before)
    }

    /// What a machine has recorded of the other side.
    pub fn recorded_seconds(&self) -> f64 {
        let ear = self.ear.lock();
        let before = ear.beeped.as_ref().map_or(ear.loud_frames, |beeped| beeped.loud_frames);
        f64::from(ear.loud_frames - before) * 0.02
    }

    /// From the beginning of the interruption to the last sound of the other side before it fell silent.
    pub fn quiet_after_interruption(&self) -> Option<Duration> {
        self.ear.lock().quiet_after
    }
}

async fn talk(call: IncomingCall, media: &MediaPlane, manner: &Manner, ear: &Mutex<Ear>) {
    let leg = media.reserve().unwrap();
    let mut local = Local::new(leg.local_addr(), 7);
    local.codecs = manner.codec.map_or(local.codecs, |codec| vec![codec]);
    call.ring().await.unwrap();
    let (answer, agreed) = sdp::answer(&local, call.offer.as_deref().unwrap()).unwrap();
    let session = session_of(&agreed, media.config());
    let (handle, mut events) = leg.start(session).unwrap();
    if let Some(length) = manner.early {
        call.play_early(answer.clone()).await.unwrap();
        handle.play(UtteranceId(0), sound(TONE_HZ, length)).unwrap();
        handle.finish(UtteranceId(0)).unwrap();
        while !matches!(events.recv().await, Some(MediaEvent::Played { .. }) | None) {}
    }
    let mut call = call.answer(answer).await.unwrap();
    let mut speech =
        Speech { handle, manner: manner.clone(), answered: Instant::now(), spoken: 0, heard: false };
    if let Some(greeting) = manner.greeting {
        speech.greet_and_beep(greeting);
    }
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(MediaEvent::Frame { pcm, .. }) => speech.frame(&pcm, ear),
                Some(MediaEvent::Played { .. }) if manner.greeting.is_some() => ear.lock().note_beep(),
                Some(_) => {}
                None => return,
            },
            signal = call.signals.recv() => if matches!(signal, Some(Signal::Ended(_)) | None) {
                return;
            },
        }
    }
}

impl Ear {
    fn note_beep(&mut self) {
        let quiet_before = self.last_loud.map_or(Duration::ZERO, |at| at.elapsed());
        self.beeped.get_or_insert(Beeped { quiet_before, loud_frames: self.loud_frames });
    }
}

/// When the callee speaks.
struct Speech {
    handle: MediaHandle,
    manner: Manner,
    answered: Instant,
    spoken: u32,
    /// The other side has spoken since the callee last did.
    heard: bool,
}

impl Speech {
    fn frame(&mut self, pcm: &[i16], ear: &Mutex<Ear>) {
        let now = Instant::now();
        let loud = pcm.iter().any(|sample| sample.unsigned_abs() > 1_500);
        let mut ear = ear.lock();
        if loud {
            ear.loud_frames += 1;
            ear.last_loud = Some(now);
            self.heard = true;
        }
        let silent = ear.last_loud.map_or(Duration::ZERO, |at| now - at);
        if let (Some(began), None) = (ear.interrupted_at, ear.quiet_after)
            && silent > Duration::from_millis(300)
        {
            ear.quiet_after = Some((now - began).saturating_sub(silent));
        }
        if self.manner.interrupts.take_if(|after| now >= self.answered + *after).is_some() {
            ear.interrupted_at = Some(now);
            self.speak(Duration::from_millis(1_200));
        } else if self.spoken < self.manner.turns && self.heard && silent >= PATIENCE {
            self.spoken += 1;
            self.speak(Duration::from_millis(900));
        }
    }

    fn speak(&mut self, length: Duration) {
        self.heard = false;
        self.play(sound(TONE_HZ, length));
    }

    fn greet_and_beep(&mut self, greeting: Duration) {
        self.play([sound(TONE_HZ, greeting), sound(0.0, BEFORE_BEEP), sound(BEEP_HZ, BEEP)].concat());
    }

    fn play(&self, pcm: Vec<i16>) {
        let utterance = UtteranceId(u64::from(self.spoken) + 1);
        self.handle.play(utterance, pcm).unwrap();
        self.handle.finish(utterance).unwrap();
    }
}
