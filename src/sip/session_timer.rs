//! Session timers (RFC 4028): a session that nobody refreshes in time is over, so that a peer that
//! vanished ends the call even where nothing else would.
//!
//! Pure: headers' values in, headers' values and instants out. [`Terms::answer`] is the role of who gets
//! an INVITE or a refresh, [`Terms::accept`] that of who sent one; both give a [`Timer`] for the dialog.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// The option tag in `Supported` and `Require`.
pub(super) const TIMER: &str = "timer";
/// No interval may be shorter (section 5).
pub(super) const SHORTEST: Duration = Duration::from_secs(90);
/// Behind which an expiry is late by a lost packet or a busy peer, at most (section 10).
const GRACE: Duration = Duration::from_secs(32);
/// With no more left than this until the expiry, a refresh that failed is not tried again.
const TOO_LATE: Duration = Duration::from_secs(1);

/// A side of the request that set the timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Uac,
    Uas,
}

/// The `Session-Expires` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionExpires {
    /// Whole seconds.
    pub interval: Duration,
    pub refresher: Option<Role>,
}

impl SessionExpires {
    /// `1800;refresher=uac`; unknown parameters are skipped.
    pub fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let interval = delta_seconds(parts.next()?)?;
        let refresher = parts.filter_map(|part| part.split_once('=')).find_map(|(name, value)| {
            let named = name.trim().eq_ignore_ascii_case("refresher");
            match value.trim().to_ascii_lowercase().as_str() {
                "uac" if named => Some(Role::Uac),
                "uas" if named => Some(Role::Uas),
                _ => None,
            }
        });
        Some(SessionExpires { interval, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.interval.as_secs())?;
        match self.refresher {
            Some(Role::Uac) => f.write_str(";refresher=uac"),
            Some(Role::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}

/// The value of a `Min-SE` header; parameters are skipped.
pub(super) fn parse_min_se(value: &str) -> Option<Duration> {
    delta_seconds(value.split(';').next()?.trim())
}

fn delta_seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // Ten digits fit in 32 bits or mean forever; either way longer than any call.
    digits.then(|| Duration::from_secs(text.parse::<u32>().unwrap_or(u32::MAX).into()))
}

/// What a request says of session timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Asked {
    /// Whether `Supported` or `Require` lists [`TIMER`].
    pub supported: bool,
    pub expires: Option<SessionExpires>,
    pub min_se: Option<Duration>,
}

/// What our 2xx says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub expires: SessionExpires,
    /// Whether `Require: timer` must stand beside it.
    pub require: bool,
}

/// The peer's interval is too short: 422 with this `Min-SE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooSmall(pub Duration);

/// What this node wants of its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// The interval asked for.
    pub wanted: Duration,
    /// No interval may be shorter: [`SHORTEST`] but in tests.
    pub floor: Duration,
}

impl Terms {
    /// What our INVITE asks for; who refreshes is left to the peer.
    pub fn ask(&self) -> SessionExpires {
        SessionExpires { interval: self.wanted.max(self.floor), refresher: None }
    }

    /// How a request is answered (section 9). The interval may be shortened, never below what either
    /// side allows; the peer refreshes if it can.
    pub fn answer(&self, asked: &Asked) -> Result<Answer, TooSmall> {
        let floor = asked.min_se.unwrap_or(self.floor).max(self.floor);
        let interval = match asked.expires {
            // Only a peer that knows timers can be asked for a longer one.
            Some(expires) if expires.interval < self.floor && asked.supported => {
                return Err(TooSmall(self.floor));
            }
            Some(expires) => expires.interval.min(self.wanted).max(floor),
            None => self.wanted.max(floor),
        };
        let refresher = match (asked.supported, asked.expires.and_then(|expires| expires.refresher)) {
            (false, _) => Role::Uas,
            (true, named) => named.unwrap_or(Role::Uac),
        };
        let expires = SessionExpires { interval, refresher: Some(refresher) };
        Ok(Answer { expires, require: asked.supported })
    }

