//! A trunk: a carrier, PBX or plain peer that calls go out to and come in from.

mod address;

use std::path::PathBuf;

use rsipstack::sip::Param;
use serde::{Deserialize, Serialize};

pub(super) use self::address::BracketedHost;
use self::address::is_host;
pub use self::address::{Network, Server};
pub use super::numbering::NumberFormat;
use crate::base::{E164, Pii};

/// One `[[trunks]]` entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkConfig {
    /// What the rest of the configuration and the API call it.
    pub name: String,
    /// `host` or `host:port`. A host without a port is looked up by SRV first, then as an address.
    pub server: Server,
    #[serde(default)]
    pub transport: Transport,
    /// User of the address of record, and of digest unless `auth_username` says otherwise.
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub password: Option<Pii<String>>,
    /// Digest user, where the carrier gives out one that differs from `username`.
    #[serde(default)]
    pub auth_username: Option<String>,
    /// Whether to REGISTER; a trunk that knows us by address needs none.
    #[serde(default)]
    pub register: bool,
    /// Seconds of registration asked for; the registrar may grant fewer.
    #[serde(default = "TrunkConfig::default_register_expires")]
    pub register_expires: u32,
    /// Domain in From, To and the registrar's URI, if it is not the server's.
    #[serde(default)]
    pub from_domain: Option<String>,
    /// Number shown to the one who is called when a call names none.
    #[serde(default)]
    pub caller_id: Option<E164>,
    /// Addresses (`192.0.2.7`) and networks (`192.0.2.0/24`) that calls may come from, besides the
    /// server's own.
    #[serde(default)]
    pub allow: Vec<Network>,
    #[serde(default)]
    pub number_format: NumberFormat,
    /// Digits of the country whose numbers are written nationally, with `number_format = "national"`.
    #[serde(default)]
    pub country_code: String,
    /// What stands before a number of that country, such as `0`.
    #[serde(default)]
    pub national_prefix: String,
    /// What stands before the country code of another, such as `00` or `011`.
    #[serde(default)]
    pub international_prefix: String,
    /// Seconds between the OPTIONS that ask whether the trunk lives, 5 to 3600; 0 asks never.
    #[serde(default = "TrunkConfig::default_options_interval")]
    pub options_interval_secs: u32,

    /// Trunks of the lowest priority are tried first.
    #[serde(default)]
    pub priority: u16,
    /// Share of the calls among trunks of one priority; 0: those that no other of them can take.
    #[serde(default = "TrunkConfig::default_weight")]
    pub weight: u16,
    /// What numbers that it may call begin with, such as `+1`; none: any.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Numbers that may be shown over it besides `caller_id`; none: any.
    #[serde(default)]
    pub caller_ids: Vec<E164>,
    /// Calls a second that leave by it, fractions allowed; 0: no limit.
    #[serde(default)]
    pub cps: f64,
    /// Seconds a call may wait for its turn under `cps`.
    #[serde(default = "TrunkConfig::default_cps_queue")]
    pub cps_queue_secs: f64,
    /// Put before the called number: a carrier's tech prefix.
    #[serde(default)]
    pub tech_prefix: String,
    /// Whether URIs with numbers say `;user=phone`.
    #[serde(default)]
    pub user_phone: bool,
    #[serde(default)]
    pub identity: IdentityHeader,
    /// Whether the number is kept from the one who is called (`Privacy: id`), except by toll-free numbers.
    #[serde(default)]
    pub withhold_caller_id: bool,
    /// How the second leg of a transfer says who was called first.
    #[serde(default)]
    pub diversion: DiversionHeader,
    /// Header in which the trunk says what it found out about a caller's number (STIR/SHAKEN), such as
    /// `P-Asserted-Identity` or `X-Twilio-VerStat`. None: whatever a call says of itself is not believed.
    #[serde(default)]
    pub verification_header: Option<String>,
    /// Header in which it says how well it knows the caller (`A`, `B`, `C`), where the verdict has no letter.
    pub attestation_header: Option<String>,
    /// How a call of this trunk is handed to somebody else.
    #[serde(default)]
    pub transfer: TransferBy,
    /// PEM file with the authority that the trunk's certificate must be of, and no other; those that the
    /// system trusts if `None`.
    #[serde(default)]
    pub tls_ca: Option<PathBuf>,
    /// What the trunk's certificate must be for, where that is not the server's name.
    #[serde(default)]
    pub tls_name: Option<String>,
    /// Whether audio is encrypted.
    #[serde(default)]
    pub srtp: Srtp,
    /// Whether calls leave without an offer: the trunk makes one in its 200, and the ACK has our answer
    /// (RFC 3261 section 13.2.1). What it plays before the answer is not heard then.
    #[serde(default)]
    pub late_offer: bool,
}

