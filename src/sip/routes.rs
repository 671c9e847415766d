//! Which way a call goes out: the order of the trunks and of a trunk's addresses (RFC 2782), after which
//! failure the next is tried (RFC 3263 section 4.3), and which address is left alone for a while.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{end::SipEnd, trunk::TrunkConfig};
use crate::base::E164;

/// How long an address that did not answer is tried after all others.
pub(super) const AFTER_SILENCE: Duration = Duration::from_secs(30);
/// A `Retry-After` is obeyed up to here.
pub(super) const LONGEST_ASIDE: Duration = Duration::from_secs(3600);

/// Lower priorities come first; weights share the calls among equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rank {
    pub priority: u16,
    pub weight: u16,
}

/// The order of RFC 2782. `draw` gives a random number from 0 to its argument, both included.
pub(super) fn ordered<T>(
    mut items: Vec<T>,
    rank: impl Fn(&T) -> Rank,
    mut draw: impl FnMut(u32) -> u32,
) -> Vec<T> {
    // Those of no weight stand first among equals, so that they have a small chance.
    items.sort_by_key(|item| (rank(item).priority, rank(item).weight != 0));
    let mut ordered = Vec::with_capacity(items.len());
    while let Some(first) = items.first() {
        let priority = rank(first).priority;
        let equals = items.iter().take_while(|item| rank(item).priority == priority);
        let weights: Vec<u32> = equals.map(|item| rank(item).weight.into()).collect();
        let drawn = draw(weights.iter().sum());
        let mut sum = 0;
        let reaches = |weight: &u32| {
            sum += weight;
            sum >= drawn
        };
        let chosen = weights.iter().position(reaches).unwrap_or(0);
        ordered.push(items.remove(chosen));
    }
    ordered
}

/// A trunk as the choice sees it.
pub(super) struct Candidate<'a> {
    pub config: &'a TrunkConfig,
    /// Registered if it has to be, not found dead, and not left alone for a while.
    pub ready: bool,
}

/// Whom a call goes to, and what it shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub to: &'a E164,
    /// The number to show.
    pub from: Option<&'a E164>,
    /// Name of the trunk that the number came from.
    pub home: Option<&'a str>,
}

