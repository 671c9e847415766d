//! Do the trunks answer?

use std::net::SocketAddr;

use crate::node::config::NodeConfig;
use crate::node::doctor::Check;
use crate::sip::{self, SipNode, Srtp, TrunkConfig};

/// Asks every trunk by OPTIONS, from a port of its own, so that a running node is not disturbed.
pub async fn trunks(config: &NodeConfig) -> Vec<Check> {
    if config.sip.trunks.is_empty() {
        let fix = "add one to [[sip.trunks]]; config/trunks has examples";
        return vec![Check::warn("trunks", "none is configured: no call can go out", fix)];
    }
    let quiet =
        |trunk: &TrunkConfig| TrunkConfig { register: false, options_interval_secs: 0, ..trunk.clone() };
    let probe = sip::Config {
        bind: SocketAddr::new(config.sip.bind.ip(), 0),
        tls: sip::TlsConfig { bind: None, client_ca: None, ..config.sip.tls.clone() },
        trunks: config.sip.trunks.iter().map(quiet).collect(),
        ..config.sip.clone()
    };
    let (node, _incoming) = match SipNode::start(probe).await {
        Ok(started) => started,
        Err(error) => return vec![Check::fail("trunks", error.to_string(), "correct [sip]")],
    };
    let mut checks = Vec::new();
    for trunk in &config.sip.trunks {
        checks.push(ask(&node, trunk).await);
        checks.extend(told_keys(trunk));
        checks.extend(unreachable_over_tls(trunk, config));
    }
    node.shutdown().await;
    checks
}

/// SRTP's keys stand in SDP: whoever reads the signalling can listen.
fn told_keys(trunk: &TrunkConfig) -> Option<Check> {
    let told = trunk.srtp != Srtp::Off && !trunk.transport.is_encrypted();
    told.then(|| {
        let fix =
            "set sip.trunks.transport to \"tls\", unless the way to the trunk is encrypted otherwise (VPN)";
        let detail = "srtp is on, and its keys go over a transport that anybody on the way can read";
        Check::warn(&format!("trunk {}", trunk.name), detail, fix)
    })
}

/// Calls come in over a connection that the trunk opens, unless this node registers over one of its own.
fn unreachable_over_tls(trunk: &TrunkConfig, config: &NodeConfig) -> Option<Check> {
    let deaf = trunk.transport.is_encrypted() && !trunk.register && config.sip.tls.bind.is_none();
    (deaf && !config.call.inbound_persona.is_empty()).then(|| {
        let fix = "set sip.tls.bind with sip.tls.certificate and sip.tls.key, and let the trunk call \
                   `sip:HOST:5061;transport=tls`";
        let detail = "call.inbound_persona is set, and a trunk over TLS has nowhere to bring its calls";
        Check::warn(&format!("trunk {}", trunk.name), detail, fix)
    })
}

async fn ask(node: &SipNode, trunk: &TrunkConfig) -> Check {
    let name = format!("trunk {}", trunk.name);
    match node.options(Some(&trunk.name)).await {
        Ok(pong) => {
            let detail =
                format!("answers OPTIONS with {} after {} ms", pong.status, pong.round_trip.as_millis());
            match (pong.status, trunk.register) {
                (403, _) => {
                    Check::warn(&name, detail, "ask the carrier whether it takes this machine's address")
                }
                (_, true) => {
                    Check::ok(&name, detail + "; registration is not tried here, /health tells of it")
                }
                (_, false) => Check::ok(&name, detail),
            }
        }
        Err(error) => Check::warn(
            &name,
            error.to_string(),
            "check sip.trunks.server, the firewall, and whether the trunk knows this machine's address; some \
             trunks never answer OPTIONS",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::config::Sources;
    use crate::sip::Transport;

    #[test]
    fn trunk_over_tls_that_cannot_bring_calls_is_warned_of() {
        let secure = TrunkConfig {
            transport: Transport::Tls,
            ..TrunkConfig::peer("a", "sip.example.com".parse().unwrap())
        };
        let registers = TrunkConfig { register: true, ..secure.clone() };
        let mut config = Sources::default().load().unwrap().config;
        assert!(unreachable_over_tls(&secure, &config).is_none(), "no call is taken");
        config.call.inbound_persona = "receptionist".into();
        assert!(unreachable_over_tls(&secure, &config).is_some());
        assert!(unreachable_over_tls(&registers, &config).is_none());
        config.sip.tls.bind = Some(([127, 0, 0, 1], 5061).into());
        assert!(unreachable_over_tls(&secure, &config).is_none());
    }

    #[test]
    fn keys_that_anybody_can_read_are_warned_of() {
        let trunk = |srtp| TrunkConfig { srtp, ..TrunkConfig::peer("a", "192.0.2.1".parse().unwrap()) };
        assert!(told_keys(&trunk(Srtp::Off)).is_none());
        for srtp in [Srtp::Optional, Srtp::Required] {
            assert!(told_keys(&trunk(srtp)).is_some(), "{srtp:?}");
            let over_tls = TrunkConfig { transport: Transport::Tls, ..trunk(srtp) };
            assert!(told_keys(&over_tls).is_none());
        }
    }
}
