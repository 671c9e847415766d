//! An HTTP server on loopback that misbehaves as told.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use futures_util::{StreamExt, stream};

pub struct Origin {
    pub address: SocketAddr,
    state: Arc<Behaviour>,
}

#[derive(Default)]
struct Behaviour {
    content: Mutex<Vec<u8>>,
    /// For each request to come, after how many bytes the connection breaks.
    cuts: Mutex<VecDeque<usize>>,
    /// What each request asked for.
    ranges: Mutex<Vec<Option<String>>>,
    headers: HeaderMap,
    /// Sends no Content-Length and never `206`.
    plain: bool,
    /// Sends half of the body and then nothing more.
    stalls: Mutex<usize>,
}

impl Origin {
    pub async fn serving(content: &[u8]) -> Self {
        Origin::start(content, Behaviour::default()).await
    }

    /// Every answer carries this header.
    pub async fn announcing(content: &[u8], name: &'static str, value: &str) -> Self {
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
        Origin::start(content, Behaviour { headers, ..Behaviour::default() }).await
    }

    /// Ignores Range and streams without a length.
    pub async fn plain(content: &[u8]) -> Self {
        Origin::start(content, Behaviour { plain: true, ..Behaviour::default() }).await
    }

    async fn start(content: &[u8], behaviour: Behaviour) -> Self {
        *behaviour.content.lock().unwrap() = content.to_vec();
        let state = Arc::new(behaviour);
        let routes = Router::new()
            .route("/m.bin", get(serve))
            .route("/moved", get(moved))
            .route("/busy", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
            .with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Origin { address, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn cut_after(&self, bytes: usize) {
        self.state.cuts.lock().unwrap().push_back(bytes);
    }

    pub fn stall_once(&self) {
        *self.state.stalls.lock().unwrap() += 1;
    }

    pub fn replace(&self, content: &[u8]) {
        *self.state.content.lock().unwrap() = content.to_vec();
    }

    pub fn ranges(&self) -> Vec<Option<String>> {
        self.state.ranges.lock().unwrap().clone()
    }
}

/// As a hub does: the redirect announces the hash, the host behind it does not.
async fn moved(State(state): State<Arc<Behaviour>>) -> Response {
    (state.headers.clone(), Redirect::temporary("/m.bin")).into_response()
}

async fn serve(State(state): State<Arc<Behaviour>>, request: HeaderMap) -> Response {
    let range = request.get(header::RANGE).map(|r| r.to_str().unwrap().to_owned());
    state.ranges.lock().unwrap().push(range.clone());
    let content = state.content.lock().unwrap().clone();
    if state.plain {
        let chunks =
            content.chunks(1_000).map(|c| Ok::<_, Infallible>(Bytes::copy_from_slice(c))).collect::<Vec<_>>();
        return Body::from_stream(stream::iter(chunks)).into_response();
    }
    let start = range.map_or(0, |r| r["bytes=".len()..r.len() - 1].parse().unwrap());
    if start >= content.len() && start > 0 {
        let range = [(header::CONTENT_RANGE, format!("bytes */{}", content.len()))];
        return (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response();
    }
    let rest = content[start..].to_vec();
    let length = [(header::CONTENT_LENGTH, rest.len().to_string())];
    let body = body(&state, rest);
    if start == 0 {
        return (state.headers.clone(), length, body).into_response();
    }
    let range = [(header::CONTENT_RANGE, format!("bytes {start}-{}/{}", content.len() - 1, content.len()))];
    (StatusCode::PARTIAL_CONTENT, state.headers.clone(), length, range, body).into_response()
}

fn body(state: &Behaviour, rest: Vec<u8>) -> Body {
    let mut stalls = state.stalls.lock().unwrap();
    if *stalls > 0 {
        *stalls -= 1;
        let half = Bytes::copy_from_slice(&rest[..rest.len() / 2]);
        return Body::from_stream(stream::iter([Ok::<_, Infallible>(half)]).chain(stream::pending()));
    }
    match state.cuts.lock().unwrap().pop_front() {
        None => Body::from(rest),
        Some(after) => {
            let kept = Bytes::copy_from_slice(&rest[..after]);
            // What was sent leaves the server before the connection breaks.
            let broken = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            });
            Body::from_stream(stream::iter([Ok(kept)]).chain(broken))
        }
    }
}
