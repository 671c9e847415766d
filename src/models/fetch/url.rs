//! Plain HTTP: one GET, resumed with Range (RFC 9110 §14) where a connection was cut.
//!
//! What arrives is kept in `NAME.<digits of the URL's hash>.part`, across attempts and across runs,
//! until it is whole and verified. A part that turns out wrong is removed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use reqwest::{Client, Response, StatusCode, Url, header};

use super::{
    super::{Config, ModelError, hash::Sha256, pull::blocking, staged::require_space},
    Expected, Fetched, Job,
    part::{self, Part},
};

const MAX_REDIRECTS: usize = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Chunks that wait for the disk; the connection is not read while they do.
const CHUNKS_IN_FLIGHT: usize = 16;

/// How an attempt failed.
enum Failure {
    /// Worth another attempt; `progressed` when bytes arrived.
    Transient {
        detail: String,
        progressed: bool,
    },
    Final(ModelError),
}

/// A whole, not yet verified part.
struct Whole {
    sha256: Sha256,
    announced: Option<Sha256>,
    resumed: bool,
}

pub async fn fetch(job: &Job<'_>, url: &str) -> Result<Fetched, ModelError> {
    let client = client(job.config).map_err(|e| http(url, e.without_url()))?;
    let part = part_path(job, url);
    let mut failures = 0;
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt(job, &client, url, &part).await {
            Ok(whole) => match job.trust.verify(url, whole.announced, whole.sha256) {
                Ok(()) => return Ok(Fetched::part(part, whole.sha256)),
                Err(e) => {
                    part::remove(&part)?;
                    // The beginning may be of an older file at this URL; without it, once more.
                    if !whole.resumed {
                        return Err(e);
                    }
                    job.progress.note(&format!("{}: the resumed part does not fit; starting over", job.name));
                }
            },
            Err(Failure::Final(e)) => return Err(e),
            Err(Failure::Transient { detail, progressed }) => {
                if progressed {
                    (failures, pause) = (0, FIRST_PAUSE);
                }
                failures += 1;
                if failures > job.config.retries {
                    return Err(http(url, format!("{detail}; gave up after {failures} attempts")));
                }
                job.progress.note(&format!("{}: {detail}; trying again", job.name));
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
}

async fn attempt(job: &Job<'_>, client: &Client, url: &str, path: &Path) -> Result<Whole, Failure> {
    let have = part::length(path);
    let (response, announced) = request(client, url, have).await?;
    if job.trust == Expected::Announced && announced.is_none() && !is_retryable(response.status()) {
        let url = url.to_owned();
        return Err(Failure::Final(match response.status().is_success() {
            true => ModelError::NotAnnounced { url },
            false => http(&url, response.status()),
        }));
    }
    let start = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => have,
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 && range_total(&response) == Some(have) => {
            let part = reopen(path, have, job.limit).await?;
            let sha256 = blocking(move || part.seal()).await.map_err(Failure::Final)?;
            return Ok(Whole { sha256, announced, resumed: true });
        }
        StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT => {
            part::remove(path).map_err(Failure::Final)?;
            return Err(transient("the server cannot resume; starting over"));
        }
        status if is_retryable(status) => return Err(transient(status)),
        status => return Err(Failure::Final(http(url, status))),
    };
    check_size(job, url, response.content_length().map(|rest| start + rest))?;
    let part = reopen(path, start, job.limit).await?;
    let sha256 = receive(job, url, response, part).await?;
    Ok(Whole { sha256, announced, resumed: start > 0 })
}

/// Follows redirects by hand, because the host that announces the hash (`X-Linked-Etag`) is often not
/// the one that serves the bytes, whose ETag may be a hash of something else.
async fn request(client: &Client, url: &str, have: u64) -> Result<(Response, Option<Sha256>), Failure> {
    let mut target = Url::parse(url).map_err(|e| Failure::Final(http(url, e)))?;
    let mut linked = None;
    for _ in 0..=MAX_REDIRECTS {
        let mut request = client.get(target.clone()).header(header::ACCEPT_ENCODING, "identity");
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        let response = request.send().await.map_err(|e| transient(describe(e)))?;
        linked = linked.or_else(|| digest_in(&response, "x-linked-etag"));
        if !response.status().is_redirection() {
            let announced = linked.or_else(|| digest_in(&response, header::ETAG.as_str()));
            return Ok((response, announced));
        }
        target = next_hop(&target, &response).map_err(|detail| Failure::Final(http(url, detail)))?;
    }
    Err(Failure::Final(http(url, format!("more than {MAX_REDIRECTS} redirects"))))
}

fn next_hop(from: &Url, response: &Response) -> Result<Url, String> {
    let location = response.headers().get(header::LOCATION).and_then(|v| v.to_str().ok());
    let location = location.ok_or_else(|| format!("{} without a Location", response.status()))?;
    let next = from.join(location).map_err(|e| format!("redirects to an invalid address: {e}"))?;
    match (from.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(next),
        _ => Err("redirects from https to another scheme".into()),
    }
}

/// A header that holds a SHA-256: 64 hexadecimal digits, quoted or not, weak or not.
fn digest_in(response: &Response, name: &str) -> Option<Sha256> {
    let text = response.headers().get(name)?.to_str().ok()?;
    text.trim_start_matches("W/").trim_matches('"').parse().ok()
}

fn check_size(job: &Job<'_>, url: &str, announced: Option<u64>) -> Result<(), Failure> {
    let Some(announced) = announced else { return Ok(()) };
    if let Some(size) = job.size.filter(|size| *size != announced) {
        let detail = format!("offers {announced} bytes, the catalogue says {size}");
        return Err(Failure::Final(http(url, detail)));
    }
    if announced > job.limit {
        return Err(Failure::Final(ModelError::TooLarge { what: url.to_owned(), limit: job.limit }));
    }
    job.progress.begin(job.name, Some(announced));
    let missing = announced.saturating_sub(part::length(&part_path(job, url)));
    require_space(job.dir, job.name, missing).map_err(Failure::Final)
}

/// Streams the body to the disk through a bounded channel.
async fn receive(job: &Job<'_>, url: &str, mut response: Response, part: Part) -> Result<Sha256, Failure> {
    let (chunks, queue) = tokio::sync::mpsc::channel(CHUNKS_IN_FLIGHT);
    let (progress, name) = (Arc::clone(job.progress), job.name.to_owned());
    let (url, start) = (url.to_owned(), part.length());
    let writer = tokio::spawn(blocking(move || part.absorb(queue, &url, |p| progress.advance(&name, p))));
    let cut = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                if chunks.send(chunk).await.is_err() {
                    break None; // The writer stopped: its own error says why.
                }
            }
            Ok(None) => break None,
            Err(e) => break Some(describe(e)),
        }
    };
    drop(chunks);
    let written = writer.await.map_err(|e| Failure::Final(ModelError::Interrupted(e.to_string())))?;
    let part = written.map_err(Failure::Final)?;
    if let Some(detail) = cut {
        return Err(Failure::Transient { detail, progressed: part.length() > start });
    }
    blocking(move || part.seal()).await.map_err(Failure::Final)
}