    /// What a 2xx to our request set: nothing if it names no interval, for then the peer keeps no timer.
    pub fn accept(&self, response: Option<SessionExpires>) -> Option<Agreed> {
        let expires = response?;
        let refresher = match expires.refresher {
            Some(Role::Uas) => Refresher::Peer,
            // Without the parameter the answer is broken (section 9 demands it); then it is safe to refresh.
            Some(Role::Uac) | None => Refresher::Us,
        };
        Some(Agreed { interval: expires.interval.max(self.floor), refresher })
    }
}

impl Answer {
    pub fn agreed(&self) -> Agreed {
        let refresher =
            if self.expires.refresher == Some(Role::Uas) { Refresher::Us } else { Refresher::Peer };
        Agreed { interval: self.expires.interval, refresher }
    }
}

/// What a request and its 2xx agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreed {
    pub interval: Duration,
    pub refresher: Refresher,
}

/// Who of the two keeps the session alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresher {
    Us,
    Peer,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Send an UPDATE or a re-INVITE.
    Refresh,
    /// The peer did not: a BYE.
    Expired,
}

/// Why a refresh of ours did not refresh, where the session lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unrefreshed {
    /// The peer's own request was under way (491): again after this pause.
    Glare { pause: Duration },
    /// The peer wants a longer interval (422).
    TooSmall { min_se: Duration },
    /// Anything else may pass: again in the middle of what is left, or when the peer says if that is later
    /// (section 10; RFC 3261 section 14.1).
    Failed { retry_after: Option<Duration> },
}

/// The timer of one dialog, begun anew by every 2xx to an INVITE or UPDATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timer {
    /// What the next refresh asks for.
    interval: Duration,
    refresher: Refresher,
    /// The peer's shortest, once it refused a refresh for that (section 7.4).
    min_se: Option<Duration>,
    /// None while a refresh of ours is under way or too late, and where the peer refreshes.
    refresh_at: Option<Instant>,
    expires_at: Instant,
}

impl Timer {
    pub fn new(now: Instant, agreed: Agreed) -> Self {
        let Agreed { interval, refresher } = agreed;
        Timer {
            interval,
            refresher,
            min_se: None,
            // Half the interval leaves time for a second try.
            refresh_at: (refresher == Refresher::Us).then(|| now + interval / 2),
            expires_at: now + interval - GRACE.min(interval / 3),
        }
    }

    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// What a request of ours within the session says, so that the roles stay as they are.
    pub fn ask(&self) -> SessionExpires {
        let refresher = match self.refresher {
            Refresher::Us => Role::Uac,
            Refresher::Peer => Role::Uas,
        };
        SessionExpires { interval: self.interval, refresher: Some(refresher) }
    }

    pub fn min_se(&self) -> Option<Duration> {
        self.min_se
    }

    /// What holds on after a 2xx that names no interval, as one does of a peer that knows no timers. It needs
    /// no more refreshes (section 7.2), but ours go on: they are how we learn that it vanished.
    pub fn unnamed(&self) -> Option<Agreed> {
        let Timer { interval, refresher, .. } = *self;
        (refresher == Refresher::Us).then_some(Agreed { interval, refresher })
    }

    pub fn poll_timeout(&self) -> Instant {
        self.refresh_at.map_or(self.expires_at, |refresh| refresh.min(self.expires_at))
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        if now >= self.expires_at {
            return Some(Due::Expired);
        }
        self.refresh_at.take_if(|refresh| now >= *refresh).map(|_| Due::Refresh)
    }

