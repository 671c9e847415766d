//! How often may be called: by one wallet, one number, one block of numbers.

use serde::{Deserialize, Serialize};

use super::{Refusal, Ruling};
use crate::{
    base::E164,
    service::Verdict,
    store::{Placed, Recent},
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

impl Caps {
    /// Whether another call fits beside the `recent` ones: each cap by name, and what it says.
    pub(crate) fn judge(&self, recent: &Recent) -> [(&'static str, Ruling); 4] {
        [
            ("one call at a time", self.live(recent.live)),
            ("calls to this number", self.destination.judge("to one number", recent.destination)),
            ("calls to this block", self.prefix.judge("to one block of numbers", recent.prefix)),
            ("calls of this wallet", self.wallet.judge("by one wallet", recent.wallet)),
        ]
    }

    fn live(&self, live: u32) -> Ruling {
        if self.live_per_callee == 0 || live < self.live_per_callee {
            return Ok(format!("{live} live"));
        }
        let problem = "is on a call with this node";
        Err(Refusal::new(Verdict::OnACall, problem, "try again when that call has ended"))
    }
}

impl Rate {
    fn judge(self, what: &str, placed: Placed) -> Ruling {
        let full = |count: u32, cap: u32| cap > 0 && count >= cap;
        let (cap, span) = if full(placed.hour, self.hour) {
            (self.hour, "an hour")
        } else if full(placed.day, self.day) {
            (self.day, "a day")
        } else {
            return Ok(format!("{} in the last hour, {} in the last day", placed.hour, placed.day));
        };
        let problem = format!("is over the cap of {cap} calls {span} {what}");
        Err(Refusal::new(Verdict::TooOften, problem, "wait until fewer calls lie that far back"))
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
        rulings.filter_map(|(name, ruling)| Some((name, ruling.err()?.verdict))).collect()
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
