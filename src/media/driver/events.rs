//! What a leg tells whoever listens to it: in order, bounded, and a slow listener loses frames first.
//!
//! Telling and waking are two steps, which no channel of a library has: a media thread tells the events of hundreds
//! of legs, and when all their packets have left it wakes the listeners in one go, so that the runtime finds many
//! tasks at once and is woken once.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use crate::media::{prefetch::prefetch_mut, session::MediaEvent};

/// Events other than frames that a full queue still takes.
const SPARE: usize = 64;

/// A queue that takes frames while it holds fewer than `capacity` events.
pub fn queue(capacity: usize) -> (EventSink, MediaEvents) {
    let queue = Arc::<Queue>::default();
    (EventSink { queue: queue.clone(), capacity, lost: 0 }, MediaEvents(queue))
}

type Queue = Mutex<State>;

#[derive(Default)]
struct State {
    /// The next one is here and not in the queue: nearly always it is the only one, and two cores would pass the
    /// queue's memory to and fro.
    next: Option<MediaEvent>,
    /// Those after it. Empty while there is no next one.
    later: VecDeque<MediaEvent>,
    /// Who waits for the next one.
    listener: Option<Waker>,
    /// One of the two ends is gone.
    over: bool,
}

impl State {
    fn len(&self) -> usize {
        usize::from(self.next.is_some()) + self.later.len()
    }

    fn push(&mut self, event: MediaEvent) {
        match &mut self.next {
            none @ None => *none = Some(event),
            Some(_) => self.later.push_back(event),
        }
    }

    fn pop(&mut self) -> Option<MediaEvent> {
        std::mem::replace(&mut self.next, self.later.pop_front())
    }
}

/// The leg's end. Dropping it ends the listener's.
pub struct EventSink {
    queue: Arc<Queue>,
    capacity: usize,
    /// What found the queue full.
    pub lost: u64,
}

impl EventSink {
    /// Brings near what the listener touched last.
    pub fn prefetch(&self) {
        prefetch_mut(&*self.queue);
    }

    /// Gives the waker of a listener that waits: until it is used, the event may lie unread.
    #[must_use]
    pub fn send(&mut self, event: MediaEvent) -> Option<Waker> {
        let room = match event {
            MediaEvent::Frame { .. } => self.capacity,
            _ => self.capacity + SPARE,
        };
        let mut state = self.queue.lock();
        if state.over {
            return None;
        }
        if state.len() < room {
            state.push(event);
        } else {
            self.lost += 1;
        }
        state.listener.take()
    }
}

impl Drop for EventSink {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.over = true;
        let listener = state.listener.take();
        drop(state);
        listener.into_iter().for_each(Waker::wake);
    }
}

/// The events of a leg. They end with it, after the last was taken.
pub struct MediaEvents(Arc<Queue>);

