//! A call as its user holds it.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    end::SipEnd,
    error::SipError,
    referral::Referral,
    sdp::{Keys, Local},
    trunk::{Srtp, TransferBy},
    vouched::Verification,
};
use crate::base::{E164, Pii};

/// Signals a user may be behind on before it counts as gone.
pub(super) const SIGNALS: usize = 32;
pub(super) const COMMANDS: usize = 8;

/// A call, out or in. Dropping `signals` hangs it up: a call nobody listens to is over.
#[derive(Debug)]
pub struct SipCall {
    /// The Call-ID.
    pub id: String,
    pub signals: mpsc::Receiver<Signal>,
    pub handle: CallHandle,
    /// None while a call of ours has not left; another for each address or trunk that is tried.
    pub way: watch::Receiver<Option<Way>>,
}

/// The way that a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Name of the trunk.
    pub trunk: String,
    /// Whether the far side of the trunk has the call: its INVITE came in, or ours has any response but a
    /// final refusal.
    pub taken: bool,
}

/// What a call tells, in order; [`Signal::Ended`] comes once and last. The queue is bounded: progress
/// that finds it full is dropped, an offer is refused with 500, and an answer hangs the call up.
pub enum Signal {
    /// The peer has our INVITE.
    Trying,
    Ringing,
    /// The peer plays audio before it answers; the description is not yet its answer. Told again when
    /// another of those that a proxy forked the call to plays: the latest is to be heard.
    EarlyMedia {
        sdp: String,
    },
    /// The peer answered our INVITE. The description may be empty if the peer sent none; it is an offer,
    /// which has its answer already, where [`CallHandle::late_offer`] says so.
    Answered {
        sdp: String,
    },
    /// The peer wants another session: hold, resume, another address.
    Reoffer(Reoffer),
    /// The peer's answer to an offer of ours that left in a 200, since its INVITE had none; or to a
    /// refresh of the session, where it differs from what the peer said before.
    LateAnswer {
        sdp: String,
    },
    /// A key pressed, sent as INFO (`application/dtmf-relay` or `application/dtmf`).
    Dtmf {
        digit: char,
        duration: Duration,
    },
    /// What becomes of our REFER.
    Referral(Referral),
    Ended(SipEnd),
}

/// A request to the peer to call somebody else in our place (REFER, RFC 3515).
#[derive(Debug, Clone)]
pub struct Refer {
    pub to: E164,
    /// Number to say that it is by; the trunk's `caller_id` if `None`.
    pub by: Option<E164>,
    /// The peer's last word is waited for no longer.
    pub patience: Duration,
}

/// A re-INVITE or UPDATE. Unanswered for five seconds, or dropped, it is refused and the session stays
/// as it was.
pub struct Reoffer {
    /// The peer's offer; none asks for ours.
    pub sdp: Option<String>,
    /// Our answer or offer, or the status to refuse with (488 if it is not acceptable).
    pub reply: oneshot::Sender<Result<String, u16>>,
}

/// Descriptions hold keys, and print nothing.
impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signal::Trying => f.write_str("Trying"),
            Signal::Ringing => f.write_str("Ringing"),
            Signal::EarlyMedia { .. } => f.write_str("EarlyMedia"),
            Signal::Answered { .. } => f.write_str("Answered"),
            Signal::Reoffer(_) => f.write_str("Reoffer"),
            Signal::LateAnswer { .. } => f.write_str("LateAnswer"),
            Signal::Dtmf { .. } => f.write_str("Dtmf"),
            Signal::Referral(referral) => f.debug_tuple("Referral").field(referral).finish(),
            Signal::Ended(end) => f.debug_tuple("Ended").field(end).finish(),
        }
    }
}

impl fmt::Debug for Reoffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reoffer").field("offers", &self.sdp.is_some()).finish_non_exhaustive()
    }
}

/// Acts on a call from anywhere.
#[derive(Debug, Clone)]
pub struct CallHandle {
    pub(super) hang_up: CancellationToken,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) ours: Arc<Mutex<Ours>>,
}

/// Our side of the session, as the trunk wants it that the call goes by.
#[derive(Debug, Default)]
pub(super) struct Ours {
    pub srtp: Srtp,
    /// Whether our INVITE had no offer.
    pub late_offer: bool,
    /// Session id and keys of our description, if the call is ours.
    pub offered: Option<(u64, Keys)>,
}

pub(super) enum Command {
    Ring {
        early_media: Option<String>,
    },
    Answer {
        sdp: String,
        /// Dropped, it says that the call has ended.
        done: oneshot::Sender<()>,
    },
    Reject {
        status: u16,
    },
    Reinvite {
        sdp: String,
        done: oneshot::Sender<Result<String, SipError>>,
    },
    TransferBy {
        reply: oneshot::Sender<TransferBy>,
    },
    Refer {
        refer: Refer,
        done: oneshot::Sender<Result<(), SipError>>,
    },
    /// A NOTIFY, or a request of the peer's that may belong to the time before the answer.
    Early(Box<Transaction>),
}

impl CallHandle {
    /// Ends the call: CANCEL before the answer, BYE after it. Returns at once, may be called again.
    pub fn hang_up(&self) {
        self.hang_up.cancel();
    }

    /// What the trunk wants that the call goes by: every description of the call is made and judged by it.
    pub fn srtp(&self) -> Srtp {
        self.ours.lock().srtp
    }

    /// Whether our INVITE left without an offer, as the trunk wants it: the peer's description with its answer is
    /// one, and was answered by what [`sdp::answer`](super::sdp::answer) makes of it.
    pub fn late_offer(&self) -> bool {
        self.ours.lock().late_offer
    }