/// The places of the trunks that may carry a call, the first to be tried first. One that is not ready is
/// tried after all others: better a poor chance than none. A number's own trunk comes before others, which
/// show the number only where their configuration names it: carriers refuse numbers that they do not know.
pub(super) fn trunks(
    candidates: &[Candidate<'_>],
    wish: Wish<'_>,
    mut draw: impl FnMut(u32) -> u32,
) -> Vec<usize> {
    let Wish { to, from, home } = wish;
    let is_home = |config: &TrunkConfig| home == Some(config.name.as_str());
    let has_home = candidates.iter().any(|candidate| is_home(candidate.config));
    let may_show = |config: &TrunkConfig| match from {
        Some(number) if has_home => is_home(config) || config.names(number),
        from => config.may_show(from),
    };
    let may = |config: &TrunkConfig| config.may_call(to) && may_show(config);
    let rank = |index: &usize| {
        let config = candidates[*index].config;
        Rank { priority: config.priority, weight: config.weight }
    };
    // Unlike an SRV record's, a trunk's weight is its share of the calls: nought that is drawn would be the
    // first one's beside its own, and give calls to one of no weight.
    let mut draw = |most: u32| if most == 0 { 0 } else { 1 + draw(most - 1) };
    let allowed = (0..candidates.len()).filter(|index| may(candidates[*index].config));
    let (ready, rest) = allowed.partition::<Vec<_>, _>(|index| candidates[*index].ready);
    let mut order = ordered(ready, rank, &mut draw);
    let ready = order.len();
    order.extend(ordered(rest, rank, draw));
    let (ready, rest) = order.split_at_mut(ready);
    for order in [ready, rest] {
        order.sort_by_key(|index| !is_home(candidates[*index].config));
    }
    order
}

/// Whether a call that ended so, before it rang, is tried by another address or trunk: nobody answered,
/// or a server said that it cannot (408, 500, 502, 503, 504). What the callee or its network says of the
/// number (other 4xx, 6xx) would be said by any.
pub(super) fn goes_on_after(end: &SipEnd) -> bool {
    match end {
        SipEnd::Unreachable { .. } => true,
        SipEnd::Rejected { status, .. } => matches!(status, 408 | 500 | 502 | 503 | 504),
        _ => false,
    }
}

/// Addresses left alone for a while.
#[derive(Debug, Default)]
pub(super) struct Aside(HashMap<SocketAddr, Instant>);

impl Aside {
    pub fn put(&mut self, address: SocketAddr, now: Instant, pause: Duration) {
        self.0.retain(|_, until| *until > now);
        let until = now + pause.min(LONGEST_ASIDE);
        let known = self.0.entry(address).or_insert(until);
        *known = until.max(*known);
    }

    pub fn remove(&mut self, address: &SocketAddr) {
        self.0.remove(address);
    }

    pub fn holds(&self, address: &SocketAddr, now: Instant) -> bool {
        self.0.get(address).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Pii;

    fn trunk(name: &str, priority: u16, weight: u16) -> TrunkConfig {
        TrunkConfig { priority, weight, ..TrunkConfig::peer(name, "sip.example.com".parse().unwrap()) }
    }

    fn order_of(
        home: Option<&str>,
        trunks_: &[(TrunkConfig, bool)],
        draw: impl FnMut(u32) -> u32,
    ) -> Vec<String> {
        let candidates: Vec<_> =
            trunks_.iter().map(|(config, ready)| Candidate { config, ready: *ready }).collect();
        let (to, from) = ("+14155550123".parse().unwrap(), "+14155550100".parse().unwrap());
        let order = trunks(&candidates, Wish { to: &to, from: Some(&from), home }, draw);
        order.into_iter().map(|index| trunks_[index].0.name.clone()).collect()
    }

    fn order(trunks: &[(TrunkConfig, bool)], draw: impl FnMut(u32) -> u32) -> Vec<String> {
        order_of(None, trunks, draw)
    }

    #[test]
    fn priority_stands_before_weight_and_readiness_before_both() {
        let trunks = [
            (trunk("late", 20, 100), true),
            (trunk("dead", 1, 100), false),
            (trunk("first", 10, 0), true),
            (trunk("deader", 2, 100), false),
        ];
        assert_eq!(order(&trunks, |most| most), ["first", "late", "dead", "deader"]);
    }

    #[test]
    fn drawn_number_falls_into_the_weights_of_equals() {
        let rank = |&(_, weight): &(&str, u16)| Rank { priority: 1, weight };
        let records = vec![("a", 10), ("b", 30), ("zero", 0)];
        // Running sums: zero 0, a 10, b 40.
        let first = |drawn: u32| ordered(records.clone(), rank, |most| drawn.min(most))[0].0;
        assert_eq!([0, 1, 10, 11, 40].map(first), ["zero", "a", "a", "b", "b"]);
        assert_eq!(ordered(records.clone(), rank, |most| most), [("b", 30), ("a", 10), ("zero", 0)]);
    }

    #[test]
    fn trunk_has_its_share_and_one_of_no_weight_what_no_other_takes() {
        let trunks = [(trunk("a", 1, 10), true), (trunk("b", 1, 30), true), (trunk("zero", 1, 0), true)];
        let first = |drawn: u32| order(&trunks, |most| drawn.min(most)).remove(0);
        assert_eq!([0, 9, 10, 39].map(first), ["a", "a", "b", "b"]);
        for drawn in 0..40 {
            assert_eq!(order(&trunks, |most| drawn.min(most))[2], "zero");
        }
        let alone = [(trunk("a", 1, 10), false), (trunk("zero", 1, 0), true)];
        assert_eq!(order(&alone, |_| 0), ["zero", "a"], "it takes calls while no other can");
    }

    #[test]
    fn shares_follow_the_weights() {
        let trunks = [(trunk("a", 1, 1), true), (trunk("b", 1, 3), true)];
        let (mut seed, mut firsts) = (1u32, 0);
        for _ in 0..10_000 {
            let draw = |most: u32| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 16) % (most + 1)
            };
            firsts += u32::from(order(&trunks, draw)[0] == "b");
        }
        assert!((7_300..7_700).contains(&firsts), "{firsts}");
    }

    #[test]
    fn trunk_that_may_not_call_or_show_a_number_is_left_out() {
        let german = TrunkConfig { prefixes: vec!["+49".into()], ..trunk("german", 1, 1) };
        let other = vec!["+14155550199".parse().unwrap()];
        let shows_other = TrunkConfig { caller_ids: other, ..trunk("shows other", 1, 1) };
        let american = TrunkConfig { prefixes: vec!["+44".into(), "+1415".into()], ..trunk("ours", 9, 1) };
        let trunks = [(german, true), (shows_other, true), (american, false)];
        assert_eq!(order(&trunks, |_| 0), ["ours"]);
    }

    #[test]
    fn number_goes_by_its_own_trunk_and_then_by_those_that_name_it() {
        let shown: Vec<E164> = vec!["+14155550100".parse().unwrap()];
        let names_it = |trunk| TrunkConfig { caller_ids: shown.clone(), ..trunk };
        let trunks = [
            (trunk("shows any", 1, 1), true),
            (names_it(trunk("names it", 2, 1)), true),
            (trunk("home", 9, 1), true),
        ];
        assert_eq!(order_of(Some("home"), &trunks, |_| 0), ["home", "names it"]);
        let resting = trunks.clone().map(|(config, _)| (config.clone(), config.name != "home"));
        assert_eq!(order_of(Some("home"), &resting, |_| 0), ["names it", "home"]);
        let all = ["shows any", "names it", "home"];
        assert_eq!(order_of(Some("gone"), &trunks, |_| 0), all, "a trunk that is configured no more");
        let elsewhere = TrunkConfig { prefixes: vec!["+49".into()], ..trunk("home", 1, 1) };
        assert!(order_of(Some("home"), &[(elsewhere, true)], |_| 0).is_empty(), "it may not call there");
    }

    #[test]
    fn only_what_another_trunk_may_do_better_goes_on() {
        let rejected = |status| SipEnd::Rejected { status, reason: Pii::default() };
        for status in [408, 500, 502, 503, 504] {
            assert!(goes_on_after(&rejected(status)), "{status}");
        }
        for status in [302, 400, 403, 404, 480, 486, 487, 488, 501, 505, 600, 603, 604, 607] {
            assert!(!goes_on_after(&rejected(status)), "{status}");
        }
        assert!(goes_on_after(&SipEnd::Unreachable { detail: String::new() }));
        for end in [SipEnd::AuthRejected, SipEnd::NoAnswer, SipEnd::Cancelled] {
            assert!(!goes_on_after(&end), "{end:?}");
        }
    }

    #[test]
    fn address_is_left_alone_for_as_long_as_was_asked() {
        let (now, address) = (Instant::now(), "192.0.2.1:5060".parse().unwrap());
        let mut aside = Aside::default();
        let seconds = Duration::from_secs;
        aside.put(address, now, seconds(60));
        aside.put(address, now, seconds(10));
        assert!(aside.holds(&address, now + seconds(59)) && !aside.holds(&address, now + seconds(60)));
        aside.put("192.0.2.2:5060".parse().unwrap(), now + seconds(61), Duration::MAX);
        assert_eq!(aside.0.len(), 1, "what is over is forgotten");
    }
}
