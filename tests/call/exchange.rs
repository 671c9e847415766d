//! An exchange made of our own SIP and media: behind one trunk, parties with numbers of their own. A party
//! does what the test tells it to, and notes what it hears.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callbox::base::E164;
use callbox::base::audio::Codec;
use callbox::media::{self, MediaEvent, MediaHandle, MediaPlane, SessionConfig, UtteranceId};
use callbox::sip::sdp::{self, Local, Negotiated};
use callbox::sip::{IncomingCall, Party as Called, Signal, SipCall, SipEnd, SipNode, Srtp};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::eventually;
use crate::open_line::{open_line, sound};
use crate::tones::share;

const RATE: u32 = 8_000;
/// Silence of the other side after which a party speaks.
const PATIENCE: Duration = Duration::from_millis(900);

/// What a party does about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Picks up at once, and says something each time it has listened, this often.
    Talks(u32),
    /// Rings until it is told to pick up.
    Rings,
    /// Picks up at once: a greeting of five seconds, a beep, and when six more have passed something short.
    IsMachine,
    /// Picks up at once and is silent.
    Listens,
    Refuses(u16),
}

#[derive(Debug, Clone, Copy)]
enum Order {
    PickUp,
    Sing(f64),
    /// Speaks for a second.
    Speak,
    Press(char),
    HangUp,
}

/// A telephone. Cheap to clone.
#[derive(Clone)]
pub struct Party {
    manner: Manner,
    codecs: Vec<Codec>,
    orders: mpsc::Sender<Order>,
    inbox: Arc<tokio::sync::Mutex<mpsc::Receiver<Order>>>,
    life: Arc<Mutex<Life>>,
}

#[derive(Default)]
struct Life {
    calls: u32,
    shown: Option<String>,
    /// The number that sent the call on.
    redirected_from: Option<String>,
    heard: Vec<i16>,
    digits: String,
    end: Option<SipEnd>,
    encrypted: bool,
}

impl Party {
    pub fn new(manner: Manner) -> Party {
        let (orders, inbox) = mpsc::channel(16);
        let inbox = Arc::new(tokio::sync::Mutex::new(inbox));
        Party { manner, codecs: vec![Codec::Pcmu, Codec::Pcma], orders, inbox, life: Arc::default() }
    }

    pub fn speaking(mut self, codec: Codec) -> Party {
        self.codecs = vec![codec];
        self
    }

    pub async fn picks_up(&self) {
        self.orders.send(Order::PickUp).await.unwrap();
    }

    /// A tone without end.
    pub async fn sings(&self, hz: f64) {
        self.orders.send(Order::Sing(hz)).await.unwrap();
    }

    pub async fn speaks(&self) {
        self.orders.send(Order::Speak).await.unwrap();
    }

    /// Waits until the other side has spoken and then been silent for a second.
    pub async fn hears_out(&self) {
        let spoken = || {
            let heard = &self.life.lock().heard;
            let loud = |sample: &i16| sample.unsigned_abs() > 1_500;
            heard.iter().rposition(loud).is_some_and(|last| heard.len() - last > RATE as usize)
        };
        eventually("the other side has spoken", spoken).await;
    }

    pub async fn presses(&self, digit: char) {
        self.orders.send(Order::Press(digit)).await.unwrap();
    }

    pub async fn hangs_up(&self) {
        self.orders.send(Order::HangUp).await.unwrap();
    }

    /// Waits until the last half second heard is a tone of `hz`, and little else.
    pub async fn hears(&self, hz: f64) {
        eventually(&format!("a party hears {hz} Hz"), || self.share(hz, 4_000) > 0.8).await;
    }

    /// The share of a tone in the last samples heard.
    pub fn share(&self, hz: f64, samples: usize) -> f64 {
        let heard = &self.life.lock().heard;
        share(&heard[heard.len().saturating_sub(samples)..], hz, RATE)
    }

    /// Tenths of a second in which nothing but a tone of `hz` was heard.
    pub fn tenths_of(&self, hz: f64) -> usize {
        let loud = |part: &&[i16]| part.iter().any(|sample| sample.unsigned_abs() > 1_500);
        self.life
            .lock()
            .heard
            .chunks_exact(800)
            .filter(loud)
            .filter(|part| share(part, hz, RATE) > 0.8)
            .count()
    }

    /// Whether a quarter of a second of what was heard so far is a tone of `hz`, and little else.
    pub fn has_heard(&self, hz: f64) -> bool {
        self.life.lock().heard.chunks_exact(2_000).any(|part| share(part, hz, RATE) > 0.8)
    }

    pub async fn rings(&self) {
        eventually("a party's phone rings", || self.life.lock().calls > 0).await;
    }

    pub async fn ends(&self) -> SipEnd {
        eventually("a party's call ends", || self.life.lock().end.is_some()).await;
        self.life.lock().end.clone().unwrap()
    }

    pub fn calls(&self) -> u32 {
        self.life.lock().calls
    }

    /// The number that the last call showed.
    pub fn shown(&self) -> Option<String> {
        self.life.lock().shown.clone()
    }

    /// The number that sent the last call on, as its Diversion says.
    pub fn redirected_from(&self) -> Option<String> {
        self.life.lock().redirected_from.clone()
    }

    pub fn digits(&self) -> String {
        self.life.lock().digits.clone()
    }

