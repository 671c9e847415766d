//! What a phone tells of a call, and what follows from it.
//!
//! Times count from the beginning of the call's audio.

use std::time::Duration;

use crate::base::Pii;
use crate::media::{MediaStats, RecordingSummary};
use crate::sip::SipEnd;

/// Silence that does not divide one utterance of the other side into two.
const BREATH: Duration = Duration::from_millis(600);

/// A call as the phone had it.
#[derive(Debug, Clone)]
pub struct CallReport {
    /// From the answer to the end; `None` where it was not answered.
    pub talked: Option<Duration>,
    pub end: SipEnd,
    /// What the phone said, in order.
    pub said: Vec<Said>,
    /// What the other side said, in order.
    pub heard: Vec<Heard>,
    /// Digits the other side pressed.
    pub dtmf: String,
    pub recording: Option<RecordingSummary>,
    pub media: Option<MediaStats>,
    /// All that was heard, 8 kHz mono.
    pub audio: Vec<i16>,
    /// What went wrong on the phone itself.
    pub problem: Option<String>,
}

/// Which side ended an answered call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HungUpBy {
    Phone,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Which step of the script, counted from 0.
    pub step: usize,
    pub text: Pii<String>,
    /// When the packet with its first sample left.
    pub start: Duration,
    /// When the packet with its last sample left; `None` where the call ended before.
    pub end: Option<Duration>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The tick at which the first voiced frame left the jitter buffer.
    pub start: Duration,
    pub end: Duration,
    /// Once it is transcribed.
    pub text: Option<Pii<String>>,
}

impl CallReport {
    /// A call that was not answered.
    pub fn unanswered(end: SipEnd) -> Self {
        CallReport {
            talked: None,
            end,
            said: Vec::new(),
            heard: Vec::new(),
            dtmf: String::new(),
            recording: None,
            media: None,
            audio: Vec::new(),
            problem: None,
        }
    }

    pub fn hung_up_by(&self) -> Option<HungUpBy> {
        match self.end {
            SipEnd::LocalHangup => Some(HungUpBy::Phone),
            SipEnd::RemoteHangup => Some(HungUpBy::Other),
            _ => None,
        }
    }

    /// For each line said: from its last packet to the first voiced frame of the reply. `None` where
    /// nobody replied before the next line, or where the other side was speaking already.
    pub fn latencies(&self) -> Vec<Option<Duration>> {
        (0..self.said.len()).map(|n| self.latency(n)).collect()
    }

    fn latency(&self, n: usize) -> Option<Duration> {
        let end = self.said[n].end?;
        let next = self.said.get(n + 1).map_or(Duration::MAX, |said| said.start);
        if self.heard.iter().any(|heard| heard.start < end && end < heard.end) {
            return None;
        }
        let reply = self.heard.iter().map(|heard| heard.start).find(|start| (end..next).contains(start));
        reply.map(|start| start - end)
    }

    /// For each line said over the other side's voice: how long that voice went on.
    pub fn yields(&self) -> Vec<Duration> {
        let over = |said: &Said| {
            let spoke = self.heard.iter().find(|heard| heard.start < said.start && said.start < heard.end);
            spoke.map(|heard| heard.end - said.start)
        };
        self.said.iter().filter_map(over).collect()
    }

    /// Adds a voice that was heard; one that only drew breath goes on where it was, unless the phone
    /// has spoken meanwhile.
    pub(super) fn hear(&mut self, start: Duration, end: Duration) {
        if let Some(last) = self.heard.last_mut() {
            let said_between = self.said.iter().any(|said| (last.end..start).contains(&said.start));
            if start.saturating_sub(last.end) < BREATH && !said_between {
                last.end = end;
                return;
            }
        }
        self.heard.push(Heard { start, end, text: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn call(said: &[(u64, u64)], heard: &[(u64, u64)]) -> CallReport {
        let mut call = CallReport::unanswered(SipEnd::RemoteHangup);
        for (step, &(start, end)) in said.iter().enumerate() {
            call.said.push(Said { step, text: String::new().into(), start: ms(start), end: Some(ms(end)) });
        }
        for &(start, end) in heard {
            call.hear(ms(start), ms(end));
        }
        call
    }

    #[test]
    fn latency_runs_to_the_first_word_of_the_reply() {
        let call = call(&[(1_000, 2_000), (6_000, 7_000)], &[(0, 900), (2_800, 4_000), (7_500, 8_000)]);
        assert_eq!(call.latencies(), [Some(ms(800)), Some(ms(500))]);
    }

    #[test]
    fn a_line_without_a_reply_has_no_latency() {
        let call = call(&[(0, 1_000), (3_000, 4_000)], &[(4_600, 5_000)]);
        assert_eq!(call.latencies(), [None, Some(ms(600))]);
    }

    #[test]
    fn a_voice_that_goes_on_is_no_reply_and_yields_when_it_stops() {
        let call = call(&[(2_000, 3_000)], &[(0, 2_350)]);
        assert_eq!((call.latencies(), call.yields()), (vec![None], vec![ms(350)]));
        let deaf = super::tests::call(&[(2_000, 3_000)], &[(0, 9_000)]);
        assert_eq!((deaf.latencies(), deaf.yields()), (vec![None], vec![ms(7_000)]));
    }

    #[test]
    fn drawing_breath_does_not_end_an_utterance() {
        let call = call(&[], &[(0, 1_000), (1_300, 2_000), (4_000, 5_000)]);
        let spans: Vec<_> = call.heard.iter().map(|heard| (heard.start, heard.end)).collect();
        assert_eq!(spans, [(ms(0), ms(2_000)), (ms(4_000), ms(5_000))]);
    }
}
