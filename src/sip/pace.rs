//! How many calls a second a trunk takes: a bucket of one token, and a queue of those who wait for it.
//! Carriers count calls, and answer those beyond their limit with 503.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
pub(super) struct Pace {
    /// From one call to the next.
    interval: Duration,
    /// The longest wait that is begun.
    patience: Duration,
    /// When the next call may leave; at once if `None`.
    next: Option<Instant>,
    queue: VecDeque<Ticket>,
    issued: u64,
}

impl Pace {
    pub fn new(calls_per_second: f64, patience: Duration) -> Self {
        let interval = Duration::from_secs_f64(1.0 / calls_per_second);
        Pace { interval, patience, next: None, queue: VecDeque::new(), issued: 0 }
    }

    /// Takes the last place; or says after how long there will be one.
    pub fn enter(&mut self, now: Instant) -> Result<Ticket, Duration> {
        if let Some(full) = self.refusal(now) {
            return Err(full);
        }
        self.issued += 1;
        let ticket = Ticket(self.issued);
        self.queue.push_back(ticket);
        Ok(ticket)
    }

    /// After how long the queue will take another call, if it takes none now.
    pub fn refusal(&self, now: Instant) -> Option<Duration> {
        let wait = self.turn_of(self.queue.len(), now) - now;
        wait.checked_sub(self.patience).filter(|beyond| !beyond.is_zero())
    }

    /// Whether it is the ticket's turn, which it then has used; or when it may be.
    pub fn poll(&mut self, ticket: Ticket, now: Instant) -> Result<(), Instant> {
        // A ticket that is not there has been used: its holder may go.
        let Some(place) = self.queue.iter().position(|waiting| *waiting == ticket) else { return Ok(()) };
        let turn = self.turn_of(place, now);
        if place > 0 || turn > now {
            return Err(turn);
        }
        self.queue.pop_front();
        self.next = Some(now + self.interval);
        Ok(())
    }

    /// Gives a place up; those behind move up.
    pub fn leave(&mut self, ticket: Ticket) {
        self.queue.retain(|waiting| *waiting != ticket);
    }

    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn turn_of(&self, place: usize, now: Instant) -> Instant {
        let places = u32::try_from(place).unwrap_or(u32::MAX);
        self.next.unwrap_or(now).max(now) + self.interval.saturating_mul(places)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn first_call_leaves_at_once_and_the_next_an_interval_later() {
        let (now, mut pace) = (Instant::now(), Pace::new(2.0, ms(5_000)));
        let (a, b) = (pace.enter(now).unwrap(), pace.enter(now).unwrap());
        assert_eq!(pace.poll(b, now), Err(now + ms(500)), "b is behind a");
        assert_eq!(pace.poll(a, now), Ok(()));
        assert_eq!(pace.poll(b, now + ms(499)), Err(now + ms(500)));
        assert_eq!(pace.poll(b, now + ms(500)), Ok(()));
        assert_eq!(pace.waiting(), 0);
    }

    #[test]
    fn time_without_calls_saves_nothing_up() {
        let (now, mut pace) = (Instant::now(), Pace::new(0.5, ms(60_000)));
        let late = now + ms(100_000);
        let (a, b) = (pace.enter(late).unwrap(), pace.enter(late).unwrap());
        assert_eq!(pace.poll(a, late), Ok(()));
        assert_eq!(pace.poll(b, late), Err(late + ms(2_000)));
    }

    #[test]
    fn whoever_leaves_lets_those_behind_move_up() {
        let (now, mut pace) = (Instant::now(), Pace::new(1.0, ms(10_000)));
        let tickets: Vec<_> = (0..4).map(|_| pace.enter(now).unwrap()).collect();
        assert_eq!(pace.poll(tickets[0], now), Ok(()));
        assert_eq!(pace.poll(tickets[3], now), Err(now + ms(3_000)));
        pace.leave(tickets[1]);
        assert_eq!(pace.poll(tickets[3], now), Err(now + ms(2_000)));
        assert_eq!(pace.poll(tickets[2], now + ms(1_000)), Ok(()));
    }

    #[test]
    fn longer_wait_than_allowed_is_refused_with_the_time_to_come_back() {
        let (now, mut pace) = (Instant::now(), Pace::new(1.0, ms(1_500)));
        let a = pace.enter(now).unwrap();
        assert_eq!(pace.poll(a, now), Ok(()));
        assert!(pace.enter(now).is_ok(), "waits for 1 s");
        assert_eq!(pace.enter(now), Err(ms(500)), "would wait for 2 s");
        assert!(pace.enter(now + ms(500)).is_ok());
    }

    #[test]
    fn no_queue_means_now_or_never() {
        let (now, mut pace) = (Instant::now(), Pace::new(1.0, ms(0)));
        let a = pace.enter(now).unwrap();
        assert_eq!(pace.poll(a, now), Ok(()));
        assert_eq!(pace.enter(now + ms(300)), Err(ms(700)));
        assert!(pace.enter(now + ms(1_000)).is_ok());
    }

    proptest! {
        /// Whenever whoever asks, calls leave in the order they came and never closer than the interval.
        #[test]
        fn calls_leave_in_order_and_never_too_soon(
            steps in proptest::collection::vec((0u64..700, 0usize..3, 0usize..8), 0..60),
        ) {
            let (mut now, mut pace) = (Instant::now(), Pace::new(2.0, ms(3_000)));
            let (mut waiting, mut left) = (Vec::new(), Vec::<(u64, Instant)>::new());
            for (wait, action, which) in steps {
                now += ms(wait);
                match action {
                    0 => waiting.extend(pace.enter(now)),
                    1 if which < waiting.len() => pace.leave(waiting.remove(which)),
                    _ => {
                        for ticket in waiting.clone() {
                            if pace.poll(ticket, now).is_ok() {
                                left.push((ticket.0, now));
                                waiting.retain(|other| *other != ticket);
                            }
                        }
                    }
                }
                prop_assert_eq!(pace.waiting(), waiting.len());
            }
            for pair in left.windows(2) {
                prop_assert!(pair[0].0 < pair[1].0 && pair[1].1 - pair[0].1 >= ms(500));
            }
        }
    }
}
