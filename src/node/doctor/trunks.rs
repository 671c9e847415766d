//! Do the trunks answer?

use std::net::SocketAddr;

use crate::node::config::NodeConfig;
use crate::node::doctor::Check;
use crate::sip::{self, SipNode, TrunkConfig};

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
        checks.push(ask(&node, &trunk.name).await);
    }
    node.shutdown().await;
    checks
}

async fn ask(node: &SipNode, trunk: &str) -> Check {
    let name = format!("trunk {trunk}");
    match node.options(Some(trunk)).await {
        Ok(pong) => {
            let detail =
                format!("answers OPTIONS with {} after {} ms", pong.status, pong.round_trip.as_millis());
            Check::ok(&name, detail)
        }
        Err(error) => Check::warn(
            &name,
            error.to_string(),
            "check sip.trunks.server, the firewall, and whether the trunk knows this machine's address; some \
             trunks never answer OPTIONS",
        ),
    }
}
