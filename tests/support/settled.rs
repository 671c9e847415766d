//! Waiting until a SIP node is done with all its calls. Each group of tests says how long at most: its
//! `SETTLING`.

use std::time::Duration;

use callbox::sip::SipNode;

use crate::SETTLING;

/// Waits until the node holds nothing any more.
pub async fn settled(node: &SipNode) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let holds_nothing = async {
        loop {
            let stats = node.stats();
            if (stats.calls, stats.dialogs, stats.transactions) == (0, 0, 0) {
                return;
            }
            ticks.tick().await;
        }
    };
    let settled = tokio::time::timeout(SETTLING, holds_nothing).await;
    assert!(settled.is_ok(), "the node still holds {:?}", node.stats());
}
