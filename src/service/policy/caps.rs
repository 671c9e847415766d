//! How often may be called: by one wallet, one number, one block of numbers.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::{
    base::E164,
    service::Verdict,
    store::{CallsOf, Placed, Recent},
};

/// The `[policy.caps]` section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// Calls that one wallet places.
    pub wallet: Rate,
    /// Calls to one number.
    pub destination: Rate,
    /// Calls to the numbers that share all but the last four digits: traffic is pumped through such blocks.
    pub prefix: Rate,
    /// Live calls to one number; 0: no cap.
    pub live_per_callee: u32,
}

/// Calls in the last 60 minutes and in the last 24 hours; 0: no cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub hour: u32,
    pub day: u32,
}

/// The block that a number is in: all but its last four digits.
pub fn block(number: &E164) -> &str {
    let text = number.as_str();
    &text[..text.len() - 4]
}

/// A cap that is reached: what it says, and what must happen before another call fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crowded {
    pub refusal: Refusal,
    pub until: Until,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The live call has ended.
    Ended,
    /// Of those calls, the `nth` newest lies further back than this.
    Older { of: CallsOf, nth: u32, than: TimeDelta },
}

impl Caps {
    /// Whether another call fits beside the `recent` ones: each cap by name, and what it says.
    pub(crate) fn judge(&self, recent: &Recent) -> [(&'static str, Result<String, Crowded>); 4] {
        let rate = |rate: Rate, of, placed| rate.judge(of, placed);
        [
            ("one call at a time", self.live(recent.live)),
            ("calls to this number", rate(self.destination, CallsOf::Destination, recent.destination)),
            ("calls to this block", rate(self.prefix, CallsOf::Prefix, recent.prefix)),
            ("calls of this wallet", rate(self.wallet, CallsOf::Wallet, recent.wallet)),
        ]
    }

    fn live(&self, live: u32) -> Result<String, Crowded> {
        if self.live_per_callee == 0 || live < self.live_per_callee {
            return Ok(format!("{live} live"));
        }
        let problem = "is on a call with this node";
        let refusal = Refusal::new(Verdict::OnACall, problem, "try again when that call has ended");
        Err(Crowded { refusal, until: Until::Ended })
    }
}

impl Rate {
    fn judge(self, of: CallsOf, placed: Placed) -> Result<String, Crowded> {
        let full = |count: u32, cap: u32| cap > 0 && count >= cap;
        // A day that is full outlasts an hour that is.
        let (nth, span, than) = if full(placed.day, self.day) {
            (self.day, "a day", TimeDelta::days(1))
        } else if full(placed.hour, self.hour) {
            (self.hour, "an hour", TimeDelta::hours(1))
        } else {
            return Ok(format!("{} in the last hour, {} in the last day", placed.hour, placed.day));
        };
        let what = match of {
            CallsOf::Destination => "to one number",
            CallsOf::Prefix => "to one block of numbers",
            CallsOf::Wallet => "by one wallet",
        };
        let problem = format!("is over the cap of {nth} calls {span} {what}");
        let refusal = Refusal::new(Verdict::TooOften, problem, "wait until fewer calls lie that far back");
        Err(Crowded { refusal, until: Until::Older { of, nth, than } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps {
        wallet: Rate { hour: 3, day: 5 },
        destination: Rate { hour: 2, day: 4 },
        prefix: Rate { hour: 0, day: 6 },
        live_per_callee: 1,
    };

    fn refused(recent: Recent) -> Vec<(&'static str, Verdict)> {
        let rulings = CAPS.judge(&recent).into_iter();
        rulings.filter_map(|(name, ruling)| Some((name, ruling.err()?.refusal.verdict))).collect()
    }

    #[test]
    fn each_cap_refuses_the_call_after_its_last() {
        let placed = |hour, day| Placed { hour, day };
        let none = Recent::default();
        for (recent, by) in [
            (none, None),
            (Recent { destination: placed(1, 3), wallet: placed(2, 4), prefix: placed(9, 5), live: 0 }, None),
            (Recent { destination: placed(2, 2), ..none }, Some(("calls to this number", Verdict::TooOften))),
            (Recent { destination: placed(0, 4), ..none }, Some(("calls to this number", Verdict::TooOften))),
            (Recent { wallet: placed(3, 3), ..none }, Some(("calls of this wallet", Verdict::TooOften))),
            (Recent { wallet: placed(0, 5), ..none }, Some(("calls of this wallet", Verdict::TooOften))),
            (Recent { prefix: placed(1, 6), ..none }, Some(("calls to this block", Verdict::TooOften))),
            (Recent { live: 1, ..none }, Some(("one call at a time", Verdict::OnACall))),
        ] {
            assert_eq!(refused(recent), by.into_iter().collect::<Vec<_>>(), "{recent:?}");
        }
    }

    #[test]
    fn a_full_day_is_told_before_a_full_hour() {
        let placed = Placed { hour: 3, day: 5 };
        let [.., (_, by_wallet)] = CAPS.judge(&Recent { wallet: placed, ..Recent::default() });
        let until = by_wallet.unwrap_err().until;
        assert_eq!(until, Until::Older { of: CallsOf::Wallet, nth: 5, than: TimeDelta::days(1) });
    }

    #[test]
    fn caps_of_nothing_refuse_nothing() {
        let busy = Placed { hour: 1_000, day: 9_000 };
        let recent = Recent { wallet: busy, destination: busy, prefix: busy, live: 50 };
        assert!(Caps::default().judge(&recent).iter().all(|(_, ruling)| ruling.is_ok()));
    }

    #[test]
    fn numbers_of_one_block_differ_in_their_last_four_digits() {
        assert_eq!(block(&"+14155550123".parse().unwrap()), "+1415555");
        assert_eq!(block(&"+1234567".parse().unwrap()), "+123");
    }
}
