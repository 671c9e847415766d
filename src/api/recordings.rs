//! Recordings, WAV or Ogg, in whole or by `Range`.

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use tower_http::services::ServeFile;

use super::{Api, auth, error::ApiError};

const MISSING: ApiError = ApiError::NotFound("recording");

/// The recording of a call that was sold is open to whoever knows its name, which cannot be guessed and is told
/// to the buyer alone; every other one wants the operator's key. Only names that a call's record holds are looked for on disk, and only inside the folder.
pub(super) async fn serve(
    State(api): State<Api>,
    Path(file): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    if !api.read.sold_recording(&file).await? {
        auth::check_key(request.headers(), &api)?;
    }
    if !is_plain_name(&file) || !api.read.knows_recording(&file).await? {
        return Err(MISSING);
    }
    let mut files = ServeFile::new(api.recordings.join(&file));
    let response = files.try_call(request).await.map_err(|error| {
        tracing::error!(%error, "a recording could not be read");
        MISSING
    })?;
    if response.status() == StatusCode::NOT_FOUND {
        return Err(MISSING);
    }
    let mut response = response.map(Body::new);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(&file)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

/// Old recordings keep their format when the configuration changes: the name says it.
fn media_type(file: &str) -> &'static str {
    if file.ends_with(".ogg") { "audio/ogg" } else { "audio/wav" }
}

/// One component of a path, and not a step up.
fn is_plain_name(file: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !file.is_empty() && !file.starts_with('.') && file.chars().all(allowed)
}