/// Where the number is asserted that a call shows, beside From.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityHeader {
    /// `P-Asserted-Identity` (RFC 3325)
    #[default]
    Pai,
    /// `P-Preferred-Identity` (RFC 3325)
    Ppi,
    /// `Remote-Party-ID`, which some carriers never gave up.
    Rpid,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiversionHeader {
    #[default]
    None,
    /// `Diversion` (RFC 5806)
    Diversion,
    /// `History-Info` (RFC 7044)
    HistoryInfo,
}

/// Who joins the two parties of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransferBy {
    /// This node: it dials a second leg and passes the media on.
    #[default]
    Bridge,
    /// The peer, by REFER; where it refuses, there is no transfer.
    Refer,
    /// The peer where it says that it takes a REFER; this node where it does not, or refuses.
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    #[default]
    Udp,
    Tcp,
    /// SIP over TLS, at port 5061 unless the server or its SRV record says otherwise.
    Tls,
}

impl Transport {
    /// Whether nobody on the way can read what is signalled, keys included.
    pub const fn is_encrypted(self) -> bool {
        match self {
            Transport::Udp | Transport::Tcp => false,
            Transport::Tls => true,
        }
    }

    pub(super) fn default_port(self) -> u16 {
        if self == Transport::Tls { 5061 } else { 5060 }
    }

    /// What a URI says of it; UDP goes without saying.
    pub(super) fn param(self) -> Option<Param> {
        (self != Transport::Udp).then(|| Param::Transport(self.into()))
    }
}

impl From<Transport> for rsipstack::sip::Transport {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Udp => rsipstack::sip::Transport::Udp,
            Transport::Tcp => rsipstack::sip::Transport::Tcp,
            Transport::Tls => rsipstack::sip::Transport::Tls,
        }
    }
}

/// Whether audio is encrypted (RFC 3711) with keys told in SDP (RFC 4568).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Srtp {
    /// Never; an offer that insists is refused.
    #[default]
    Off,
    /// Where the peer can do it.
    Optional,
    /// Always; a call without is refused, or ended as soon as the answer has no key.
    Required,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trunk `{trunk}`: `{field}` {problem}")]
pub struct InvalidTrunk {
    pub trunk: String,
    pub field: &'static str,
    pub problem: &'static str,
}

impl TrunkConfig {
    /// A trunk to `server` that needs neither registration nor a password, and is not asked whether it
    /// lives.
    pub fn peer(name: impl Into<String>, server: Server) -> Self {
        TrunkConfig {
            name: name.into(),
            server,
            transport: Transport::Udp,
            username: None,
            password: None,
            auth_username: None,
            register: false,
            register_expires: Self::default_register_expires(),
            from_domain: None,
            caller_id: None,
            allow: Vec::new(),
            number_format: NumberFormat::E164,
            country_code: String::new(),
            national_prefix: String::new(),
            international_prefix: String::new(),
            options_interval_secs: 0,
            priority: 0,
            weight: Self::default_weight(),
            prefixes: Vec::new(),
            caller_ids: Vec::new(),
            cps: 0.0,
            cps_queue_secs: Self::default_cps_queue(),
            tech_prefix: String::new(),
            user_phone: false,
            identity: IdentityHeader::Pai,
            withhold_caller_id: false,
            diversion: DiversionHeader::None,
            verification_header: None,
            attestation_header: None,
            transfer: TransferBy::Bridge,
            tls_ca: None,
            tls_name: None,
            srtp: Srtp::Off,
            late_offer: false,
        }
    }

    const fn default_weight() -> u16 {
        1
    }

    const fn default_cps_queue() -> f64 {
        10.0
    }

    const fn default_options_interval() -> u32 {
        60
    }

    const fn default_register_expires() -> u32 {
        600
    }

