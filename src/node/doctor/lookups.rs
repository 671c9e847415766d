//! Can what is sold as a lookup be delivered?

use crate::node::config::NodeConfig;
use crate::node::doctor::Check;
use crate::pay::Mode;
use crate::service::look_up::Provider;

const NAME: &str = "lookups";

/// Nothing to say of a node that neither sells lookups nor has anybody to ask.
pub fn lookups(config: &NodeConfig) -> Vec<Check> {
    [reach(config), carriers(config)].into_iter().flatten().collect()
}

fn reach(config: &NodeConfig) -> Option<Check> {
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

fn carriers(config: &NodeConfig) -> Option<Check> {
    const NAME: &str = "carriers";
    match config.lookup.carrier.build() {
        Err(problem) => Some(Check::fail(NAME, problem.to_string(), "correct [lookup.carrier]")),
        Ok(carriers) if carriers.knows() => Some(Check::ok(NAME, "are asked of lookup.carrier.url")),
        Ok(_) => (config.payments.mode == Mode::On).then(|| {
            let price = config.payments.prices.blockrun.lookup;
            let detail = format!(
                "/api/v1/phone/lookup is sold for ${price} without anybody who knows carriers: they are always \
                 \"unknown\"; the lookup of signs of fraud is not sold"
            );
            Check::warn(NAME, detail, "name a program of yours in [lookup.carrier]")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::config::Sources;
    use crate::node::doctor::Outcome;

    fn outcomes(set: &[(&str, &str)]) -> Vec<(String, Outcome)> {
        let set = set.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let config = Sources { set, ..Sources::default() }.load().unwrap().config;
        lookups(&config).into_iter().map(|check| (check.name, check.outcome)).collect()
    }

    fn outcome(name: &str, set: &[(&str, &str)]) -> Option<Outcome> {
        outcomes(set).into_iter().find(|(named, _)| named == name).map(|(_, outcome)| outcome)
    }

    #[test]
    fn selling_lookups_without_a_provider_is_a_warning() {
        assert_eq!(outcome(NAME, &[]), None);
        assert_eq!(outcome(NAME, &[("payments.mode", "on")]), Some(Outcome::Warn));
        let provider = ("lookup.provider", "bluebubbles");
        assert_eq!(outcome(NAME, &[("payments.mode", "on"), provider]), Some(Outcome::Fail), "no lookup.url");
        let url = ("lookup.url", "http://mac.local:1234");
        assert_eq!(outcome(NAME, &[("payments.mode", "on"), provider, url]), Some(Outcome::Ok));
    }

    #[test]
    fn selling_lookups_without_anybody_who_knows_carriers_is_a_warning() {
        let on = ("payments.mode", "on");
        assert_eq!(outcome("carriers", &[]), None);
        assert_eq!(outcome("carriers", &[on]), Some(Outcome::Warn));
        let url = |url| ("lookup.carrier.url", url);
        assert_eq!(outcome("carriers", &[on, url("https://carriers.example.com")]), Some(Outcome::Ok));
        assert_eq!(outcome("carriers", &[url("carriers.example.com")]), Some(Outcome::Fail));
    }
}
