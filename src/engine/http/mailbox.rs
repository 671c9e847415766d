//! A bounded queue from async tasks to one synchronous reader.
//!
//! Full, it holds its senders back, and with them the TCP connections they read from: the server
//! slows down and nothing is lost. Neither tokio's channel (no blocking wait with a limit) nor the
//! standard one (no async send) does both ends.

use std::{sync::Arc, sync::mpsc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The sending end.
pub struct Post<T> {
    items: mpsc::Sender<(T, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

/// The reading end.
pub struct Mailbox<T> {
    items: mpsc::Receiver<(T, OwnedSemaphorePermit)>,
}

/// A queue of at most `capacity` items.
pub fn mailbox<T>(capacity: usize) -> (Post<T>, Mailbox<T>) {
    let (sender, receiver) = mpsc::channel();
    (Post { items: sender, room: Arc::new(Semaphore::new(capacity)) }, Mailbox { items: receiver })
}

impl<T> Clone for Post<T> {
    fn clone(&self) -> Self {
        Post { items: self.items.clone(), room: self.room.clone() }
    }
}

impl<T> Post<T> {
    /// Waits for room. False once the reader is gone.
    pub async fn send(&self, item: T) -> bool {
        match self.room.clone().acquire_owned().await {
            Ok(permit) => self.items.send((item, permit)).is_ok(),
            Err(_) => false,
        }
    }
}

impl<T> Mailbox<T> {
    /// The next item, if one comes within `limit`.
    pub fn receive(&self, limit: Duration) -> Option<T> {
        self.items.recv_timeout(limit).ok().map(|(item, _room)| item)
    }

    /// The next item, if one is there.
    pub fn receive_now(&self) -> Option<T> {
        self.items.try_recv().ok().map(|(item, _room)| item)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Context, task::Waker};

    use super::*;

    fn is_ready(future: impl Future<Output = bool>) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_full_mailbox_holds_its_senders_back_until_an_item_is_read() {
        let (post, mailbox) = mailbox(2);
        assert!(is_ready(post.send(1)) && is_ready(post.send(2)));
        assert!(!is_ready(post.send(3)));
        assert_eq!(mailbox.receive_now(), Some(1));
        assert!(is_ready(post.send(4)));
        assert_eq!((mailbox.receive_now(), mailbox.receive_now()), (Some(2), Some(4)));
        assert_eq!(mailbox.receive(Duration::ZERO), None);
    }
}
