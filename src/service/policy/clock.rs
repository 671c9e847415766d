//! The time on the wall of a place: an offset from UTC, and a rule for summer time.
//!
//! The rules are those of IANA's tz database for the years to come. Where a country's rule changes often,
//! a place has both of its offsets instead ([`zones`](super::zones)).

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Timelike, Utc, Weekday};

/// Offsets are minutes east of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Fixed(i16),
    /// This offset in winter, an hour more in summer.
    Summer(i16, Season),
}

/// When summer time is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Season {
    /// From 2:00 on the second Sunday of March to 2:00 on the first of November.
    America,
    /// From 1:00 UTC on the last Sunday of March to 1:00 UTC on the last of October.
    Europe,
    /// From 2:00 on the first Sunday of October to 3:00 on the first of April.
    Australia,
    /// From 2:00 on the last Sunday of September to 3:00 on the first of April.
    NewZealand,
}

impl Clock {
    /// Minutes since midnight.
    pub(super) fn minute_of_day(self, now: DateTime<Utc>) -> u32 {
        let local = (now + TimeDelta::minutes(self.offset(now).into())).naive_utc();
        local.hour() * 60 + local.minute()
    }

    fn offset(self, now: DateTime<Utc>) -> i16 {
        match self {
            Clock::Fixed(offset) => offset,
            Clock::Summer(winter, season) if season.holds(now, winter) => winter + 60,
            Clock::Summer(winter, _) => winter,
        }
    }
}

impl Season {
    fn holds(self, now: DateTime<Utc>, winter: i16) -> bool {
        let year = now.year();
        let at = |date: Option<NaiveDate>, hour: u32, offset: i16| {
            let time = date?.and_hms_opt(hour, 0, 0)?;
            Some(time.and_utc() - TimeDelta::minutes(offset.into()))
        };
        let (begin, end) = match self {
            Season::America => (at(sunday(year, 3, 2), 2, winter), at(sunday(year, 11, 1), 1, winter)),
            Season::Europe => (at(last_sunday(year, 3), 1, 0), at(last_sunday(year, 10), 1, 0)),
            Season::Australia => (at(sunday(year, 10, 1), 2, winter), at(sunday(year, 4, 1), 2, winter)),
            Season::NewZealand => (at(last_sunday(year, 9), 2, winter), at(sunday(year, 4, 1), 2, winter)),
        };
        let (Some(begin), Some(end)) = (begin, end) else { return false };
        if begin < end { begin <= now && now < end } else { now < end || begin <= now }
    }
}

fn sunday(year: i32, month: u32, nth: u8) -> Option<NaiveDate> {
    NaiveDate::from_weekday_of_month_opt(year, month, Weekday::Sun, nth)
}

fn last_sunday(year: i32, month: u32) -> Option<NaiveDate> {
    sunday(year, month, 5).or_else(|| sunday(year, month, 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock_at(clock: Clock, utc: &str) -> String {
        let minute = clock.minute_of_day(utc.parse().unwrap());
        format!("{:02}:{:02}", minute / 60, minute % 60)
    }

    /// The minutes before and at each change, as the tz database has them.
    #[test]
    fn summer_time_begins_and_ends_to_the_minute() {
        use Season::*;
        for (clock, utc, local) in [
            (Clock::Summer(-300, America), "2027-03-14T06:59:00Z", "01:59"),
            (Clock::Summer(-300, America), "2027-03-14T07:00:00Z", "03:00"),
            (Clock::Summer(-480, America), "2027-11-07T08:59:00Z", "01:59"),
            (Clock::Summer(-480, America), "2027-11-07T09:00:00Z", "01:00"),
            (Clock::Summer(60, Europe), "2027-03-28T00:59:00Z", "01:59"),
            (Clock::Summer(60, Europe), "2027-03-28T01:00:00Z", "03:00"),
            (Clock::Summer(0, Europe), "2027-10-31T00:59:00Z", "01:59"),
            (Clock::Summer(0, Europe), "2027-10-31T01:00:00Z", "01:00"),
            (Clock::Summer(600, Australia), "2027-10-02T15:59:00Z", "01:59"),
            (Clock::Summer(600, Australia), "2027-10-02T16:00:00Z", "03:00"),
            (Clock::Summer(600, Australia), "2027-04-03T15:59:00Z", "02:59"),
            (Clock::Summer(600, Australia), "2027-04-03T16:00:00Z", "02:00"),
            (Clock::Summer(720, NewZealand), "2027-09-25T13:59:00Z", "01:59"),
            (Clock::Summer(720, NewZealand), "2027-09-25T14:00:00Z", "03:00"),
            (Clock::Fixed(345), "2027-01-01T00:00:00Z", "05:45"),
            (Clock::Fixed(-600), "2027-01-01T00:00:00Z", "14:00"),
        ] {
            assert_eq!(clock_at(clock, utc), local, "{clock:?} at {utc}");
        }
    }
}