    /// Makes `local` our side of the session that the call's trunk has: every trunk and address that is
    /// tried has one with an id and keys of its own, and only the last can be answered.
    pub fn fit(&self, local: &mut Local) {
        let ours = self.ours.lock();
        local.srtp = ours.srtp;
        if let Some((session, keys)) = ours.offered.as_ref().filter(|(id, _)| *id != local.session) {
            *local = Local { session: *session, version: 1, keys: keys.clone(), ..local.clone() };
        }
    }

    /// Offers another session in an answered call and gives the peer's answer.
    pub async fn reinvite(&self, sdp: String) -> Result<String, SipError> {
        let (done, answer) = oneshot::channel();
        self.commands.send(Command::Reinvite { sdp, done }).await.map_err(|_| SipError::CallOver)?;
        answer.await.map_err(|_| SipError::CallOver)?
    }

    /// How the call may be transferred: as its trunk is configured, but [`TransferBy::Auto`] only where the
    /// peer says that it takes a REFER.
    pub async fn transfer_by(&self) -> TransferBy {
        let (reply, by) = oneshot::channel();
        match self.commands.send(Command::TransferBy { reply }).await {
            Ok(()) => by.await.unwrap_or(TransferBy::Bridge),
            Err(_) => TransferBy::Bridge,
        }
    }

    /// Asks the peer of an answered call to call somebody else. What becomes of it comes as
    /// [`Signal::Referral`], to the last word within [`Refer::patience`] or the call's end; the call itself
    /// goes on until somebody hangs up. One REFER at a time.
    pub async fn refer(&self, refer: Refer) -> Result<(), SipError> {
        let (done, sent) = oneshot::channel();
        self.commands.send(Command::Refer { refer, done }).await.map_err(|_| SipError::CallOver)?;
        sent.await.map_err(|_| SipError::CallOver)?
    }
}

/// A party to a call that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    Number(E164),
    /// What stands in the URI's user part, where that is no number: an extension, a name.
    Other(Pii<String>),
}

/// A call that came in and waits for an answer. Dropped, it is refused with 480; left alone, it is
/// refused when the ring timeout has passed.
pub struct IncomingCall {
    /// The network's word for who calls (P-Asserted-Identity), or else the caller's own (From);
    /// `None` if anonymous.
    pub from: Option<Party>,
    /// Who was called, as far as the trunk's configuration tells: one of its own numbers before others.
    pub to: Option<Party>,
    /// Every number that may have been called, the likeliest first.
    pub called: Vec<E164>,
    /// Name of the trunk it came by.
    pub trunk: String,
    pub source: SocketAddr,
    /// The number that was called first, where another forwarded the call to ours.
    pub redirected_from: Option<E164>,
    /// What the trunk found out about the caller's number.
    pub verification: Option<Verification>,
    /// The caller's offer; none asks for ours in [`IncomingCall::answer`].
    pub offer: Option<String>,
    pub(super) call: SipCall,
}

impl fmt::Debug for IncomingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = f.debug_struct("IncomingCall");
        parts.field("trunk", &self.trunk).field("source", &self.source).finish_non_exhaustive()
    }
}

impl IncomingCall {
    pub fn id(&self) -> &str {
        &self.call.id
    }

    /// [`CallHandle::srtp`] of the call.
    pub fn srtp(&self) -> Srtp {
        self.call.handle.srtp()
    }

    /// Tells the caller that it rings (180).
    pub async fn ring(&self) -> Result<(), SipError> {
        self.send(Command::Ring { early_media: None }).await
    }

    /// Plays before the answer (183): `sdp` is our answer already, or our offer if the caller made none.
    pub async fn play_early(&self, sdp: String) -> Result<(), SipError> {
        self.send(Command::Ring { early_media: Some(sdp) }).await
    }

    /// Answers with our answer, or with our offer if the caller made none; the caller's answer then
    /// comes as [`Signal::LateAnswer`]. Waits while the caller has yet to acknowledge
    /// [`IncomingCall::play_early`]. Fails where the call has ended, and says how.
    pub async fn answer(mut self, sdp: String) -> Result<SipCall, SipEnd> {
        let (done, answered) = oneshot::channel();
        // To a call that has ended it is not sent, and `done` is dropped with it.
        let _ = self.send(Command::Answer { sdp, done }).await;
        match answered.await {
            Ok(()) => Ok(self.call),
            Err(_) => Err(self.ended().await),
        }
    }

    /// Refuses with a final status: 486 busy, 603 declined, 488 not acceptable.
    pub async fn reject(self, status: u16) -> Result<(), SipError> {
        self.send(Command::Reject { status }).await?;
        let mut call = self.call;
        while call.signals.recv().await.is_some() {}
        Ok(())
    }

    /// What comes from the caller before the answer: another offer, its answer to our early one, or the end, where
    /// the caller gave up or it rang too long. Cancel safe.
    pub async fn signal(&mut self) -> Signal {
        self.call.signals.recv().await.unwrap_or(Signal::Ended(SipEnd::Cancelled))
    }

    /// How the call ends before it is answered. Cancel safe.
    pub async fn ended(&mut self) -> SipEnd {
        loop {
            if let Signal::Ended(end) = self.signal().await {
                return end;
            }
        }
    }

    async fn send(&self, command: Command) -> Result<(), SipError> {
        self.call.handle.commands.send(command).await.map_err(|_| SipError::CallOver)
    }
}
