//! Provisional responses that must arrive (RFC 3262): numbered, repeated until a PRACK answers them.
//!
//! Pure: responses, PRACKs and instants in; what to send out. [`Heard`] is the role of who called,
//! [`Told`] that of who is called.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use super::early::MAX_FORKS;

/// The option tag in `Supported` and `Require`.
pub(super) const RELIABLE: &str = "100rel";
/// Responses that wait for the PRACK of the one before; another is dropped.
const MAX_WAITING: usize = 4;

/// The `RAck` header of a PRACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rack {
    pub rseq: u32,
    /// Of the INVITE.
    pub cseq: u32,
}

impl Rack {
    /// `776656 1 INVITE`
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let rack = Rack { rseq: words.next()?.parse().ok()?, cseq: words.next()?.parse().ok()? };
        (words.next()? == "INVITE" && words.next().is_none()).then_some(rack)
    }
}

impl fmt::Display for Rack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} INVITE", self.rseq, self.cseq)
    }
}

/// What a caller has heard, by the tag of each callee that a proxy forked its INVITE to.
#[derive(Debug, Default)]
pub(super) struct Heard {
    forks: Vec<(String, u32)>,
}

impl Heard {
    /// Whether a response is the next one of its callee: to be acknowledged and acted upon. One that was
    /// heard before, or comes before the one it follows, is neither (section 4).
    pub fn is_next(&mut self, tag: &str, rseq: u32) -> bool {
        match self.forks.iter().position(|(fork, _)| fork == tag) {
            Some(known) if self.forks[known].1.checked_add(1) == Some(rseq) => self.forks[known].1 = rseq,
            None if self.forks.len() < MAX_FORKS => self.forks.push((tag.to_owned(), rseq)),
            _ => return false,
        }
        true
    }
}

/// A 180, or a 183 with a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Provisional {
    pub sdp: Option<String>,
}

/// What a callee does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    Send {
        rseq: u32,
        response: Provisional,
    },
    /// No PRACK came: the INVITE is refused with a 5xx.
    GiveUp,
}

/// A PRACK that answers nothing that was said: 481.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoMatch;

/// What a callee tells before its answer, one at a time.
#[derive(Debug)]
pub(super) struct Told {
    /// Of the INVITE.
    cseq: u32,
    t1: Duration,
    next: u32,
    unacknowledged: Option<Unacknowledged>,
    waiting: VecDeque<Provisional>,
}

#[derive(Debug)]
struct Unacknowledged {
    rseq: u32,
    response: Provisional,
    /// None once the INVITE has its answer: then it is not repeated (section 3).
    repeats: Option<Repeats>,
}

#[derive(Debug, Clone, Copy)]
struct Repeats {
    at: Instant,
    pause: Duration,
    give_up_at: Instant,
}

impl Told {
    /// `first` is drawn at random from 1 to 2³¹ − 1.
    pub fn new(cseq: u32, first: u32, t1: Duration) -> Self {
        Told { cseq, t1, next: first, unacknowledged: None, waiting: VecDeque::new() }
    }

    /// Tells `response` now, or once the one before is acknowledged.
    pub fn tell(&mut self, now: Instant, response: Provisional) -> Option<Due> {
        if self.unacknowledged.is_some() {
            if self.waiting.len() < MAX_WAITING {
                self.waiting.push_back(response);
            }
            return None;
        }
        let rseq = self.next;
        self.next += 1;
        let repeats = Repeats { at: now + self.t1, pause: self.t1, give_up_at: now + self.t1 * 64 };
        self.unacknowledged =
            Some(Unacknowledged { rseq, response: response.clone(), repeats: Some(repeats) });
        Some(Due::Send { rseq, response })
    }

    /// The response that is acknowledged; what follows it is [`Told::tell_next`]'s.
    pub fn handle_prack(&mut self, rack: Rack) -> Result<Provisional, NoMatch> {
        let matches = |told: &mut Unacknowledged| rack == Rack { rseq: told.rseq, cseq: self.cseq };
        self.unacknowledged.take_if(matches).map(|told| told.response).ok_or(NoMatch)
    }

    pub fn tell_next(&mut self, now: Instant) -> Option<Due> {
        let response = self.waiting.pop_front()?;
        self.tell(now, response)
    }

    /// Whether the INVITE may be answered: not while a description of ours is unacknowledged.
    pub fn may_answer(&self) -> bool {
        self.unacknowledged.as_ref().is_none_or(|told| told.response.sdp.is_none())
    }

