//! Which payments a task of this process is bringing on: nobody else takes those up, and whoever waits for one
//! can say so to the task that has it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::store::claims::NewClaim;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Hands(Arc<Mutex<HashMap<Key, Hand>>>);

/// What makes an authorisation one of its kind, known before it is claimed.
type Key = [String; 4];

#[derive(Default)]
struct Hand {
    /// Many requests may carry one authorisation; each holds it until it knows whose it is.
    holders: usize,
    asked: Arc<Notify>,
}

impl Hands {
    pub fn hold(&self, offer: &NewClaim) -> Hold {
        let key = key(offer);
        let mut hands = self.0.lock();
        let hand = hands.entry(key.clone()).or_default();
        hand.holders += 1;
        Hold { hands: self.clone(), key, asked: hand.asked.clone() }
    }

    /// `None` where somebody has it.
    pub fn hold_alone(&self, offer: &NewClaim) -> Option<Hold> {
        let key = key(offer);
        let mut hands = self.0.lock();
        if hands.contains_key(&key) {
            return None;
        }
        let hand = Hand { holders: 1, asked: Arc::default() };
        let asked = hand.asked.clone();
        hands.insert(key.clone(), hand);
        Some(Hold { hands: self.clone(), key, asked })
    }

    /// Tells whoever has it that its buyer asks; `false` where nobody has.
    pub fn ask(&self, offer: &NewClaim) -> bool {
        let hands = self.0.lock();
        let hand = hands.get(&key(offer));
        hand.inspect(|hand| hand.asked.notify_one()).is_some()
    }
}

fn key(offer: &NewClaim) -> Key {
    [offer.network.clone(), offer.asset.clone(), offer.payer.to_string(), offer.nonce.clone()]
}

/// For as long as it lives, the payment is in hand.
pub(super) struct Hold {
    hands: Hands,
    key: Key,
    asked: Arc<Notify>,
}

impl Hold {
    /// Until the buyer asks; at once where they have asked since the last time.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut hands = self.hands.0.lock();
        let Some(hand) = hands.get_mut(&self.key) else { return };
        hand.holders -= 1;
        if hand.holders == 0 {
            hands.remove(&self.key);
        }
    }
}
