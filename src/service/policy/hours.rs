//! The hours of the day in which people may be called, by the clock where they are.

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::clock::Clock;

/// From one minute of the day to another, the second one excluded; or any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hours(Option<(u16, u16)>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be two times of one day, the earlier first, such as \"08:00-21:00\", or \"\" for any time")]
pub struct InvalidHours;

/// How far ahead a time to call is looked for, and in which steps.
const AHEAD: TimeDelta = TimeDelta::hours(48);
const STEP: i64 = 15 * 60;

impl Hours {
    /// No limit.
    pub const ANY: Hours = Hours(None);

    pub fn is_any(self) -> bool {
        self.0.is_none()
    }

    /// Whether all of the clocks show a time within.
    pub(super) fn hold(self, clocks: &[Clock], now: DateTime<Utc>) -> bool {
        let Some((from, to)) = self.0 else { return true };
        let within = |clock: &Clock| (from.into()..to.into()).contains(&clock.minute_of_day(now));
        clocks.iter().all(within)
    }

    /// The next quarter of an hour in which they do; `None` if there is none soon, as for clocks that are
    /// further apart than the hours are long.
    pub(super) fn next(self, clocks: &[Clock], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let quarter = now.timestamp().div_euclid(STEP) + 1;
        (quarter..)
            .map_while(|quarter| DateTime::from_timestamp(quarter * STEP, 0))
            .take_while(|time| *time < now + AHEAD)
            .find(|time| self.hold(clocks, *time))
    }
}

impl FromStr for Hours {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Hours, InvalidHours> {
        if text.trim().is_empty() {
            return Ok(Hours::ANY);
        }
        let (from, to) = text.split_once('-').ok_or(InvalidHours)?;
        let (from, to) = (minutes(from.trim())?, minutes(to.trim())?);
        if from < to { Ok(Hours(Some((from, to)))) } else { Err(InvalidHours) }
    }
}

fn minutes(text: &str) -> Result<u16, InvalidHours> {
    let (hour, minute) = text.split_once(':').ok_or(InvalidHours)?;
    let number = |digits: &str| match digits.len() {
        2 if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<u16>().map_err(|_| InvalidHours),
        _ => Err(InvalidHours),
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    if minute < 60 && hour * 60 + minute <= 24 * 60 { Ok(hour * 60 + minute) } else { Err(InvalidHours) }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((from, to)) = self.0 else { return Ok(()) };
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl TryFrom<String> for Hours {
    type Error = InvalidHours;

    fn try_from(text: String) -> Result<Hours, InvalidHours> {
        text.parse()
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> String {
        hours.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::clock::Season, *};

    #[test]
    fn only_hours_of_one_day_parse() {
        for good in ["", "08:00-21:00", "00:00-24:00", "09:30-09:31"] {
            assert_eq!(good.parse::<Hours>().unwrap().to_string(), good);
        }
        for bad in
            ["8-21", "08:00", "21:00-08:00", "08:00-08:00", "08:60-21:00", "08:00-24:01", "+8:00-21:00"]
        {
            assert_eq!(bad.parse::<Hours>(), Err(InvalidHours), "{bad}");
        }
    }

    #[test]
    fn the_end_is_outside_and_every_clock_counts() {
        let hours: Hours = "08:00-21:00".parse().unwrap();
        let clocks = [Clock::Summer(-300, Season::America), Clock::Summer(-360, Season::America)];
        for (utc, holds) in [
            ("2027-01-05T13:59:00Z", false), // 8:59 and 7:59
            ("2027-01-05T14:00:00Z", true),
            ("2027-01-06T01:59:00Z", true), // 20:59 and 19:59
            ("2027-01-06T02:00:00Z", false),
        ] {
            assert_eq!(hours.hold(&clocks, utc.parse().unwrap()), holds, "{utc}");
        }
        let next = hours.next(&clocks, "2027-01-06T02:07:00Z".parse().unwrap()).unwrap();
        assert_eq!(next, "2027-01-06T14:00:00Z".parse::<DateTime<Utc>>().unwrap());
    }

    #[test]
    fn clocks_too_far_apart_have_no_common_hour() {
        let hours: Hours = "08:00-09:00".parse().unwrap();
        let clocks = [Clock::Fixed(0), Clock::Fixed(120)];
        assert_eq!(hours.next(&clocks, "2027-01-06T02:07:00Z".parse().unwrap()), None);
    }
}