    /// What serde cannot see: that the fields fit each other and can be written in a SIP message.
    pub fn validate(&self) -> Result<(), InvalidTrunk> {
        let fail = |field, problem| Err(InvalidTrunk { trunk: self.name.clone(), field, problem });
        if self.name.is_empty() {
            return fail("name", "must not be empty");
        }
        if self.register && self.username.is_none() {
            return fail("username", "must be set, since `register = true`");
        }
        if self.password.is_some() && self.username.is_none() && self.auth_username.is_none() {
            return fail("username", "must be set, since `password` is");
        }
        if !(30..=86_400).contains(&self.register_expires) {
            return fail("register_expires", "must be 30 to 86400 seconds");
        }
        if self.options_interval_secs != 0 && !(5..=3600).contains(&self.options_interval_secs) {
            return fail("options_interval_secs", "must be 5 to 3600, or 0 for never");
        }
        if self.username.as_deref().is_some_and(|user| !is_user(user)) {
            return fail("username", "must be letters, digits and `-_.+~!*'()` only");
        }
        if self
            .auth_username
            .as_deref()
            .is_some_and(|user| user.chars().any(|c| c.is_control() || c == '"' || c == '\\'))
        {
            return fail("auth_username", "must not have quotes, backslashes or control characters");
        }
        if self.from_domain.as_deref().is_some_and(|domain| !is_host(domain)) {
            return fail("from_domain", "must be a host name or an address, without a port");
        }
        if self.transport != Transport::Tls && (self.tls_ca.is_some() || self.tls_name.is_some()) {
            return fail("transport", "must be \"tls\", since `tls_ca` or `tls_name` is set");
        }
        self.validate_calls().or_else(|(field, problem)| fail(field, problem))
    }

    /// Which calls it takes, and how it writes them.
    fn validate_calls(&self) -> Result<(), (&'static str, &'static str)> {
        let is_prefix = |text: &String| {
            text.strip_prefix('+').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
        };
        self.validate_numbering()?;
        if !self.prefixes.iter().all(is_prefix) {
            return Err(("prefixes", "must each be a `+` and digits, such as \"+1\""));
        }
        if self.cps != 0.0 && !(0.01..=1000.0).contains(&self.cps) {
            return Err(("cps", "must be 0.01 to 1000, or 0 for no limit"));
        }
        if !(0.0..=300.0).contains(&self.cps_queue_secs) {
            return Err(("cps_queue_secs", "must be 0 to 300"));
        }
        let keys = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'*');
        if self.tech_prefix.len() > 32 || !keys(&self.tech_prefix) {
            return Err(("tech_prefix", "must be at most 32 digits and `*`"));
        }
        let token = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let headers = [
            ("verification_header", &self.verification_header),
            ("attestation_header", &self.attestation_header),
        ];
        for (field, name) in headers {
            if name.as_deref().is_some_and(|name| name.is_empty() || !token(name)) {
                return Err((field, "must be the name of a header"));
            }
        }
        if self.withhold_caller_id && self.identity == IdentityHeader::None {
            return Err((
                "identity",
                "must not be \"none\", since `withhold_caller_id = true`: the carrier would learn no number",
            ));
        }
        Ok(())
    }

    /// Whether calls to `number` may go by it.
    pub fn may_call(&self, number: &E164) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| number.as_str().starts_with(prefix))
    }

    /// Whether it may show `number`; its own it always may.
    pub fn may_show(&self, number: Option<&E164>) -> bool {
        number.is_none_or(|number| self.caller_ids.is_empty() || self.names(number))
    }

    /// Whether its configuration says that it may show `number`.
    pub(super) fn names(&self, number: &E164) -> bool {
        self.caller_id.as_ref() == Some(number) || self.caller_ids.contains(number)
    }

    /// `number` as it is called by this trunk.
    pub(super) fn dialled(&self, number: &E164) -> String {
        format!("{}{}", self.tech_prefix, self.write_number(number))
    }

    /// Our user, in the address of record and where calls reach us.
    pub(super) fn user(&self) -> &str {
        self.username.as_deref().unwrap_or("callbox")
    }

    /// Domain of our own address of record.
    pub fn domain(&self) -> &str {
        self.from_domain.as_deref().unwrap_or(&self.server.host)
    }
}

fn is_user(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.+~!*'()".contains(&b);
    (1..=128).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
