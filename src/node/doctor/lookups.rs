//! Can what is sold as a lookup be delivered?

use crate::node::config::NodeConfig;
use crate::node::doctor::Check;
use crate::pay::Mode;
use crate::service::look_up::Provider;

const NAME: &str = "lookups";

/// Nothing to say of a node that neither sells lookups nor has anybody to ask.
pub fn lookups(config: &NodeConfig) -> Option<Check> {
    if config.lookup.provider != Provider::None {
        return Some(match config.lookup.build() {
            Ok(_) => Check::ok(NAME, "iMessage and FaceTime are asked of lookup.url"),
            Err(problem) => Check::fail(NAME, problem.to_string(), "correct [lookup]"),
        });
    }
    let price = config.payments.prices.stablephone.lookup;
    (config.payments.mode == Mode::On).then(|| {
        let detail = format!(
            "sold for ${price} without anybody who knows about iMessage and FaceTime: both are always \"unknown\""
        );
        Check::warn(NAME, detail, "name a BlueBubbles server or a program of yours in [lookup]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::config::Sources;
    use crate::node::doctor::Outcome;

    fn outcome(set: &[(&str, &str)]) -> Option<Outcome> {
        let set = set.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let config = Sources { set, ..Sources::default() }.load().unwrap().config;
        lookups(&config).map(|check| check.outcome)
    }

    #[test]
    fn selling_lookups_without_a_provider_is_a_warning() {
        assert_eq!(outcome(&[]), None);
        assert_eq!(outcome(&[("payments.mode", "on")]), Some(Outcome::Warn));
        let provider = ("lookup.provider", "bluebubbles");
        assert_eq!(outcome(&[("payments.mode", "on"), provider]), Some(Outcome::Fail), "no lookup.url");
        let url = ("lookup.url", "http://mac.local:1234");
        assert_eq!(outcome(&[("payments.mode", "on"), provider, url]), Some(Outcome::Ok));
    }
}
