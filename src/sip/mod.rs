//! SIP signalling (RFC 3261): trunks, calls out and in, registration, and the offer and answer that
//! sets up their audio. It carries no audio itself.
//!
//! In: a [`Config`] with its trunks, and [`Dial`]s. Out: [`SipCall`]s that tell their progress as
//! [`Signal`]s and end exactly once with a [`SipEnd`], and [`IncomingCall`]s.
//!
//! | file | what it is |
//! |---|---|
//! | [`sdp`] | offer and answer (RFC 3264), pure |
//! | [`trunk`] | a trunk's configuration |
//! | `dialog` | one call as a state machine, pure |
//! | `session_timer`, `reliable` | when a session expires, what must be acknowledged before the answer: pure |
//! | `schedule`, `registration`, `registrar` | when to REGISTER again, pure; its driver; the request |
//! | `binding` | what a registration is doing, and what is left of it when refreshes fail: pure |
//! | `routes`, `hunt` | which trunk and address a call goes by, pure, and what prepares the next |
//! | `pace`, `turns` | how many calls a second a trunk takes, pure, and the queue for it |
//! | `resolver` | a trunk's addresses by SRV, A and AAAA |
//! | `identity`, `vouched` | who calls: what we write of it, and what a trunk says of it |
//! | `called`, `party`, `numbering` | which number was called, whom a URI names, and how a trunk writes numbers: pure |
//! | `referral`, `refer` | what becomes of a REFER, pure, and the request |
//! | `keepalive` | whether a trunk lives, asked by OPTIONS |
//! | `translate`, `digest`, `early`, `challenge`, `next_hop` | what the stack says otherwise than the RFCs, put right at the wire |
//! | `nonce` | how often a nonce was answered, pure |
//! | `stun`, `discovery` | our address as the world sees it: the messages, pure, and who asks |
//! | `rate` | how much a source may send, pure |
//! | `quoting` | quotes and brackets in a header field, pure |
//! | `guard`, `screen` | what is refused before it reaches the parser, and in what form the rest does |
//! | `wire` | the socket that refuses it |
//! | `tls` | whose certificates are trusted, and what a failed handshake means |
//! | `flow`, `listener` | connections to trunks, and from them |
//! | `addresses` | where peers reach us |
//! | `backoff` | pauses between attempts that fail, pure |
//! | `calls`, `admission` | which call a request belongs to, pure, and who counts them |
//! | `node`, `link`, `router` | sockets and clock: the node, its trunks, requests that come in |
//! | `driver`, `setup`, `provisional` | one call: its INVITE, what is told before the answer, its BYE |
//! | `renegotiation`, `refresh`, `info`, `refer` | what happens inside a call |
//!
//! Messages, transactions and dialogs are `rsipstack`'s; no name of it leaves this module. It logs
//! whole messages, numbers included, at `info`: a log filter must hold it at [`LOG_FILTER`].

mod addresses;
mod admission;
mod backoff;
mod binding;
mod call;
mod called;
mod calls;
mod challenge;
mod config;
mod dialog;
mod digest;
mod discovery;
mod driver;
mod early;
mod end;
mod error;
mod flow;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod hunt;
mod identity;
mod info;
mod keepalive;
mod late_offer;
mod link;
mod listener;
mod message;
mod next_hop;
mod node;
mod nonce;
mod numbering;
mod pace;
mod party;
mod provisional;
mod quoting;
mod rate;
mod refer;
mod referral;
mod refresh;
mod registrar;
mod registration;
mod reliable;
mod renegotiation;
mod renewal;
mod resolver;
mod router;
mod routes;
mod schedule;
mod screen;
pub mod sdp;
mod session_timer;
mod setup;
mod stun;
mod tls;
mod translate;
pub mod trunk;
mod turns;
mod vouched;
mod wire;

pub use self::{
    binding::RegistrationState,
    call::{CallHandle, IncomingCall, Party, Refer, Reoffer, Signal, SipCall, Way},
    config::{Config, InvalidConfig, ring_timeout_is_valid},
    end::SipEnd,
    error::SipError,
    guard::Dropped,
    keepalive::Liveness,
    node::{Dial, Pong, SipNode, Stats},
    rate::RateLimit,
    referral::Referral,
    tls::{TlsConfig, TlsError},
    trunk::{
        DiversionHeader, IdentityHeader, Network, NumberFormat, Server, Srtp, TransferBy, Transport,
        TrunkConfig,
    },
    vouched::Verification,
};

/// Directive for the log filter: below `error`, `rsipstack` prints messages with numbers and
/// credentials in them.
pub const LOG_FILTER: &str = "rsipstack=off";
