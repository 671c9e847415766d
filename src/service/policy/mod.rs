//! Who may be called, when, how often, and as whom.
//!
//! Some numbers are refused whatever the configuration says ([`service_code`], [`numbering`]): emergency and
//! N11 services, crisis lines, short codes, satellites, and numbers that bill the caller. An agent has no
//! business there, and a mistake costs lives or money. A number must also exist in its country's numbering
//! plan. The rest is the operator's choice: prefixes, hours by the callee's clock, caps.
//!
//! [`Policy`] is the rules that need a number and the time. Those that need the node's memory, the list of
//! numbers not to be called and the counts of calls, are joined to them in [`gate`](super::gate).

mod caps;
mod clock;
mod hours;
pub(super) mod numbering;
mod service_code;
mod zones;

use chrono::{DateTime, TimeDelta, Utc};
use phonenumber::Type;
use serde::{Deserialize, Serialize};

pub use caps::{Caps, Rate, block};
pub(crate) use caps::{Crowded, Until};
pub use hours::Hours;

use super::field::{FieldError, Verdict};
use crate::base::E164;

/// The `[policy]` section.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Numbers that begin with one of these may be called.
    pub allowed_prefixes: Vec<String>,
    /// Numbers that begin with one of these may not, allowed or not.
    pub denied_prefixes: Vec<String>,
    /// The numbers this node may show as its own.
    pub caller_ids: Vec<E164>,
    /// When people may be called, by every clock of the place that their number belongs to.
    pub hours: Hours,
    /// Refuse numbers of no known place while `hours` limits calls.
    pub hours_strict: bool,
    pub caps: Caps,
}

/// The rules in force.
#[derive(Debug, Clone)]
pub struct Policy {
    config: Config,
}

/// Why a rule refuses; without the field that the client knows the number by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub verdict: Verdict,
    problem: String,
    fix: String,
    /// How long it holds, where that is known.
    wait: Option<TimeDelta>,
}

impl Refusal {
    pub(crate) fn new(verdict: Verdict, problem: impl Into<String>, fix: impl Into<String>) -> Refusal {
        Refusal { verdict, problem: problem.into(), fix: fix.into(), wait: None }
    }

    pub(crate) fn lasting(self, wait: Option<TimeDelta>) -> Refusal {
        Refusal { wait, ..self }
    }

    pub(crate) fn of(self, field: &str) -> FieldError {
        let error = FieldError::new(field, self.verdict, self.problem, self.fix);
        match self.wait {
            Some(wait) => error.retry_in(wait),
            None => error,
        }
    }
}

/// What one rule says: why it passes, or why not.
pub(crate) type Ruling = Result<String, Refusal>;

type Rule = (&'static str, fn(&Policy, &E164, DateTime<Utc>) -> Ruling);

/// The rules for a number that has the form of one, in order.
const RULES: [Rule; 5] = [
    ("billed to the caller", |_, number, _| costly(number)),
    ("numbering plan", |_, number, _| planned(number)),
    ("denied prefixes", |policy, number, _| policy.denied(number)),
    ("allowed prefixes", |policy, number, _| policy.allowed(number)),
    ("calling hours", Policy::in_time),
];

const EXAMPLE: &str = "write it as `+`, country code and number, such as +14155550123";
const ORDINARY: &str = "use the organisation's ordinary number";

impl Policy {
    pub fn new(config: Config) -> Policy {
        numbering::load();
        Policy { config }
    }

    pub fn caps(&self) -> &Caps {
        &self.config.caps
    }

    /// A number to call or to transfer to; `field` is the name the client knows it by.
    pub fn callable(&self, field: &str, text: &str, now: DateTime<Utc>) -> Result<E164, FieldError> {
        let number = dialable(text).map_err(|refusal| refusal.of(field))?;
        let refusal = RULES.iter().find_map(|(_, rule)| rule(self, &number, now).err());
        refusal.map_or(Ok(number), |refusal| Err(refusal.of(field)))
    }

    /// What each rule says of a number, in order, and the number if it is one.
    pub(crate) fn explain(
        &self,
        text: &str,
        now: DateTime<Utc>,
    ) -> (Option<E164>, Vec<(&'static str, Ruling)>) {
        match dialable(text) {
            Err(refusal) => (None, vec![("form", Err(refusal))]),
            Ok(number) => {
                let form = ("form", Ok("an E.164 number and no service code".to_owned()));
                let rules = RULES.iter().map(|(name, rule)| (*name, rule(self, &number, now)));
                (Some(number.clone()), [form].into_iter().chain(rules).collect())
            }
        }
    }

    /// A number for the operator to show the called party: one that this node owns.
    pub fn caller_id(&self, field: &str, text: &str) -> Result<E164, FieldError> {
        let number = e164(field, text)?;
        if self.config.caller_ids.contains(&number) {
            return Ok(number);
        }
        let fix = "leave it out to use the trunk's number, or name one of the node's own \
                   (`policy.caller_ids` in its configuration)";
        Err(FieldError::refused(field, "is not a number of this node", fix))
    }

    fn denied(&self, number: &E164) -> Ruling {
        let Some(prefix) = begins(number, &self.config.denied_prefixes) else {
            return Ok("none of them begins it".into());
        };
        let fix = "do not try this number again; the operator decides by `policy.denied_prefixes`";
        Err(Refusal::new(Verdict::Refused, format!("begins with {prefix}, which is not called"), fix))
    }

    fn allowed(&self, number: &E164) -> Ruling {
        if let Some(prefix) = begins(number, &self.config.allowed_prefixes) {
            return Ok(format!("begins with {prefix}"));
        }
        let allowed = self.config.allowed_prefixes.join(", ");
        let fix = format!("call a number that begins with one of: {allowed} (`policy.allowed_prefixes`)");
        Err(Refusal::new(Verdict::Refused, "is outside the area this node calls", fix))
    }

    fn in_time(&self, number: &E164, now: DateTime<Utc>) -> Ruling {
        let hours = self.config.hours;
        if hours.is_any() {
            return Ok("any time is allowed".into());
        }
        let Some(clocks) = zones::clocks(number) else {
            if !self.config.hours_strict {
                return Ok("belongs to no known place".into());
            }
            let problem = "belongs to no place whose time is known";
            return Err(Refusal::new(Verdict::Refused, problem, "use a number of a place"));
        };
        if hours.hold(clocks, now) {
            return Ok(format!("it is {} there, within {hours}", times(clocks, now)));
        }
        let next = hours.next(clocks, now);
        let fix = match next {
            Some(next) => format!("call within {hours} there; next at {}", next.format("%Y-%m-%dT%H:%MZ")),
            None => format!("call a number of another place: its clocks are never all within {hours}"),
        };
        let problem = format!("is where it is now {}", times(clocks, now));
        Err(Refusal::new(Verdict::OutsideHours, problem, fix).lasting(next.map(|next| next - now)))
    }
}

/// `08:15`, or `07:15 or 08:15` for a place with two clocks.
fn times(clocks: &[clock::Clock], now: DateTime<Utc>) -> String {
    let mut minutes: Vec<u32> = clocks.iter().map(|clock| clock.minute_of_day(now)).collect();
    minutes.dedup();
    let time = |minute: &u32| format!("{:02}:{:02}", minute / 60, minute % 60);
    minutes.iter().map(time).collect::<Vec<_>>().join(" or ")
}

fn begins<'a>(number: &E164, prefixes: &'a [String]) -> Option<&'a String> {
    prefixes.iter().find(|prefix| number.as_str().starts_with(prefix.as_str()))
}

