//! What came in and what stays.

use std::collections::BTreeMap;

use callbox::{
    base::Usd,
    store::claims::{Claim, ClaimState},
};
use serde::Serialize;
use serde_json::json;

use super::{Report, cells, network, table};

/// Sums of some payments. What is kept is what was sold without the three beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Sums {
    payments: u64,
    sold: Usd,
    refunded: Usd,
    due: Usd,
    /// Its settlement has left the chain.
    disputed: Usd,
}

impl Sums {
    fn add(&mut self, claim: &Claim) {
        let amount = claim.offer.amount;
        match claim.state {
            ClaimState::Reserved | ClaimState::Settling | ClaimState::Released => return,
            ClaimState::Settled | ClaimState::Delivered => {}
            ClaimState::RefundDue | ClaimState::Refunding => self.due = self.due + amount,
            ClaimState::Refunded => self.refunded = self.refunded + amount,
            ClaimState::Disputed => self.disputed = self.disputed + amount,
        }
        self.payments += 1;
        self.sold = self.sold + amount;
    }

    fn kept(&self) -> Usd {
        let gone = self.refunded + self.due + self.disputed;
        Usd::from_micros(self.sold.micros().saturating_sub(gone.micros()))
    }

    fn cells(&self, family: &str, network: &str, route: &str) -> Vec<String> {
        let [sold, refunded, due, disputed, kept] =
            [self.sold, self.refunded, self.due, self.disputed, self.kept()].map(|sum| sum.to_string());
        let payments = self.payments.to_string();
        cells([family, network, route, &payments, &sold, &refunded, &due, &disputed, &kept])
    }
}

pub fn report(claims: &[Claim]) -> Report {
    let (mut by_route, mut all) = (BTreeMap::<_, Sums>::new(), Sums::default());
    for claim in claims {
        let key = (family(&claim.offer.route), network(claim), claim.offer.route.as_str());
        by_route.entry(key).or_default().add(claim);
        all.add(claim);
    }
    by_route.retain(|_, sums| sums.payments > 0);
    let head = ["API", "NETWORK", "ROUTE", "PAYMENTS", "SOLD", "REFUNDED", "DUE", "DISPUTED", "KEPT"];
    let mut rows = vec![cells(head)];
    rows.extend(by_route.iter().map(|((family, network, route), sums)| sums.cells(family, network, route)));
    rows.push(all.cells("all", "", ""));
    let routes = by_route.iter().map(|((family, network, route), sums)| {
        json!({ "api": family, "network": network, "route": route, "sums": sums, "kept": sums.kept() })
    });
    let value = json!({
        "routes": routes.collect::<Vec<_>>(),
        "all": { "sums": all, "kept": all.kept() },
    });
    Report { text: table(&rows), value, agrees: true }
}

/// Which API a route belongs to.
fn family(route: &str) -> &'static str {
    let path = route.split_once(' ').map_or(route, |(_, path)| path);
    if path.starts_with("/api/x402/") {
        "x402phone"
    } else if path.starts_with("/api/v1/") {
        "blockrun"
    } else {
        "stablephone"
    }
}