async fn reopen(path: &Path, keep: u64, limit: u64) -> Result<Part, Failure> {
    let path = path.to_owned();
    blocking(move || Part::open(&path, keep, limit)).await.map_err(Failure::Final)
}

fn part_path(job: &Job<'_>, url: &str) -> PathBuf {
    let digest = Sha256::of(url.as_bytes()).to_string();
    job.dir.join(format!("{}.{}.part", job.name, &digest[..8]))
}

fn client(config: &Config) -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("callbox/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(config.stall_timeout())
        .read_timeout(config.stall_timeout())
        .build()
}

/// `Content-Range: bytes START-END/TOTAL`.
fn range_start(response: &Response) -> Option<u64> {
    content_range(response)?.split_once('-')?.0.trim().parse().ok()
}

/// `Content-Range: bytes */TOTAL`.
fn range_total(response: &Response) -> Option<u64> {
    content_range(response)?.split_once('/')?.1.trim().parse().ok()
}

fn content_range(response: &Response) -> Option<&str> {
    response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes")
}

fn is_retryable(status: StatusCode) -> bool {
    status.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status)
}

fn http(url: &str, detail: impl ToString) -> ModelError {
    ModelError::Http { url: url.to_owned(), detail: detail.to_string() }
}

fn transient(detail: impl ToString) -> Failure {
    Failure::Transient { detail: detail.to_string(), progressed: false }
}

/// The innermost cause, without the URL: a redirect's may carry a signature.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() { format!("timed out: {cause}") } else { cause.to_string() }
}
