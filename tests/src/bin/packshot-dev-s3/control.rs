//! The second port, by which a test says what shall go wrong: small JSON requests, no
//! authentication, loopback only.
//!
//! `POST /faults` adds a rule and answers its id; `GET /faults` lists the rules with their
//! hits; `DELETE /faults` and `DELETE /faults/<id>` remove them; `GET /requests` lists the
//! requests of late, `DELETE /requests` forgets them.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use s3s::Body;
use serde_json::{Value, json};

use crate::faults::Faults;

const BODY_BYTES_MAX: usize = 64 * 1024;

/// Answers one request.
pub(crate) async fn answer(
    faults: Arc<Faults>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
    let (status, answer) = match (&parts.method, path.as_slice()) {
        (&Method::POST, ["faults"]) => match read(body).await {
            Ok(rule) => (StatusCode::CREATED, json!({ "id": faults.add(rule) })),
            Err(problem) => (StatusCode::BAD_REQUEST, json!({ "error": problem })),
        },
        (&Method::GET, ["faults"]) => (StatusCode::OK, json!(faults.rules())),
        (&Method::DELETE, ["faults"]) => {
            faults.remove(None);
            (StatusCode::OK, Value::Null)
        }
        (&Method::DELETE, ["faults", id]) => match id.parse() {
            Ok(id) => {
                faults.remove(Some(id));
                (StatusCode::OK, Value::Null)
            }
            Err(_) => (StatusCode::BAD_REQUEST, json!({ "error": "an id is a number" })),
        },
        (&Method::GET, ["requests"]) => (StatusCode::OK, json!(faults.requests())),
        (&Method::DELETE, ["requests"]) => {
            faults.forget_requests();
            (StatusCode::OK, Value::Null)
        }
        _ => (StatusCode::NOT_FOUND, json!({ "error": "there are /faults and /requests" })),
    };
    let mut response = Response::new(Body::from(Bytes::from(answer.to_string())));
    *response.status_mut() = status;
    Ok(response)
}

async fn read(body: Incoming) -> Result<crate::faults::Rule, String> {
    let mut body = Body::from(body);
    let bytes = body.store_all_limited(BODY_BYTES_MAX).await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}
