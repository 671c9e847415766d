//! The payments section: what the payment layer costs, through the real router on a loopback socket, with the
//! ledger on the node's own disk. The chain is left out: a settler that answers at once stands for it. No call
//! is dialled: a directory that says "ringing" at once stands for the carrier.

mod counter;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::routing::post;
use axum::{Json, Router};
use callbox::base::Usd;
use callbox::eval::figures::{Spread, table};
use callbox::node::NodeConfig;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use self::counter::{Counter, KEY};
use super::row;
use crate::stage::NUMBER;

/// Clients at once.
const CLIENTS: usize = 16;
/// Calls one after another, for each latency.
const ONE_BY_ONE: usize = 400;

pub async fn run(config: NodeConfig, seconds: u64) -> anyhow::Result<Value> {
    let (counter, router) = Counter::open(config).await?;
    let bare = Router::new().route("/api/call", post(async || Json(json!({ "success": true }))));
    let bare = Target::serve(bare, counter.price).await?;
    let node = Target::serve(router, counter.price).await?;
    let lasting = Duration::from_secs(seconds);

    let kinds = [
        ("bare handler", Kind::Bare),
        ("402 challenges", Kind::Asks),
        ("calls by key", Kind::Keyed),
        ("paid calls", Kind::Pays),
    ];
    let mut rows = vec![row!["requests", "a second", "p50 ms", "p99 ms", "n"]];
    let mut rates = Vec::new();
    for (name, kind) in kinds {
        let target = if kind == Kind::Bare { &bare } else { &node };
        let rate = target.load(kind, lasting).await.with_context(|| name.to_owned())?;
        let Spread { count, p50, p99, .. } = rate.answer_ms;
        rows.push(row![
            name,
            format!("{:.0}", rate.a_second),
            format!("{p50:.2}"),
            format!("{p99:.2}"),
            count
        ]);
        rates.push(json!({ "requests": name, "a_second": rate.a_second, "answer_ms": rate.answer_ms }));
    }
    print!("{}", table(&rows));
    println!(
        "{CLIENTS} clients in this process for {seconds} s each, in the order of the table; the bare handler answers \
         every request alike and has no store: what is above it is the client and HTTP"
    );

    let by_key = node.until_dialled(&counter, Kind::Keyed).await?;
    let paid = node.until_dialled(&counter, Kind::Pays).await?;
    let added = [paid.p50 - by_key.p50, paid.p99 - by_key.p99];
    let mut rows = vec![row!["until a call is dialled (ms)", "p50", "p99", "n"]];
    for (name, spread) in [("by the operator's key", by_key), ("paid", paid)] {
        rows.push(row![name, format!("{:.2}", spread.p50), format!("{:.2}", spread.p99), spread.count]);
    }
    rows.push(row!["what payment adds", format!("{:.2}", added[0]), format!("{:.2}", added[1]), "–"]);
    print!("{}", table(&rows));
    println!(
        "one call after another, from sending the request until the directory of calls is asked to dial; payment \
         adds decoding, the claim (one transaction, flushed to disk) and the verification's way through the gate; \
         the chain's time and the signature's check are left out"
    );
    counter.close().await;
    Ok(json!({
        "clients": CLIENTS,
        "rates": rates,
        "until_dialled_ms": { "by_key": by_key, "paid": paid, "added_p50": added[0], "added_p99": added[1] },
        "chain": "left out: the settler answers at once",
    }))
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bare,
    /// A valid request without a payment.
    Asks,
    Keyed,
    Pays,
}

impl Kind {
    fn answer(self) -> StatusCode {
        if self == Kind::Asks { StatusCode::PAYMENT_REQUIRED } else { StatusCode::OK }
    }
}

struct Rate {
    a_second: f64,
    answer_ms: Spread,
}

/// A router on a loopback socket, and a client.
struct Target {
    url: String,
    price: Usd,
    client: Client,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Target {
    async fn serve(router: Router, price: Usd) -> anyhow::Result<Target> {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}/api/call", listener.local_addr()?);
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        Ok(Target { url, price, client, server })
    }

    fn request(&self, kind: Kind) -> RequestBuilder {
        let body = json!({ "phone_number": NUMBER, "task": "Ask for the opening hours." });
        let request = self.client.post(&self.url).json(&body);
        match kind {
            Kind::Bare | Kind::Asks => request,
            Kind::Keyed => request.bearer_auth(KEY),
            Kind::Pays => request.header("payment-signature", counter::payment(self.price)),
        }
    }

    async fn send(&self, kind: Kind) -> anyhow::Result<()> {
        let answer = self.request(kind).send().await?;
        let status = answer.status();
        // The whole answer counts.
        let body = answer.text().await?;
        ensure!(status == kind.answer(), "{status}: {body}");
        Ok(())
    }

    async fn load(&self, kind: Kind, lasting: Duration) -> anyhow::Result<Rate> {
        let begun = Instant::now();
        let clients = (0..CLIENTS).map(|_| async move {
            let mut answers = Vec::new();
            while begun.elapsed() < lasting {
                let sent = Instant::now();
                self.send(kind).await?;
                answers.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(answers)
        });
        let answers = futures_util::future::try_join_all(clients).await?.concat();
        let a_second = answers.len() as f64 / begun.elapsed().as_secs_f64();
        Ok(Rate { a_second, answer_ms: Spread::of(answers).context("nothing was answered in time")? })
    }

    async fn until_dialled(&self, counter: &Counter, kind: Kind) -> anyhow::Result<Spread> {
        let mut waits = Vec::with_capacity(ONE_BY_ONE);
        for _ in 0..ONE_BY_ONE {
            let sent = Instant::now();
            self.send(kind).await?;
            let dialled = counter.dialled().context("a call was answered and not dialled")?;
            waits.push((dialled - sent).as_secs_f64() * 1e3);
        }
        Spread::of(waits).context("no call was made")
    }
}
