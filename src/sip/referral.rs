//! The peer is asked to call somebody else (REFER, RFC 3515): from our request to its last word, pure.
//!
//! In come the response to our REFER and the NOTIFYs of the subscription that it opens, in whatever order
//! they arrive, and the clock; out comes a [`Referral`] for each step, the last of which is final.

use std::time::{Duration, Instant};

use rsipstack::sip::{Header, Headers, StatusCode};

/// What the peer says of a REFER. All but the first two are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referral {
    /// It does as asked.
    Accepted,
    /// The party's phone rings.
    Ringing,
    /// The party has answered, or the peer does as asked and tells no more of it (RFC 4488): either way it
    /// needs this call no longer.
    Done,
    /// It says that it does not do it, or says nothing (408). Before anything else of it that means that it
    /// has called nobody; after [`Referral::Accepted`] or [`Referral::Ringing`], as NOTIFYs may come before
    /// the response to the REFER, no more than [`Referral::Lost`].
    Refused { status: u16 },
    /// It has called in vain.
    Failed { status: u16 },
    /// It said that it would, and then nothing that tells how it ended.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Asked,
    Accepted,
    Over,
}

/// One REFER of ours.
#[derive(Debug)]
pub(super) struct Referring {
    state: State,
    /// CSeq of the REFER, which names its subscription; known once it is answered.
    id: Option<u32>,
    deadline: Instant,
}

impl Referring {
    /// The peer's last word is waited for no longer than `patience`.
    pub fn new(now: Instant, patience: Duration) -> Self {
        Referring { state: State::Asked, id: None, deadline: now + patience }
    }

    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_over()).then_some(self.deadline)
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Option<Referral> {
        if self.is_over() || now < self.deadline {
            return None;
        }
        match self.state {
            State::Asked => self.end(Referral::Refused { status: 408 }),
            State::Accepted | State::Over => self.end(Referral::Lost),
        }
    }

    /// The final response to our REFER; 408 if there was none. `subscribed`: NOTIFYs will follow.
    pub fn handle_response(&mut self, status: u16, id: Option<u32>, subscribed: bool) -> Option<Referral> {
        self.id = id;
        match (self.state, status) {
            (State::Over, _) => None,
            (_, 300..) => self.end(Referral::Refused { status }),
            _ if !subscribed => self.end(Referral::Done),
            // A NOTIFY overtook it.
            (State::Accepted, _) => None,
            (State::Asked, _) => self.accept(),
        }
    }

    /// A NOTIFY; the status to refuse it with if it is of another subscription.
    pub fn handle_notice(&mut self, notice: Notice) -> Result<Option<Referral>, StatusCode> {
        if notice.id.is_some_and(|id| self.id.is_some_and(|ours| ours != id)) {
            return Err(StatusCode::CallTransactionDoesNotExist);
        }
        if self.is_over() {
            return Ok(None);
        }
        Ok(match notice.status {
            Some(200..300) => self.end(Referral::Done),
            Some(status @ 300..) => self.end(Referral::Failed { status }),
            Some(_) | None if notice.terminated => self.end(Referral::Lost),
            Some(101..200) => {
                self.state = State::Accepted;
                Some(Referral::Ringing)
            }
            _ if self.state == State::Asked => self.accept(),
            _ => None,
        })
    }

    fn accept(&mut self) -> Option<Referral> {
        self.state = State::Accepted;
        Some(Referral::Accepted)
    }

    fn end(&mut self, referral: Referral) -> Option<Referral> {
        self.state = State::Over;
        Some(referral)
    }
}

/// What a NOTIFY says of a REFER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notice {
    /// Which subscription it is of, where it says so.
    pub id: Option<u32>,
    /// Nothing more will follow.
    pub terminated: bool,
    /// What the call it made was answered with, so far (`message/sipfrag`, RFC 3420).
    pub status: Option<u16>,
}

impl Notice {
    /// Reads a NOTIFY; the status to refuse it with if it is about something else. Some peers leave the
    /// event out: what brings a status line is taken for one of these.
    pub fn read(headers: &Headers, body: &str) -> Result<Notice, StatusCode> {
        let value = |pick: fn(&Header) -> Option<&str>| headers.iter().find_map(pick);
        let event = value(|header| match header {
            Header::Event(event) => Some(event.value()),
            Header::Other(name, event) if name.eq_ignore_ascii_case("o") => Some(event),
            _ => None,
        });
        let state = value(|header| match header {
            Header::SubscriptionState(state) => Some(state.value()),
            _ => None,
        });
        let (package, id) = event.map_or(("", None), named);
        let status = status_line(body);
        if !package.eq_ignore_ascii_case("refer") && (event.is_some() || status.is_none()) {
            return Err(StatusCode::BadEvent);
        }
        let state = state.and_then(|state| state.split(';').next()).unwrap_or_default();
        Ok(Notice { id, terminated: state.trim().eq_ignore_ascii_case("terminated"), status })
    }
}

/// `refer;id=93809824`
fn named(event: &str) -> (&str, Option<u32>) {
    let mut parts = event.split(';').map(str::trim);
    let package = parts.next().unwrap_or_default();
    let id = parts.find_map(|part| part.strip_prefix("id=")).and_then(|id| id.parse().ok());
    (package, id)
}

