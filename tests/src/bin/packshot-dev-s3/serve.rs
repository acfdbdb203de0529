//! One request: the fault that is due, the operation, the answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::StreamExt;
use hyper::body::Incoming;
use hyper::header::{DATE, HeaderValue, RETRY_AFTER, SERVER};
use hyper::{Request, Response, StatusCode};
use s3s::dto::{StreamingBlob, Timestamp, TimestampFormat};
use s3s::service::S3Service;
use s3s::{Body, HttpError, HttpResponse};

use crate::faults::{Fault, Faults, Quirks};

/// How the server is recognised by those who find it running.
pub(crate) const NAME: &str = "packshot-dev-s3";

/// Answers one request.
pub(crate) async fn answer(
    service: S3Service,
    faults: Arc<Faults>,
    request: Request<Incoming>,
) -> Result<HttpResponse, HttpError> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let fault = faults.strike(&method, &uri, request.headers());
    let answered = act(service, fault, request.map(Body::from)).await;
    let status = answered.as_ref().map_or(0, |response| response.status().as_u16());
    faults.answered(&method, &uri, status);
    answered.map(|mut response| {
        response.headers_mut().insert(SERVER, HeaderValue::from_static(NAME));
        response
    })
}

async fn act(
    service: S3Service,
    fault: Option<Fault>,
    mut request: Request<Body>,
) -> Result<HttpResponse, HttpError> {
    let Some(fault) = fault else { return service.call(request).await };
    match fault {
        Fault::Answer { status, code, retry_after_s } => {
            // Read to its end, or the client would see a broken pipe instead of the answer.
            drain(request.into_body()).await;
            Ok(error(status, &code, retry_after_s))
        }
        Fault::AnswerAfter { status, code } => {
            service.call(request).await?;
            Ok(error(status, &code, None))
        }
        Fault::Delay { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            service.call(request).await
        }
        Fault::DelayAfter { ms } => {
            let response = service.call(request).await;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            response
        }
        Fault::Drop => Err(closed()),
        Fault::DropAfter => {
            service.call(request).await?;
            Err(closed())
        }
        Fault::Drip { bytes, pause_ms } => {
            let response = service.call(request).await?;
            Ok(response.map(|body| drip(body, bytes.max(1), Duration::from_millis(pause_ms))))
        }
        Fault::Cut { bytes } => Ok(service.call(request).await?.map(|body| cut(body, bytes))),
        Fault::IgnoreConditions => {
            request.extensions_mut().insert(Quirks { ignore_conditions: true, ..Quirks::default() });
            service.call(request).await
        }
        Fault::Unordered => {
            request.extensions_mut().insert(Quirks { unordered: true, ..Quirks::default() });
            service.call(request).await
        }
        Fault::Clock { ahead_s } => {
            let mut response = service.call(request).await?;
            if let Some(date) = date(ahead_s) {
                response.headers_mut().insert(DATE, date);
            }
            Ok(response)
        }
    }
}

/// An error that closes the connection.
fn closed() -> HttpError {
    HttpError::new("the connection is closed on purpose".into())
}

async fn drain(body: Body) {
    let mut body = StreamingBlob::from(body);
    while let Some(Ok(_)) = body.next().await {}
}

/// An error as S3 words it.
fn error(status: u16, code: &str, retry_after_s: Option<u64>) -> HttpResponse {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>a fault on purpose</Message><RequestId>0</RequestId></Error>"
    );
    let mut response = Response::new(Body::from(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn date(ahead_s: i64) -> Option<HeaderValue> {
    let off = Duration::from_secs(ahead_s.unsigned_abs());
    let now = SystemTime::now();
    let shown = if ahead_s < 0 { now.checked_sub(off)? } else { now.checked_add(off)? };
    let mut text = Vec::new();
    Timestamp::from(shown).format(TimestampFormat::HttpDate, &mut text).ok()?;
    HeaderValue::from_bytes(&text).ok()
}

fn drip(body: Body, bytes: usize, pause: Duration) -> Body {
    let begin = (StreamingBlob::from(body), Bytes::new());
    let stream = futures::stream::try_unfold(begin, move |(mut body, mut held)| async move {
        while held.is_empty() {
            match body.next().await {
                Some(chunk) => held = chunk.map_err(std::io::Error::other)?,
                None => return Ok::<_, std::io::Error>(None),
            }
        }
        tokio::time::sleep(pause).await;
        let drop = held.split_to(bytes.min(held.len()));
        Ok(Some((drop, (body, held))))
    });
    StreamingBlob::wrap(stream).into()
}

fn cut(body: Body, bytes: usize) -> Body {
    let begin = (StreamingBlob::from(body), bytes);
    let stream = futures::stream::try_unfold(begin, |(mut body, left)| async move {
        if left == 0 {
            return Err(std::io::Error::other("the body is cut on purpose"));
        }
        let Some(chunk) = body.next().await else { return Ok(None) };
        let mut chunk = chunk.map_err(std::io::Error::other)?;
        chunk.truncate(left);
        let left = left - chunk.len();
        Ok(Some((chunk, (body, left))))
    });
    StreamingBlob::wrap(stream).into()
}
