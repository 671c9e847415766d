//! The 402: one answer that offers every way to pay.
//!
//! x402 version 2 reads a header and version 1 the body, so that one response serves both; clients of
//! version 2 prefer the header. MPP reads another header.

use serde_json::Value;

use super::mpp;
use super::x402::{self, Requirement, Resource};

/// A 402 before it is HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct Challenge {
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

/// Why a client gets the challenge, in a word for programs.
pub const PAYMENT_REQUIRED: &str = "Payment required";

impl Challenge {
    pub fn new(requirements: &[Requirement], resource: &Resource, error: &str) -> Challenge {
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        // A header of version 2 that accepts nothing means something else: a sign-in.
        if !requirements.is_empty() {
            let header = x402::encode(&x402::challenge_v2(requirements, resource, error));
            headers.push((x402::PAYMENT_REQUIRED, header));
        }
        Challenge { headers, body: x402::challenge_v1(requirements, resource, error) }
    }

    /// Offers MPP, too, by this value of its header.
    pub fn or_by_mpp(mut self, header: String) -> Challenge {
        self.headers.push((mpp::WWW_AUTHENTICATE, header));
        self
    }

    /// For a client that has paid by MPP: why that did not do, as the protocol says it.
    pub fn after_mpp(mut self, error: &str) -> Challenge {
        self.headers.push(("content-type", "application/problem+json".into()));
        self.body = mpp::problem(error);
        self
    }
}