    pub fn handle_unrefreshed(&mut self, now: Instant, why: Unrefreshed) {
        let left = self.expires_at.saturating_duration_since(now);
        match why {
            // However short the session is, it is tried once more before it expires.
            Unrefreshed::Glare { pause } => self.refresh_at = Some(now + pause.min(left / 2)),
            Unrefreshed::TooSmall { min_se } if min_se > self.interval => {
                self.interval = min_se;
                self.min_se = Some(min_se);
                self.refresh_at = Some(now);
            }
            Unrefreshed::Failed { retry_after } if left > TOO_LATE => {
                self.refresh_at = Some(now + retry_after.unwrap_or_default().clamp(left / 2, left));
            }
            Unrefreshed::TooSmall { .. } | Unrefreshed::Failed { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const TERMS: Terms = Terms { wanted: seconds(600), floor: SHORTEST };

    fn agreed(interval: u64, refresher: Refresher) -> Agreed {
        Agreed { interval: seconds(interval), refresher }
    }

    fn asked(supported: bool, expires: Option<&str>, min_se: Option<u64>) -> Asked {
        Asked { supported, expires: expires.and_then(SessionExpires::parse), min_se: min_se.map(seconds) }
    }

    fn answered(asked: Asked) -> Result<(String, bool), TooSmall> {
        TERMS.answer(&asked).map(|answer| (answer.expires.to_string(), answer.require))
    }

    #[test]
    fn headers_are_read_and_written() {
        for text in ["1800;refresher=uac", "90;refresher=uas", "3600"] {
            assert_eq!(SessionExpires::parse(text).unwrap().to_string(), text);
        }
        let loose = SessionExpires::parse(" 1800 ; x=1 ; Refresher = UAS").unwrap();
        assert_eq!(loose.to_string(), "1800;refresher=uas");
        for text in ["", "-90", "90s", ";refresher=uac"] {
            assert_eq!(SessionExpires::parse(text), None, "{text}");
        }
        assert_eq!(SessionExpires::parse("99999999999").unwrap().interval, seconds(u32::MAX.into()));
        assert_eq!(parse_min_se("120;x"), Some(seconds(120)));
    }

    #[test]
    fn answers_follow_the_table_of_section_9() {
        let answer = |text: &str, require| Ok((text.to_owned(), require));
        assert_eq!(answered(asked(true, Some("1800"), None)), answer("600;refresher=uac", true));
        assert_eq!(answered(asked(true, Some("300;refresher=uas"), None)), answer("300;refresher=uas", true));
        assert_eq!(answered(asked(true, None, None)), answer("600;refresher=uac", true));
        assert_eq!(answered(asked(false, None, None)), answer("600;refresher=uas", false));
        assert_eq!(answered(asked(false, Some("1800"), None)), answer("600;refresher=uas", false));
    }

    #[test]
    fn interval_is_never_below_what_either_side_allows() {
        assert_eq!(answered(asked(true, Some("1800"), Some(900))).unwrap().0, "900;refresher=uac");
        assert_eq!(answered(asked(true, Some("30"), None)), Err(TooSmall(SHORTEST)));
        assert_eq!(answered(asked(false, Some("30"), None)).unwrap().0, "90;refresher=uas");
    }

    #[test]
    fn we_refresh_at_half_and_give_up_before_the_end() {
        let start = Instant::now();
        let mut timer = Timer::new(start, agreed(600, Refresher::Us));
        assert_eq!(timer.handle_timeout(start + seconds(299)), None);
        assert_eq!(timer.handle_timeout(start + seconds(300)), Some(Due::Refresh));
        assert_eq!(timer.handle_timeout(start + seconds(567)), None);
        assert_eq!(timer.handle_timeout(start + seconds(568)), Some(Due::Expired));
    }

    #[test]
    fn peer_that_does_not_refresh_is_hung_up_on() {
        let start = Instant::now();
        let mut timer = Timer::new(start, agreed(90, Refresher::Peer));
        assert_eq!(timer.handle_timeout(start + seconds(59)), None);
        assert_eq!(timer.handle_timeout(start + seconds(60)), Some(Due::Expired));
    }

    #[test]
    fn refreshes_of_ours_go_on_where_the_peer_names_no_interval() {
        let timer = |refresher| Timer::new(Instant::now(), agreed(600, refresher));
        assert_eq!(timer(Refresher::Us).unnamed(), Some(agreed(600, Refresher::Us)));
        assert_eq!(timer(Refresher::Peer).unnamed(), None);
    }

    #[test]
    fn response_says_who_refreshes() {
        let parse = |text| SessionExpires::parse(text);
        let accept = |text| TERMS.accept(parse(text));
        assert_eq!(accept("1800;refresher=uas"), Some(agreed(1800, Refresher::Peer)));
        assert_eq!(accept("1800"), Some(agreed(1800, Refresher::Us)));
        assert_eq!(accept("10;refresher=uac"), Some(agreed(90, Refresher::Us)));
        assert_eq!(TERMS.accept(None), None);
        let ours = TERMS.answer(&asked(false, None, None)).unwrap();
        assert_eq!(ours.agreed(), agreed(600, Refresher::Us));
        let theirs = TERMS.answer(&asked(true, Some("300;refresher=uac"), None)).unwrap();
        assert_eq!(theirs.agreed(), agreed(300, Refresher::Peer));
    }

    #[test]
    fn refresh_that_met_the_peers_own_is_sent_again() {
        let start = Instant::now();
        let mut timer = Timer::new(start, agreed(600, Refresher::Us));
        assert_eq!(timer.handle_timeout(start + seconds(300)), Some(Due::Refresh));
        timer.handle_unrefreshed(start + seconds(301), Unrefreshed::Glare { pause: seconds(3) });
        assert_eq!(timer.handle_timeout(start + seconds(303)), None);
        assert_eq!(timer.handle_timeout(start + seconds(304)), Some(Due::Refresh));
        assert_eq!(timer.handle_timeout(start + seconds(305)), None);
        timer.handle_unrefreshed(start + seconds(564), Unrefreshed::Glare { pause: seconds(10) });
        assert_eq!(timer.handle_timeout(start + seconds(566)), Some(Due::Refresh));
    }

    #[test]
    fn longer_interval_is_asked_for_at_once_but_buys_no_time() {
        let start = Instant::now();
        let mut timer = Timer::new(start, agreed(100, Refresher::Us));
        assert_eq!(timer.handle_timeout(start + seconds(50)), Some(Due::Refresh));
        timer.handle_unrefreshed(start + seconds(50), Unrefreshed::TooSmall { min_se: seconds(200) });
        assert_eq!(timer.ask().to_string(), "200;refresher=uac");
        assert_eq!(timer.min_se(), Some(seconds(200)));
        assert_eq!(timer.handle_timeout(start + seconds(50)), Some(Due::Refresh));
        // A peer that then asks for no more than it got is not asked a third time.
        timer.handle_unrefreshed(start + seconds(50), Unrefreshed::TooSmall { min_se: seconds(200) });
        assert_eq!(timer.handle_timeout(start + seconds(51)), None);
        assert_eq!(timer.handle_timeout(start + seconds(68)), Some(Due::Expired));
    }

    #[test]
    fn refresh_that_failed_is_tried_again_while_there_is_time() {
        const FAILED: Unrefreshed = Unrefreshed::Failed { retry_after: None };
        let start = Instant::now();
        let mut timer = Timer::new(start, agreed(90, Refresher::Us));
        let mut tried = Vec::new();
        let expired = loop {
            let now = timer.poll_timeout();
            match timer.handle_timeout(now) {
                Some(Due::Refresh) => tried.push((now - start).as_secs()),
                Some(Due::Expired) => break now - start,
                None => panic!("its own time brings nothing"),
            }
            timer.handle_unrefreshed(now, FAILED);
        };
        assert_eq!(tried, [45, 52, 56, 58, 59]);
        assert_eq!(expired, seconds(60), "no failure buys time");
    }

    #[test]
    fn refresh_is_not_tried_before_the_peer_says() {
        let start = Instant::now();
        let retry_after = |seconds_| Unrefreshed::Failed { retry_after: Some(seconds(seconds_)) };
        let mut timer = Timer::new(start, agreed(600, Refresher::Us));
        assert_eq!(timer.handle_timeout(start + seconds(300)), Some(Due::Refresh));
        timer.handle_unrefreshed(start + seconds(300), retry_after(200));
        assert_eq!(timer.handle_timeout(start + seconds(499)), None);
        assert_eq!(timer.handle_timeout(start + seconds(500)), Some(Due::Refresh));
        // Half of what is left is later than what the peer asks for.
        timer.handle_unrefreshed(start + seconds(500), retry_after(1));
        assert_eq!(timer.poll_timeout(), start + seconds(534));
        assert_eq!(timer.handle_timeout(start + seconds(534)), Some(Due::Refresh));
        timer.handle_unrefreshed(start + seconds(534), retry_after(u64::MAX));
        assert_eq!(timer.handle_timeout(start + seconds(567)), None);
        assert_eq!(timer.handle_timeout(start + seconds(568)), Some(Due::Expired));
    }
}
