//! The `[sip]` section.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    rate::RateLimit,
    session_timer::{self, Terms},
    tls::TlsConfig,
    trunk::{InvalidTrunk, Server, TrunkConfig},
};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port for SIP over UDP and, with `tcp`, over TCP. Port 0 lets the system choose.
    pub bind: SocketAddr,
    pub tcp: bool,
    /// Our address as the trunks see it, behind a NAT that forwards the port unchanged.
    pub public_address: Option<IpAddr>,
    /// What scanners and peers read; it names no version.
    pub user_agent: String,
    /// From an INVITE to any response at all; then another address or trunk is tried.
    #[serde(rename = "setup_timeout_secs", with = "seconds")]
    pub setup_timeout: Duration,
    /// From a dial until it is tried by another address or trunk for the last time; waiting for a turn
    /// (`cps`) comes on top.
    #[serde(rename = "hunt_timeout_secs", with = "seconds")]
    pub hunt_timeout: Duration,
    /// From a first 100, which only the next hop says, to any word of the callee's side; then likewise.
    #[serde(rename = "progress_timeout_secs", with = "seconds")]
    pub progress_timeout: Duration,
    /// Nameservers that trunks are looked up with, with their ports; the system's if there are none.
    pub nameservers: Vec<SocketAddr>,
    /// From the first 1xx other than 100 to the answer, where a call does not say otherwise.
    #[serde(rename = "ring_timeout_secs", with = "seconds")]
    pub ring_timeout: Duration,
    /// T1 of RFC 3261: the round trip every retransmission timer is made from.
    #[serde(rename = "t1_secs", with = "seconds")]
    pub t1: Duration,
    /// After which a session that nobody refreshed is over (RFC 4028): 90 s or more. Zero neither asks
    /// for that nor grants it.
    #[serde(rename = "session_expires_secs", with = "seconds")]
    pub session_expires: Duration,
    /// The shortest `session_expires` of either side. RFC 4028 says 90 s; no configuration file does.
    #[serde(skip)]
    pub session_floor: Duration,
    /// Calls at once, both ways; more are refused with 503.
    pub max_calls: usize,
    /// Between the two line ends that keep a connection to a trunk open (RFC 5626); zero sends none.
    #[serde(rename = "keepalive_secs", with = "seconds")]
    pub keepalive: Duration,
    /// `host` or `host:port` of a STUN server that tells `public_address`, and goes on telling it.
    pub stun_server: Option<Server>,
    #[serde(rename = "stun_interval_secs", with = "seconds")]
    pub stun_interval: Duration,
    pub rate_limit: RateLimit,
    pub tls: TlsConfig,
    pub trunks: Vec<TrunkConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5060),
            tcp: true,
            public_address: None,
            user_agent: "Callbox".into(),
            setup_timeout: Duration::from_secs(10),
            hunt_timeout: Duration::from_secs(30),
            progress_timeout: Duration::from_secs(20),
            nameservers: Vec::new(),
            ring_timeout: Duration::from_secs(60),
            t1: Duration::from_millis(500),
            session_expires: Duration::from_secs(1800),
            session_floor: session_timer::SHORTEST,
            max_calls: 200,
            keepalive: Duration::from_secs(110),
            stun_server: None,
            stun_interval: Duration::from_secs(25),
            rate_limit: RateLimit::default(),
            tls: TlsConfig::default(),
            trunks: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    #[error("sip.{field}: {problem}")]
    Field { field: &'static str, problem: &'static str },
    #[error("sip.trunks: {0}")]
    Trunk(#[from] InvalidTrunk),
    #[error("sip.trunks: two trunks are named `{0}`")]
    DuplicateTrunk(String),
}

/// A proxy gives up on an INVITE that rings for three minutes (Timer C).
const LONGEST_RING: Duration = Duration::from_secs(170);
const LONGEST_PROGRESS: Duration = Duration::from_secs(60);
/// The stack's own, which counts from the first response: longer than both together, so that a call's end is
/// always ours to decide, and the INVITE is taken back.
pub(super) const TIMER_C: Duration = Duration::from_secs(240);
/// Timer B ends an INVITE without a response after 64 T1.
const LONGEST_SETUP: Duration = Duration::from_secs(30);
const LONGEST_HUNT: Duration = Duration::from_secs(120);
/// RFC 5626 section 4.4.1 advises a server to wait no longer.
const LONGEST_PING: Duration = Duration::from_secs(840);
const LONGEST_SESSION: Duration = Duration::from_secs(86_400);