impl MediaEvents {
    /// The next event, or `None` once the leg is gone. Loses nothing when it is dropped before it is done.
    pub async fn recv(&mut self) -> Option<MediaEvent> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next event, if there is one already.
    pub fn try_recv(&mut self) -> Option<MediaEvent> {
        self.0.lock().pop()
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<MediaEvent>> {
        let mut state = self.0.lock();
        if let Some(event) = state.pop() {
            return Poll::Ready(Some(event));
        }
        if state.over {
            return Poll::Ready(None);
        }
        match &mut state.listener {
            Some(listener) => listener.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for MediaEvents {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.over = true;
        let left = (state.next.take(), std::mem::take(&mut state.later), state.listener.take());
        // Whose destructors are not ours to wait for under the lock.
        drop(state);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
        time::Duration,
    };

    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::*;
    use crate::media::jitter::FrameKind;

    /// How often somebody was woken.
    #[derive(Default)]
    struct Times(AtomicUsize);

    impl Wake for Times {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn frame(start: u64) -> MediaEvent {
        MediaEvent::Frame { start, pcm: vec![], kind: FrameKind::Silence }
    }

    fn tell(sink: &mut EventSink, event: MediaEvent) {
        sink.send(event).into_iter().for_each(Waker::wake);
    }

    #[test]
    fn a_slow_listener_loses_frames_and_keeps_digits() {
        let (mut sink, mut events) = queue(32);
        for n in 0..200 {
            tell(&mut sink, frame(n));
            if n % 10 == 0 {
                tell(&mut sink, MediaEvent::RtpResumed);
            }
        }
        let heard: Vec<_> = std::iter::from_fn(|| events.try_recv()).collect();
        let others = heard.iter().filter(|event| **event == MediaEvent::RtpResumed).count();
        assert_eq!((others, heard.len()), (20, 32 + 17), "three of the twenty came while frames had room");
        assert_eq!((heard.len() - others) as u64 + sink.lost, 200);
        assert_eq!(heard[..2], [frame(0), MediaEvent::RtpResumed], "in order");
    }

    #[test]
    fn a_queue_is_bounded_for_all_events() {
        let (mut sink, mut events) = queue(32);
        (0..1_000).for_each(|_| tell(&mut sink, MediaEvent::RtpResumed));
        assert_eq!(sink.lost, 1_000 - 32 - SPARE as u64);
        assert_eq!(std::iter::from_fn(|| events.try_recv()).count(), 32 + SPARE);
    }

    #[test]
    fn who_waits_is_woken_once_for_what_comes_and_by_the_end() {
        let (mut sink, mut events) = queue(32);
        let times = Arc::<Times>::default();
        let waker = Waker::from(times.clone());
        let mut context = Context::from_waker(&waker);
        let woken = || times.0.load(Ordering::Relaxed);
        assert!(sink.send(frame(0)).is_none(), "nobody waits");
        assert_eq!(events.poll_recv(&mut context), Poll::Ready(Some(frame(0))));
        assert_eq!(events.poll_recv(&mut context), Poll::Pending);
        let listener = sink.send(frame(1)).expect("somebody waits");
        assert_eq!(woken(), 0, "not before it is said");
        assert!(sink.send(frame(2)).is_none(), "it is known by now");
        listener.wake();
        assert_eq!(woken(), 1);
        assert_eq!(events.poll_recv(&mut context), Poll::Ready(Some(frame(1))));
        assert_eq!(events.poll_recv(&mut context), Poll::Ready(Some(frame(2))));
        assert_eq!(events.poll_recv(&mut context), Poll::Pending);
        drop(sink);
        assert_eq!(woken(), 2);
        assert_eq!(events.poll_recv(&mut context), Poll::Ready(None));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn listener_in_a_task_of_its_own_hears_all_and_ends_with_the_leg() {
        let (mut sink, mut events) = queue(32);
        let listener = tokio::spawn(async move {
            let mut heard = Vec::new();
            while let Some(event) = events.recv().await {
                heard.push(event);
            }
            heard
        });
        for n in 0..30 {
            tell(&mut sink, frame(n));
            // Sometimes it waits by now, and sometimes it does not.
            tokio::time::sleep(Duration::from_millis(n % 3)).await;
        }
        drop(sink);
        let heard = timeout(Duration::from_secs(20), listener).await.expect("the events end").unwrap();
        assert_eq!(heard, (0..30).map(frame).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_was_told_before_the_end_is_read_after_it() {
        let (mut sink, mut events) = queue(32);
        tell(&mut sink, frame(1));
        drop(sink);
        assert_eq!(events.recv().await, Some(frame(1)));
        assert_eq!(events.recv().await, None);
    }

    #[tokio::test]
    async fn waiting_in_vain_loses_nothing() {
        let (mut sink, mut events) = queue(32);
        assert_eq!(events.recv().now_or_never(), None);
        tell(&mut sink, frame(1));
        assert_eq!(events.recv().now_or_never(), Some(Some(frame(1))));
    }

    #[test]
    fn nothing_is_kept_for_a_listener_that_is_gone() {
        let (mut sink, events) = queue(32);
        tell(&mut sink, frame(1));
        drop(events);
        tell(&mut sink, frame(2));
        let state = sink.queue.lock();
        assert_eq!((state.len(), state.later.capacity(), sink.lost), (0, 0, 0));
    }
}
