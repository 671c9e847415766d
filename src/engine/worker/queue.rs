//! The bounded queue between async callers and one worker thread.
//!
//! Two lanes, taken in order of arrival, the urgent one first; both share one limit. Endings (cancel,
//! forget: small, a few per stream) stand in the normal lane behind what they end, and are never
//! refused for want of room. A queue that is down or closed refuses everything at once.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Wake, Waker},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::engine::EngineError;

/// A wait this long is [`Taken::Quiet`].
const QUIET: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Before every `Normal`.
    Urgent,
    Normal,
    /// In line with `Normal`, and never refused for want of room.
    Ending,
}

pub(super) struct Queue<C> {
    inner: Mutex<Inner<C>>,
    arrival: Condvar,
    capacity: usize,
}

struct Inner<C> {
    urgent: VecDeque<C>,
    normal: VecDeque<C>,
    /// Why nothing is accepted for now.
    down: Option<EngineError>,
    closed: bool,
    /// Set by a waker: the thread has something to look at that is not in a lane.
    nudged: bool,
}

impl<C> Inner<C> {
    fn next(&mut self) -> Option<C> {
        self.urgent.pop_front().or_else(|| self.normal.pop_front())
    }

    /// Nothing has come between the end of a wait and now.
    fn is_idle(&self) -> bool {
        self.urgent.is_empty() && self.normal.is_empty() && !self.closed && !self.nudged
    }
}

/// What a worker finds when it looks at its queue.
pub(super) enum Taken<C> {
    Command(C),
    /// Nothing waits.
    Nothing,
    /// Nothing has come for a while.
    Quiet,
    /// No handle is left: end.
    Closed,
}

impl<C: Send + 'static> Queue<C> {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        let inner = Inner {
            urgent: VecDeque::new(),
            normal: VecDeque::new(),
            down: None,
            closed: false,
            nudged: false,
        };
        Arc::new(Queue { inner: Mutex::new(inner), arrival: Condvar::new(), capacity: capacity.max(1) })
    }

    /// Gives the command back with the reason when it is not accepted.
    pub(super) fn push(&self, lane: Lane, command: C) -> Result<(), (C, EngineError)> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err((command, EngineError::Died("the engine was taken out of service".to_owned())));
        }
        if let Some(error) = inner.down.clone() {
            return Err((command, error));
        }
        if lane != Lane::Ending && inner.urgent.len() + inner.normal.len() >= self.capacity {
            return Err((command, EngineError::Overloaded(self.capacity)));
        }
        match lane {
            Lane::Urgent => inner.urgent.push_back(command),
            Lane::Normal | Lane::Ending => inner.normal.push_back(command),
        }
        self.arrival.notify_one();
        Ok(())
    }

    /// Takes the next command; with `wait`, sleeps until there is one, a nudge, the end, or
    /// [`QUIET`] is over.
    pub(super) fn take(&self, wait: bool) -> Taken<C> {
        let mut inner = self.inner.lock();
        loop {
            if inner.closed {
                return Taken::Closed;
            }
            if let Some(command) = inner.next() {
                return Taken::Command(command);
            }
            if !wait || std::mem::take(&mut inner.nudged) {
                return Taken::Nothing;
            }
            if self.arrival.wait_for(&mut inner, QUIET).timed_out() && inner.is_idle() {
                return Taken::Quiet;
            }
        }
    }

    /// Refuses from now on with `error`, and gives what was waiting.
    pub(super) fn take_down(&self, error: EngineError) -> Vec<C> {
        let mut inner = self.inner.lock();
        inner.down = Some(error);
        std::iter::from_fn(|| inner.next()).collect()
    }

    pub(super) fn take_up(&self) {
        self.inner.lock().down = None;
    }

    /// Waits for `delay` or for the end; true when the queue was closed.
    pub(super) fn closed_within(&self, delay: std::time::Duration) -> bool {
        let mut inner = self.inner.lock();
        let until = std::time::Instant::now() + delay;
        while !inner.closed {
            if self.arrival.wait_until(&mut inner, until).timed_out() {
                break;
            }
        }
        inner.closed
    }

    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.arrival.notify_all();
    }

    /// Commands that wait.
    pub(super) fn depth(&self) -> usize {
        let inner = self.inner.lock();
        inner.urgent.len() + inner.normal.len()
    }

    /// A waker that makes a waiting [`Queue::take`] return, for futures the worker polls.
    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::new(Nudge(self.clone())))
    }
}

struct Nudge<C>(Arc<Queue<C>>);

impl<C: Send + 'static> Wake for Nudge<C> {
    fn wake(self: Arc<Self>) {
        self.0.inner.lock().nudged = true;
        self.0.arrival.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &Arc<Queue<u32>>) -> Vec<u32> {
        std::iter::from_fn(|| match queue.take(false) {
            Taken::Command(c) => Some(c),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn urgent_goes_first_and_an_ending_stays_behind_what_it_ends() {
        let queue = Queue::new(8);
        for (lane, value) in
            [(Lane::Normal, 1), (Lane::Urgent, 2), (Lane::Normal, 3), (Lane::Ending, 4), (Lane::Urgent, 5)]
        {
            queue.push(lane, value).unwrap();
        }
        assert_eq!(drain(&queue), [2, 5, 1, 3, 4]);
    }

    #[test]
    fn full_queue_refuses_requests_but_not_endings() {
        let queue = Queue::new(2);
        queue.push(Lane::Normal, 1).unwrap();
        queue.push(Lane::Urgent, 2).unwrap();
        assert!(matches!(queue.push(Lane::Urgent, 3), Err((3, EngineError::Overloaded(2)))));
        assert!(queue.push(Lane::Ending, 4).is_ok());
    }

    #[test]
    fn down_queue_gives_back_what_waited_and_refuses() {
        let queue = Queue::new(2);
        queue.push(Lane::Normal, 1).unwrap();
        assert_eq!(queue.take_down(EngineError::Died("gone".to_owned())), [1]);
        assert!(matches!(queue.push(Lane::Ending, 2), Err((2, EngineError::Died(_)))));
        queue.take_up();
        assert!(queue.push(Lane::Normal, 3).is_ok());
    }

    #[test]
    fn wake_from_elsewhere_ends_the_wait() {
        let queue = Queue::<u32>::new(2);
        let waker = queue.waker();
        let waiting = {
            let queue = queue.clone();
            std::thread::spawn(move || {
                loop {
                    match queue.take(true) {
                        Taken::Quiet => {}
                        taken => return matches!(taken, Taken::Nothing),
                    }
                }
            })
        };
        waker.wake();
        assert!(waiting.join().unwrap());
    }
}