    /// The INVITE has its final response: nothing is repeated, and a late PRACK still matches.
    pub fn handle_answered(&mut self) {
        self.waiting.clear();
        if let Some(told) = &mut self.unacknowledged {
            told.repeats = None;
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let repeats = self.unacknowledged.as_ref()?.repeats?;
        Some(repeats.at.min(repeats.give_up_at))
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        let told = self.unacknowledged.as_mut()?;
        let repeats = told.repeats.as_mut()?;
        if now >= repeats.give_up_at {
            told.repeats = None;
            return Some(Due::GiveUp);
        }
        if now < repeats.at {
            return None;
        }
        repeats.pause *= 2;
        repeats.at = now + repeats.pause;
        Some(Due::Send { rseq: told.rseq, response: told.response.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T1: Duration = Duration::from_millis(500);

    fn ringing() -> Provisional {
        Provisional { sdp: None }
    }

    fn early_media() -> Provisional {
        Provisional { sdp: Some("v=0".into()) }
    }

    fn send(rseq: u32, response: Provisional) -> Option<Due> {
        Some(Due::Send { rseq, response })
    }

    #[test]
    fn rack_is_read_and_written() {
        let rack = Rack { rseq: 776_656, cseq: 1 };
        assert_eq!(Rack::parse(&rack.to_string()), Some(rack));
        assert_eq!(Rack::parse(" 776656   1 INVITE "), Some(rack));
        for text in ["", "1", "1 1", "1 1 BYE", "-1 1 INVITE", "1 1 INVITE x", "99999999999 1 INVITE"] {
            assert_eq!(Rack::parse(text), None, "{text}");
        }
    }

    #[test]
    fn each_response_is_acknowledged_once_and_in_order() {
        let mut heard = Heard::default();
        assert!(heard.is_next("a", 4711));
        assert!(!heard.is_next("a", 4711));
        assert!(!heard.is_next("a", 4713), "4712 is lost and comes again");
        assert!(heard.is_next("a", 4712));
        assert!(heard.is_next("a", 4713));
        assert!(!heard.is_next("a", 4712));
    }

    #[test]
    fn forks_count_for_themselves() {
        let mut heard = Heard::default();
        assert!(heard.is_next("a", 1));
        assert!(heard.is_next("b", 1));
        assert!(heard.is_next("a", 2));
        for fork in 2..MAX_FORKS {
            assert!(heard.is_next(&fork.to_string(), 1));
        }
        assert!(!heard.is_next("one too many", 1));
        assert!(!Heard { forks: vec![("a".into(), u32::MAX)] }.is_next("a", 0));
    }

    #[test]
    fn response_is_repeated_with_doubling_pauses_until_it_is_given_up() {
        let (start, mut told) = (Instant::now(), Told::new(1, 9, T1));
        assert_eq!(told.tell(start, ringing()), send(9, ringing()));
        let mut repeats = Vec::new();
        let gave_up = loop {
            let now = told.poll_timeout().unwrap();
            assert_eq!(told.handle_timeout(now - Duration::from_millis(1)), None);
            match told.handle_timeout(now) {
                Some(Due::Send { rseq: 9, .. }) => repeats.push((now - start).as_millis()),
                other => break (other, now - start),
            }
        };
        assert_eq!(repeats, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
        assert_eq!(gave_up, (Some(Due::GiveUp), T1 * 64));
        assert_eq!(told.poll_timeout(), None);
    }

    #[test]
    fn prack_stops_the_repeats_and_matches_once() {
        let (start, mut told) = (Instant::now(), Told::new(7, 1, T1));
        let _ = told.tell(start, early_media());
        assert_eq!(told.handle_prack(Rack { rseq: 2, cseq: 7 }), Err(NoMatch));
        assert_eq!(told.handle_prack(Rack { rseq: 1, cseq: 8 }), Err(NoMatch));
        assert_eq!(told.handle_prack(Rack { rseq: 1, cseq: 7 }), Ok(early_media()));
        assert_eq!(told.handle_prack(Rack { rseq: 1, cseq: 7 }), Err(NoMatch));
        assert_eq!((told.poll_timeout(), told.tell_next(start)), (None, None));
    }

    #[test]
    fn next_response_waits_for_the_prack_of_the_one_before() {
        let (start, mut told) = (Instant::now(), Told::new(1, 1, T1));
        let _ = told.tell(start, ringing());
        assert_eq!(told.tell(start, early_media()), None);
        assert!(told.may_answer());
        told.handle_prack(Rack { rseq: 1, cseq: 1 }).unwrap();
        assert_eq!(told.tell_next(start), send(2, early_media()));
        assert!(!told.may_answer(), "our description is not acknowledged");
        told.handle_prack(Rack { rseq: 2, cseq: 1 }).unwrap();
        assert!(told.may_answer());
    }

    #[test]
    fn answer_ends_the_repeats_but_not_the_matching() {
        let (start, mut told) = (Instant::now(), Told::new(1, 1, T1));
        let _ = told.tell(start, ringing());
        let _ = told.tell(start, ringing());
        told.handle_answered();
        assert_eq!(told.poll_timeout(), None);
        assert_eq!(told.handle_timeout(start + T1), None);
        assert!(told.handle_prack(Rack { rseq: 1, cseq: 1 }).is_ok());
        assert_eq!(told.tell_next(start), None);
    }
}