    /// Whether the last call's audio was agreed to be encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.life.lock().encrypted
    }

    async fn take(&self, mut call: IncomingCall, media: &MediaPlane) {
        {
            let mut life = self.life.lock();
            life.calls += 1;
            life.end = None;
            life.redirected_from = call.redirected_from.as_ref().map(E164::to_string);
            life.shown = match &call.from {
                Some(Called::Number(number)) => Some(number.to_string()),
                _ => None,
            };
        }
        if let Manner::Refuses(status) = self.manner {
            return call.reject(status).await.unwrap();
        }
        call.ring().await.unwrap();
        let mut inbox = self.inbox.lock().await;
        if self.manner == Manner::Rings {
            let picked_up = tokio::select! {
                order = inbox.recv() => matches!(order, Some(Order::PickUp)),
                end = call.ended() => {
                    self.life.lock().end = Some(end);
                    false
                }
            };
            if !picked_up {
                return;
            }
        }
        let (call, leg, agreed) = self.answer(call, media).await;
        self.talk(call, leg, agreed, &mut inbox).await;
    }

    async fn answer(&self, call: IncomingCall, media: &MediaPlane) -> (SipCall, media::Leg, Negotiated) {
        let leg = media.reserve().unwrap();
        let (codecs, srtp) = (self.codecs.clone(), call.srtp());
        let local = Local { codecs, srtp, ..Local::new(leg.local_addr(), 7) };
        let (answer, agreed) = sdp::answer(&local, call.offer.as_deref().unwrap()).unwrap();
        self.life.lock().encrypted = agreed.terms.srtp.is_some();
        (call.answer(answer).await.unwrap(), leg, agreed)
    }

    async fn talk(
        &self,
        mut call: SipCall,
        leg: media::Leg,
        agreed: Negotiated,
        inbox: &mut mpsc::Receiver<Order>,
    ) {
        let (handle, mut events) = leg.start(session(&agreed)).unwrap();
        let mut voice = Voice { handle, heard: None, turns: 0, utterance: 0 };
        match self.manner {
            Manner::Talks(turns) => voice.turns = turns,
            Manner::IsMachine => voice.say(greeting()),
            Manner::Rings | Manner::Listens | Manner::Refuses(_) => {}
        }
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(MediaEvent::Frame { pcm, .. }) => {
                        voice.listen(&pcm);
                        self.life.lock().heard.extend(pcm);
                    }
                    Some(MediaEvent::Dtmf { digit, .. }) => self.life.lock().digits.push(digit),
                    Some(_) => {}
                    None => return,
                },
                signal = call.signals.recv() => match signal {
                    Some(Signal::Ended(end)) => return self.life.lock().end = Some(end),
                    Some(_) => {}
                    None => return,
                },
                Some(order) = inbox.recv() => match order {
                    Order::Sing(hz) => voice.say(sound(hz, Duration::from_secs(50))),
                    Order::Speak => voice.say(sound(330.0, Duration::from_secs(1))),
                    Order::Press(digit) => voice.handle.send_dtmf(&digit.to_string()).await.unwrap(),
                    Order::HangUp => call.handle.hang_up(),
                    Order::PickUp => {}
                },
            }
        }
    }
}

/// A party's mouth.
struct Voice {
    handle: MediaHandle,
    /// When the other side was last heard since this one spoke.
    heard: Option<Instant>,
    /// What it still has to say.
    turns: u32,
    utterance: u64,
}

impl Voice {
    fn listen(&mut self, pcm: &[i16]) {
        if pcm.iter().any(|sample| sample.unsigned_abs() > 1_500) {
            self.heard = Some(Instant::now());
        }
        if self.turns > 0 && self.heard.is_some_and(|at| at.elapsed() >= PATIENCE) {
            self.turns -= 1;
            self.heard = None;
            self.say(sound(330.0, Duration::from_millis(900)));
        }
    }

    fn say(&mut self, pcm: Vec<i16>) {
        self.utterance += 1;
        self.handle.play(UtteranceId(self.utterance), pcm).unwrap();
        self.handle.finish(UtteranceId(self.utterance)).unwrap();
    }
}

pub struct Exchange {
    sip: SipNode,
}

impl Exchange {
    pub async fn start<const N: usize>(parties: [(&str, &Party); N]) -> Exchange {
        let (sip, mut incoming, media) = open_line(Srtp::Optional).await;
        let media = Arc::new(media);
        let parties: HashMap<String, Party> =
            parties.into_iter().map(|(number, party)| (number.to_owned(), party.clone())).collect();
        tokio::spawn(async move {
            while let Some(call) = incoming.recv().await {
                let Some(Called::Number(number)) = &call.to else { continue };
                let Some(party) = parties.get(number.as_str()).cloned() else { continue };
                let media = media.clone();
                tokio::spawn(async move { party.take(call, &media).await });
            }
        });
        Exchange { sip }
    }

    /// Where a trunk to these parties leads.
    pub fn trunk(&self) -> SocketAddr {
        self.sip.local_address()
    }
}

fn session(agreed: &Negotiated) -> SessionConfig {
    let seed = u64::from(agreed.remote.port());
    agreed.agreed().begin(media::jitter::Config::default(), Duration::from_secs(30), seed)
}

/// Of an answering machine.
fn greeting() -> Vec<i16> {
    let silence = |ms: usize| vec![0; 8 * ms];
    let beep = sound(1_000.0, Duration::from_millis(400));
    let [greets, speaks] = [5, 1].map(|seconds| sound(330.0, Duration::from_secs(seconds)));
    [greets, silence(600), beep, silence(6_000), speaks].concat()
}
