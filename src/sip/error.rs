//! What cannot be done, and why.

use std::{io, net::SocketAddr};

use super::{config::InvalidConfig, tls::TlsError};

#[derive(Debug, thiserror::Error)]
pub enum SipError {
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("sip.bind: cannot listen on {transport} {address}: {source}")]
    Bind { transport: &'static str, address: SocketAddr, source: io::Error },
    #[error("no trunk is named `{0}`")]
    UnknownTrunk(String),
    #[error("no trunk is configured: add one to `sip.trunks`")]
    NoTrunk,
    #[error("ring_timeout must be 0.1 to 170 s")]
    RingTimeout,
    #[error("{0} calls are up, which is what `sip.max_calls` allows")]
    TooManyCalls(usize),
    #[error("the node is shutting down")]
    ShuttingDown,
    #[error("the call is over")]
    CallOver,
    #[error("the peer refuses with {0}")]
    Refused(u16),
    #[error("unreachable: {0}")]
    Unreachable(String),
    #[error("the SIP stack cannot do this: {0}")]
    Stack(String),
}

impl From<rsipstack::Error> for SipError {
    fn from(error: rsipstack::Error) -> Self {
        SipError::Stack(describe(&error))
    }
}

impl From<rsipstack::sip::Error> for SipError {
    fn from(error: rsipstack::sip::Error) -> Self {
        SipError::Stack(describe(&error.into()))
    }
}

/// What an error of the stack says; its own text may quote a message, and with it a number.
pub(super) fn describe(error: &rsipstack::Error) -> String {
    use rsipstack::Error;
    match error {
        Error::SipMessageError(_) => "a header is missing or malformed".into(),
        Error::DnsResolutionError(_) => "the name does not resolve".into(),
        Error::TransportLayerError(..) => "no transport leads there".into(),
        Error::TransactionError(..) => "the transaction failed".into(),
        Error::DialogError(_, _, status) => format!("the dialog does not allow it ({})", status.code()),
        Error::IoError(e) => e.to_string(),
        _ => "the SIP stack failed".into(),
    }
}
