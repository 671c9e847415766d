//! A payment as it comes with a request, whatever its protocol.

use super::svm::exact;
use super::{mpp, x402};
use crate::base::Wallet;

/// What a client offers in payment.
#[derive(Debug, Clone)]
pub enum Tender {
    X402(Box<x402::Payment>),
    /// x402 on Solana.
    Svm(Box<exact::Payment>),
    Mpp(Box<mpp::Credential>),
}

/// A header that is no payment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the payment header is not text")]
    NotText,
    #[error(transparent)]
    X402(#[from] x402::Malformed),
    #[error(transparent)]
    Mpp(#[from] mpp::Malformed),
}

impl Tender {
    /// Reads the payment among a request's headers. `Authorization` holds one where its scheme says so.
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Option<Tender>, Malformed> {
        if let Some(sent) = header(x402::PAYMENT_SIGNATURE).or_else(|| header(x402::X_PAYMENT)) {
            let text = str::from_utf8(sent).map_err(|_| Malformed::NotText)?;
            let sent = x402::open(text)?;
            return Ok(Some(match exact::Payment::is_one(&sent) {
                true => Tender::Svm(Box::new(exact::Payment::decode(sent)?)),
                false => Tender::X402(Box::new(x402::Payment::decode(sent)?)),
            }));
        }
        match header(mpp::AUTHORIZATION).and_then(|sent| str::from_utf8(sent).ok()) {
            Some(text) if mpp::Credential::is_one(text) => {
                Ok(Some(Tender::Mpp(Box::new(mpp::Credential::decode(text)?))))
            }
            _ => Ok(None),
        }
    }

    /// By the payment's own word until it is verified.
    pub fn payer(&self) -> &Wallet {
        match self {
            Tender::X402(payment) => &payment.authorization.from,
            Tender::Svm(payment) => &payment.payer,
            Tender::Mpp(credential) => &credential.payer,
        }
    }

    /// The header of an answer after settlement: its name and its value.
    pub fn receipt(&self, transaction: &str) -> (&'static str, String) {
        match self {
            Tender::X402(payment) => payment.receipt(transaction),
            Tender::Svm(payment) => payment.receipt(transaction),
            Tender::Mpp(_) => (mpp::PAYMENT_RECEIPT, mpp::receipt(transaction)),
        }
    }
}
