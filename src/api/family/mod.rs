//! API families: each file is one published API, its shapes on one side and one service call on the
//! other. No rule lives here.

pub mod blockrun;
pub mod stablephone;
pub mod x402phone;

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use crate::{base::CallId, call::record::CallPlan, pay::gate::Answer, store::numbers::Lease};

/// Whose shapes an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    X402Phone,
    StablePhone,
    BlockRun,
}

impl Family {
    /// As leases and records name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::X402Phone => "x402phone",
            Family::StablePhone => "stablephone",
            Family::BlockRun => "blockrun",
        }
    }

    /// Whether any wallet may top up any number.
    pub fn renews_for_anyone(self) -> bool {
        self != Family::BlockRun
    }

    pub(super) fn refusal(self, error: &ApiError) -> Answer {
        let (status, body) = match self {
            Family::BlockRun => blockrun::refusal(error),
            Family::X402Phone | Family::StablePhone => error.rendered(),
        };
        Answer { status: status.as_u16(), body }
    }

    pub(super) fn call_placed(self, call: CallId, plan: &CallPlan, transaction: &str) -> Answer {
        ok(match self {
            Family::BlockRun => blockrun::call_placed(call, plan, transaction),
            Family::X402Phone | Family::StablePhone => stablephone::call_placed(call),
        })
    }

    pub(super) fn leased(self, lease: &Lease, transaction: &str) -> Answer {
        ok(match self {
            Family::BlockRun => blockrun::leased(lease, transaction),
            Family::X402Phone | Family::StablePhone => stablephone::leased(lease),
        })
    }

    pub(super) fn renewed(self, lease: &Lease, transaction: &str) -> Answer {
        ok(match self {
            Family::BlockRun => blockrun::renewed(lease, transaction),
            Family::X402Phone | Family::StablePhone => stablephone::leased(lease),
        })
    }
}

fn ok(body: serde_json::Value) -> Answer {
    Answer { status: 200, body }
}
