//! What this node offers over HTTP: one table, from which `/openapi.json`, `/llms.txt` and `/.well-known/x402`
//! are made ([`discovery`](super::discovery)). `tests/api/discovery.rs` compares it with the router and with
//! what each route answers.

pub(super) mod field;
mod table;

use axum::http::Method;

pub use field::{Field, Kind};
pub use table::OFFERS;

use crate::{base::Usd, pay::Prices};

/// One route.
pub struct Offer {
    pub method: Method,
    /// As the router has it: `/api/call/{id}`.
    pub path: &'static str,
    pub group: Group,
    /// OpenAPI's operation id.
    pub id: &'static str,
    /// One line without a full stop.
    pub what: &'static str,
    /// Sentences after it; may be empty.
    pub more: &'static str,
    pub access: Access,
    pub asks: Asks,
    pub gives: Gives,
}

/// Whose published API a route belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    StablePhone,
    X402Phone,
    BlockRun,
    Operator,
}

/// Who may use a route of a node that sells. On one that does not, all but the open ones want the key.
#[derive(Clone, Copy)]
pub enum Access {
    /// Whoever pays; also a price of nothing is paid, to say who asks.
    Paid(fn(&Prices) -> Usd),
    /// The wallet it belongs to, by SIWX.
    Wallet,
    /// Everybody.
    Open,
    /// The operator's key.
    Operator,
}

pub enum Asks {
    Nothing,
    /// The `{id}` of the path.
    Path,
    Body(&'static [Field]),
    Query(&'static [Field]),
}

/// A success.
pub struct Gives {
    pub status: u16,
    /// The whole answer; empty where it has many members.
    pub fields: &'static [Field],
    /// JSON.
    pub example: &'static str,
}

impl Offer {
    pub fn price(&self, prices: &Prices) -> Option<Usd> {
        match self.access {
            Access::Paid(price) => Some(price(prices)),
            Access::Wallet | Access::Open | Access::Operator => None,
        }
    }

    /// Whether it is only there where somebody can be asked about carriers.
    pub fn needs_carriers(&self) -> bool {
        self.id == "phone_lookup_fraud"
    }

    /// A request as a client may send it: a body, or a query with its question mark; with the least that is
    /// needed, or with all where nothing is.
    pub fn example(&self) -> Option<String> {
        match self.asks {
            Asks::Body(fields) => Some(field::example(fields).to_string()),
            Asks::Query(fields) if !fields.is_empty() => Some(field::query(fields)),
            _ => None,
        }
    }

    /// Whether somebody without the operator's key has a use for it.
    pub fn is_public(&self) -> bool {
        !matches!(self.access, Access::Operator)
    }
}

impl Group {
    pub const ALL: [Group; 4] = [Group::StablePhone, Group::X402Phone, Group::BlockRun, Group::Operator];

    pub fn name(self) -> &'static str {
        match self {
            Group::StablePhone => "StablePhone",
            Group::X402Phone => "x402phone",
            Group::BlockRun => "BlockRun",
            Group::Operator => "Operator",
        }
    }

    /// For whom it is.
    pub fn about(self) -> &'static str {
        match self {
            Group::StablePhone => {
                "What a wallet buys is its own: calls, numbers and lookups are read by signing in with it."
            }
            Group::X402Phone => {
                "The same calls and numbers; calls are read by whoever knows their id, numbers by whoever \
                 knows the wallet."
            }
            Group::BlockRun => {
                "A call is placed from a number that the wallet leases: buy one first. Errors are \
                 {\"error\": code, \"message\": text}."
            }
            Group::Operator => "For the operator's own agents.",
        }
    }

    /// Whether its schemas forbid members they do not name.
    pub(super) fn is_closed(self) -> bool {
        self != Group::BlockRun
    }
}