/// A number and not a service code.
fn dialable(text: &str) -> Result<E164, Refusal> {
    if let Some(service) = service_code::short_code(text) {
        let fix = "dial it yourself from a telephone; this service never calls it";
        return Err(Refusal::new(Verdict::Refused, format!("is {service}"), fix));
    }
    formed(text)
}

/// An E.164 number in the form `field` must have, whoever may be called.
pub(crate) fn e164(field: &str, text: &str) -> Result<E164, FieldError> {
    formed(text).map_err(|refusal| refusal.of(field))
}

/// An E.164 number, which under +1 must be one that the North American plan can hold.
fn formed(text: &str) -> Result<E164, Refusal> {
    let invalid = |problem: &str, fix: &str| Refusal::new(Verdict::Invalid, problem, fix);
    let number: E164 = text.parse().map_err(|_| invalid("is not an E.164 number", EXAMPLE))?;
    if number.as_str().starts_with("+1") && !number.is_nanp() {
        let problem = "is not a North American number";
        let fix = "after +1 write a three-digit area code and seven digits; area code and exchange \
                   begin with 2 to 9 and do not end in 11";
        return Err(invalid(problem, fix));
    }
    Ok(number)
}

/// Codes that cost whoever dials them, or that nobody dials.
fn costly(number: &E164) -> Ruling {
    let code = service_code::international_network(number).or_else(|| service_code::north_american(number));
    let Some(code) = code else { return Ok("in none of the codes that are".into()) };
    Err(Refusal::new(Verdict::Refused, format!("is {code}"), ORDINARY))
}

/// A number that a subscriber can have and that costs what a call costs. Company numbers (UAN) and numbers
/// of internet telephony are ordinary in most countries; personal numbers and pagers are neither cheap nor
/// answered by those who are meant.
fn planned(number: &E164) -> Ruling {
    let refused = |what: &str| Err(Refusal::new(Verdict::Refused, format!("is {what}"), ORDINARY));
    let Some(line) = numbering::line(number) else {
        if numbering::is_fictional(number) {
            return Ok("a fictional number (555-01XX)".into());
        }
        let problem = "is not a number that its country's numbering plan has";
        return Err(Refusal::new(Verdict::Invalid, problem, "check its digits, or use another number"));
    };
    let kind = match line.kind {
        Type::PremiumRate => return refused("a premium-rate number"),
        Type::SharedCost => return refused("a shared-cost number"),
        Type::PersonalNumber => {
            return refused("a follow-me number, which is billed like a premium-rate one");
        }
        Type::Pager => return refused("a pager"),
        Type::Voicemail => return refused("an access number of voicemail"),
        Type::TollFree => "a toll-free number",
        Type::Voip => "a number of internet telephony",
        Type::Uan => "a company's number",
        Type::Mobile => "a mobile number",
        _ => "a subscriber's number",
    };
    Ok(format!("{kind} of {}", line.region))
}

#[cfg(test)]
mod tests;