/// `SIP/2.0 180 Ringing`
fn status_line(body: &str) -> Option<u16> {
    let mut words = body.trim_start().lines().next()?.split_whitespace();
    let version = words.next()?;
    let status = words.next()?.parse().ok()?;
    (version.eq_ignore_ascii_case("SIP/2.0") && (100..700).contains(&status)).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(40);

    fn asked() -> Referring {
        Referring::new(Instant::now(), PATIENCE)
    }

    fn notice(status: u16, terminated: bool) -> Notice {
        Notice { id: None, terminated, status: Some(status) }
    }

    fn headers(lines: &[(&str, &str)]) -> Headers {
        let header = |(name, value): &(&str, &str)| match *name {
            "Event" => Header::Event((*value).into()),
            "Subscription-State" => Header::SubscriptionState((*value).into()),
            name => Header::Other(name.into(), (*value).into()),
        };
        lines.iter().map(header).collect::<Vec<_>>().into()
    }

    #[test]
    fn a_transfer_is_followed_to_the_answer() {
        let mut refer = asked();
        assert_eq!(refer.handle_response(202, Some(7), true), Some(Referral::Accepted));
        assert_eq!(refer.handle_notice(notice(100, false)), Ok(None));
        assert_eq!(refer.handle_notice(notice(180, false)), Ok(Some(Referral::Ringing)));
        assert_eq!(refer.handle_notice(notice(200, true)), Ok(Some(Referral::Done)));
        assert!(refer.is_over() && refer.poll_timeout().is_none());
        assert_eq!(refer.handle_notice(notice(200, true)), Ok(None), "what comes late changes nothing");
    }

    #[test]
    fn a_notify_may_overtake_the_202() {
        let mut refer = asked();
        assert_eq!(refer.handle_notice(notice(100, false)), Ok(Some(Referral::Accepted)));
        assert_eq!(refer.handle_response(202, Some(2), true), None);
        let mut refer = asked();
        assert_eq!(refer.handle_notice(notice(486, true)), Ok(Some(Referral::Failed { status: 486 })));
        assert_eq!(refer.handle_response(202, Some(2), true), None);
    }

    #[test]
    fn a_refusal_and_a_failure_are_told_apart() {
        let mut refer = asked();
        assert_eq!(refer.handle_response(405, None, true), Some(Referral::Refused { status: 405 }));
        let mut refer = asked();
        refer.handle_response(202, None, true);
        assert_eq!(refer.handle_notice(notice(603, true)), Ok(Some(Referral::Failed { status: 603 })));
    }

    #[test]
    fn a_subscription_that_ends_without_a_final_status_is_lost() {
        for last in [notice(100, true), Notice { id: None, terminated: true, status: None }] {
            let mut refer = asked();
            refer.handle_response(202, None, true);
            assert_eq!(refer.handle_notice(last), Ok(Some(Referral::Lost)));
        }
    }

    #[test]
    fn a_peer_that_tells_no_more_is_done() {
        assert_eq!(asked().handle_response(200, None, false), Some(Referral::Done));
    }

    #[test]
    fn every_wait_ends() {
        let now = Instant::now();
        let mut refer = Referring::new(now, PATIENCE);
        assert_eq!(refer.poll_timeout(), Some(now + PATIENCE));
        assert_eq!(refer.handle_timeout(now), None);
        assert_eq!(refer.handle_timeout(now + PATIENCE), Some(Referral::Refused { status: 408 }));
        let mut refer = Referring::new(now, PATIENCE);
        refer.handle_response(202, None, true);
        assert_eq!(refer.handle_timeout(now + PATIENCE), Some(Referral::Lost));
        assert_eq!(refer.handle_timeout(now + PATIENCE), None);
    }

    #[test]
    fn a_notify_of_an_earlier_refer_is_none_of_this_one() {
        let mut refer = asked();
        refer.handle_response(202, Some(9), true);
        let old = Notice { id: Some(7), ..notice(200, true) };
        assert_eq!(refer.handle_notice(old), Err(StatusCode::CallTransactionDoesNotExist));
        let ours = Notice { id: Some(9), ..notice(200, true) };
        assert_eq!(refer.handle_notice(ours), Ok(Some(Referral::Done)));
    }

    #[test]
    fn notifies_are_read_with_and_without_their_event() {
        let full =
            headers(&[("Event", "refer;id=93"), ("Subscription-State", "terminated;reason=noresource")]);
        let read = Notice::read(&full, "SIP/2.0 486 Busy Here\r\n");
        assert_eq!(read, Ok(Notice { id: Some(93), terminated: true, status: Some(486) }));
        let bare = Notice::read(&headers(&[]), "SIP/2.0 180 Ringing");
        assert_eq!(bare, Ok(Notice { id: None, terminated: false, status: Some(180) }));
        let active = headers(&[("o", "Refer"), ("Subscription-State", "active;expires=60")]);
        assert_eq!(Notice::read(&active, ""), Ok(Notice { id: None, terminated: false, status: None }));
        for (event, body) in [("message-summary", "SIP/2.0 200 OK"), ("dialog", ""), ("referral", "")] {
            assert_eq!(Notice::read(&headers(&[("Event", event)]), body), Err(StatusCode::BadEvent));
        }
        for body in ["", "HTTP/1.1 200 OK", "SIP/2.0 999 X", "SIP/2.0", "SIP/2.0 2e2 OK"] {
            assert_eq!(Notice::read(&headers(&[]), body), Err(StatusCode::BadEvent), "{body}");
        }
    }
}
