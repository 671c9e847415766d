//! The ledger beside the chain.

use std::collections::HashMap;

use callbox::{
    base::{ClaimId, Usd},
    node::{NodeConfig, payments},
    pay::{
        NetworkConfig,
        audit::{self, Evidence, Finding, Seen, Verdict},
        evm::{self, ChainError},
        svm,
        tempo::Tempo,
    },
    store::{
        Store,
        claims::{Claim, ClaimState},
    },
};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Report, cells, describe, network, table};

pub async fn report(config: &NodeConfig, store: &Store, since: DateTime<Utc>) -> anyhow::Result<Report> {
    let chains = chains(config)?;
    let mut booked: HashMap<ClaimId, i64> = HashMap::new();
    for entry in store.ledger(DateTime::UNIX_EPOCH).await? {
        *booked.entry(entry.claim).or_default() += entry.moved_micros;
    }
    let mut checked = Vec::new();
    for claim in store.settled_claims().await? {
        if claim.created_at >= since {
            let finding = check(chains.get(claim.offer.network.as_str()), &claim).await;
            let booked = booked.get(&claim.id).copied().unwrap_or_default();
            checked.push(Compared { finding: by_ledger(finding, booked), claim, booked });
        }
    }
    Ok(told(&checked))
}

/// A payment, what the ledger's rows add up to for it, in millionths of a dollar, and what its chain says.
pub(super) struct Compared {
    pub claim: Claim,
    pub booked: i64,
    pub finding: Finding,
}

/// A claim may agree with its chain where the rows of the ledger do not.
pub(super) fn by_ledger(finding: Finding, booked: i64) -> Finding {
    if finding.verdict != Verdict::Agrees || finding.on_chain == booked {
        return finding;
    }
    let detail = format!("the ledger has {}, the chain {}", dollars(booked), dollars(finding.on_chain));
    Finding { verdict: Verdict::Differs, detail, ..finding }
}

/// A chain that payments are taken on.
pub enum Ledger {
    Evm(evm::Chain),
    Solana(svm::rpc::Chain),
    Tempo(Box<Tempo>),
}

impl Ledger {
    async fn evidence(&self, claim: &Claim) -> Result<Evidence, ChainError> {
        match self {
            Ledger::Evm(chain) => audit::evidence(chain, claim).await,
            Ledger::Solana(chain) => chain.evidence(claim).await,
            Ledger::Tempo(tempo) => audit::evidence(&**tempo, claim).await,
        }
    }

    /// What a transaction moved of the token.
    pub async fn transfers(&self, transaction: &str) -> Result<Seen, ChainError> {
        match self {
            Ledger::Evm(chain) => audit::transfers(chain, transaction).await,
            Ledger::Solana(chain) => chain.transfers(transaction).await,
            Ledger::Tempo(tempo) => audit::transfers(&**tempo, transaction).await,
        }
    }
}

/// By CAIP-2 network.
pub fn chains(config: &NodeConfig) -> anyhow::Result<HashMap<String, Ledger>> {
    let chain = |entry: &NetworkConfig| {
        if entry.is_tempo() {
            let tempo = payments::tempo(config, entry)?;
            return Ok((tempo.network(), Ledger::Tempo(Box::new(tempo))));
        }
        if entry.is_solana() {
            let (network, chain) = payments::solana::chain(entry)?;
            return Ok((network.caip2.to_owned(), Ledger::Solana(chain)));
        }
        let (network, chain) = payments::chain(entry)?;
        Ok((network.caip2.to_owned(), Ledger::Evm(chain)))
    };
    config.payments.networks.iter().map(chain).collect()
}

async fn check(chain: Option<&Ledger>, claim: &Claim) -> Finding {
    let Some(chain) = chain else {
        return Finding::unchecked("its network is not in payments.networks");
    };
    match chain.evidence(claim).await {
        Ok(evidence) => audit::judge(claim, &evidence),
        Err(error) => Finding::unchecked(error.to_string()),
    }
}

pub(super) fn told(checked: &[Compared]) -> Report {
    let odd = || checked.iter().filter(|compared| compared.finding.verdict != Verdict::Agrees);
    let mut rows = vec![cells(["PAYMENT", "STATE", "AMOUNT", "NETWORK", "VERDICT", "WHY"])];
    rows.extend(odd().map(|Compared { claim, finding, .. }| {
        let amount = claim.offer.amount.to_string();
        let (id, verdict) = (claim.id.to_string(), finding.verdict.as_str());
        cells([&id, claim.state.as_str(), &amount, network(claim), verdict, &finding.detail])
    }));
    // What nobody could be asked about is in neither sum.
    let asked = || checked.iter().filter(|compared| compared.finding.verdict != Verdict::Unchecked);
    let ledger: i64 = asked().map(|compared| compared.booked).sum();
    let chain: i64 = asked().map(|compared| compared.finding.on_chain).sum();
    let agrees = odd().next().is_none() && ledger == chain;
    let mut text = if odd().next().is_some() { table(&rows) } else { String::new() };
    let (all, agree) = (checked.len(), checked.len() - odd().count());
    text += &format!(
        "{agree} of {all} payments agree with the chain; the ledger has {}, the chain {}\n",
        dollars(ledger),
        dollars(chain)
    );
    let due = checked.iter().filter(|compared| compared.claim.state == ClaimState::RefundDue).count();
    if due > 0 {
        text += &format!("refunds due: {due}\n");
    }
    let odd = odd().map(|Compared { claim, finding, .. }| {
        json!({ "payment": describe(claim), "verdict": finding.verdict, "why": finding.detail })
    });
    let value = json!({
        "agrees": agrees,
        "payments": all,
        "agreeing": agree,
        "ledger": dollars(ledger),
        "chain": dollars(chain),
        "differing": odd.collect::<Vec<_>>(),
    });
    Report { text, value, agrees }
}

fn dollars(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    format!("{sign}{}", Usd::from_micros(micros.unsigned_abs()))
}
