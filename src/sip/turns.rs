//! Who may send the next INVITE to a trunk: the clock and the sleepers of [`super::pace`].

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::pace::{Pace, Ticket};

pub(super) struct Turns {
    trunk: String,
    pace: Mutex<Pace>,
    /// Somebody gave a place up.
    moved: Notify,
}

impl Turns {
    /// `calls_per_second` above zero.
    pub fn new(trunk: &str, calls_per_second: f64, patience: Duration) -> Self {
        let pace = Mutex::new(Pace::new(calls_per_second, patience));
        Turns { trunk: trunk.to_owned(), pace, moved: Notify::new() }
    }

    /// Waits for a turn. Where the wait would be too long, says at once after how long it would not.
    /// Dropped, it leaves the queue.
    pub async fn take(&self) -> Result<(), Duration> {
        let ticket = self.pace.lock().enter(Instant::now())?;
        let _place = Place { turns: self, ticket };
        self.show_length();
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Before the look, so that no move between the two is missed.
            moved.as_mut().enable();
            let Err(turn) = self.pace.lock().poll(ticket, Instant::now()) else { return Ok(()) };
            tokio::select! {
                () = tokio::time::sleep_until(turn.into()) => {}
                () = moved => {}
            }
        }
    }

    /// After how long the queue will take another call, if it takes none now.
    pub fn refusal(&self) -> Option<Duration> {
        self.pace.lock().refusal(Instant::now())
    }

    pub fn waiting(&self) -> usize {
        self.pace.lock().waiting()
    }

    fn show_length(&self) {
        let waiting = self.waiting() as f64;
        metrics::gauge!("callbox_trunk_queue", "trunk" => self.trunk.clone()).set(waiting);
    }
}

struct Place<'a> {
    turns: &'a Turns,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.pace.lock().leave(self.ticket);
        self.turns.moved.notify_waiters();
        self.turns.show_length();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn call_that_leaves_the_queue_lets_the_next_one_go_sooner() {
        // The second turn is a quarter of an hour away.
        let turns = Arc::new(Turns::new("t", 0.001, Duration::from_secs(10_000)));
        turns.take().await.unwrap();
        assert_eq!(turns.refusal(), None);
        let wait = |turns: Arc<Turns>| tokio::spawn(async move { turns.take().await });
        let (gone, stays) = (wait(turns.clone()), wait(turns.clone()));
        while turns.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        gone.abort();
        let _ = gone.await;
        assert_eq!(turns.waiting(), 1);
        stays.abort();
        let _ = stays.await;
        assert_eq!(turns.waiting(), 0);
    }
}