impl Config {
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let fail = |field, problem| Err(InvalidConfig::Field { field, problem });
        if !(Duration::from_millis(100)..=LONGEST_SETUP).contains(&self.setup_timeout) {
            return fail("setup_timeout_secs", "must be 0.1 to 30");
        }
        if !(Duration::from_millis(100)..=LONGEST_HUNT).contains(&self.hunt_timeout) {
            return fail("hunt_timeout_secs", "must be 0.1 to 120");
        }
        if !(Duration::from_millis(100)..=LONGEST_PROGRESS).contains(&self.progress_timeout) {
            return fail("progress_timeout_secs", "must be 0.1 to 60");
        }
        if !ring_timeout_is_valid(self.ring_timeout) {
            return fail("ring_timeout_secs", "must be 0.1 to 170");
        }
        if !(Duration::from_millis(10)..=Duration::from_secs(2)).contains(&self.t1) {
            return fail("t1_secs", "must be 0.01 to 2");
        }
        let session = self.session_floor..=LONGEST_SESSION;
        if !self.session_expires.is_zero() && !session.contains(&self.session_expires) {
            return fail("session_expires_secs", "must be 90 to 86400, or 0 for none");
        }
        let printable = self.user_agent.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if !printable || self.user_agent.len() > 64 {
            return fail("user_agent", "must be at most 64 printable ASCII characters");
        }
        if self.max_calls == 0 {
            return fail("max_calls", "must be at least 1");
        }
        if !self.keepalive.is_zero() && !(Duration::from_millis(100)..=LONGEST_PING).contains(&self.keepalive)
        {
            return fail("keepalive_secs", "must be 0.1 to 840, or 0 for none");
        }
        if self.stun_server.is_some() && self.public_address.is_some() {
            return fail(
                "stun_server",
                "must not stand beside `public_address`: one of them says the address",
            );
        }
        if !(Duration::from_millis(100)..=LONGEST_PING).contains(&self.stun_interval) {
            return fail("stun_interval_secs", "must be 0.1 to 840");
        }
        if let Some((field, problem)) = self.tls.problem() {
            return fail(field, problem);
        }
        let mut names = HashSet::new();
        for trunk in &self.trunks {
            trunk.validate()?;
            if !names.insert(&trunk.name) {
                return Err(InvalidConfig::DuplicateTrunk(trunk.name.clone()));
            }
        }
        Ok(())
    }

    /// What is wanted of sessions, if their timers are on.
    pub(super) fn terms(&self) -> Option<Terms> {
        let terms = Terms { wanted: self.session_expires, floor: self.session_floor };
        (!self.session_expires.is_zero()).then_some(terms)
    }
}

/// Whether a phone may ring for so long.
pub fn ring_timeout_is_valid(timeout: Duration) -> bool {
    (Duration::from_millis(100)..=LONGEST_RING).contains(&timeout)
}

/// Durations as a number of seconds, fractions allowed.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(|_| D::Error::custom("must be seconds, not negative"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_survive_toml() {
        let config = Config::default();
        assert_eq!(config.validate(), Ok(()));
        let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again.ring_timeout, config.ring_timeout);
        assert_eq!(again.session_floor, Duration::from_secs(90));
    }

    #[test]
    fn errors_name_the_field() {
        let config: Config = toml::from_str("ring_timeout_secs = 999").unwrap();
        assert_eq!(config.validate().unwrap_err().to_string(), "sip.ring_timeout_secs: must be 0.1 to 170");
        let config: Config = toml::from_str("progress_timeout_secs = 61").unwrap();
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "sip.progress_timeout_secs: must be 0.1 to 60"
        );
        let config: Config = toml::from_str("session_expires_secs = 60").unwrap();
        let error = config.validate().unwrap_err().to_string();
        assert_eq!(error, "sip.session_expires_secs: must be 90 to 86400, or 0 for none");
        let off: Config = toml::from_str("session_expires_secs = 0").unwrap();
        assert_eq!((off.validate(), off.terms()), (Ok(()), None));
        assert!(toml::from_str::<Config>("ring = 1").unwrap_err().to_string().contains("ring"));
        let twice = "[[trunks]]\nname='a'\nserver='x'\n[[trunks]]\nname='a'\nserver='y'";
        let error = toml::from_str::<Config>(twice).unwrap().validate().unwrap_err();
        assert_eq!(error, InvalidConfig::DuplicateTrunk("a".into()));
    }
}
