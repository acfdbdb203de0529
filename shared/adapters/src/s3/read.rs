//! Reading an object without ever holding more than the caller can take.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use packshot_runtime::port::{ObjectsError, ObjectsFault};
use tokio::time::{Instant, timeout_at};

use super::{S3Objects, fault};

/// What is set aside at once for a body; the rest grows as it comes.
const RESERVE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a body was not read to its end.
enum Cut {
    TooLarge(String),
    /// Worth another try.
    Broken(String),
}

impl S3Objects {
    /// Reads an object. A body that breaks off or stalls is asked for again, from the
    /// beginning.
    pub(super) async fn read(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ObjectsError> {
        let settings = self.settings();
        let mut why = String::new();
        // The limit of all tries together; it is moved once the size is known.
        let begun = Instant::now();
        let mut end = begun + settings.operation_timeout(0);
        for attempt in 1..=settings.attempts_max {
            let asked = self.client().get_object().bucket(self.bucket()).key(settings.full_key(key));
            let found = match asked.send().await {
                Ok(found) => found,
                Err(error) => match fault::answer(&error) {
                    Some(answer) if answer.is_absent() => return Ok(None),
                    Some(_) | None => return Err(fault::fault(settings, "reading", key, error)),
                },
            };
            let size_bytes = found.content_length().and_then(|length| u64::try_from(length).ok());
            end = end.max(begun + settings.operation_timeout(size_bytes.unwrap_or(bytes_max)));
            let until = end.min(Instant::now() + settings.attempt_timeout(size_bytes.unwrap_or(bytes_max)));
            let pause = Duration::from_millis(settings.answer_timeout_ms);
            match collect(found.body, size_bytes, bytes_max, pause, until).await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(Cut::TooLarge(what)) => {
                    let what = format!("reading {}: {what}", settings.shown(key));
                    return Err(fault::own(ObjectsFault::TooLarge, what));
                }
                Err(Cut::Broken(what)) => why = what,
            }
            if Instant::now() >= end {
                break;
            }
            if attempt < settings.attempts_max {
                tokio::time::sleep(self.backoff(attempt)).await;
            }
        }
        let what = format!(
            "reading {}: {why}, and that was the last try; {} or the line to it is slow (`s3.kb_per_s_min`, \
             `s3.operation_timeout_ms`)",
            settings.shown(key),
            fault::store(settings)
        );
        Err(fault::own(ObjectsFault::Unavailable, what))
    }
}

/// Collects a body of the announced size until `until`, with at most `pause` between two
/// chunks.
async fn collect(
    mut body: ByteStream,
    size_bytes: Option<u64>,
    bytes_max: u64,
    pause: Duration,
    until: Instant,
) -> Result<Bytes, Cut> {
    if let Some(size_bytes) = size_bytes.filter(|size_bytes| *size_bytes > bytes_max) {
        return Err(Cut::TooLarge(format!("it has {size_bytes} bytes, at most {bytes_max} are read")));
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    let mut read = 0_u64;
    loop {
        let limit = until.min(Instant::now() + pause);
        let chunk = match timeout_at(limit, body.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(error))) => {
                return Err(Cut::Broken(format!("the body broke off after {read} bytes ({error})")));
            }
            Ok(None) => break,
            Err(_) => {
                let of = size_bytes.map_or_else(String::new, |size_bytes| format!(" of {size_bytes}"));
                return Err(Cut::Broken(format!("the time was up after {read} bytes{of}")));
            }
        };
        read += chunk.len() as u64;
        if read > bytes_max {
            return Err(Cut::TooLarge(format!("it has more than the {bytes_max} bytes that are read")));
        }
        // A body that came in one piece is handed on without a copy.
        match first.take() {
            None if all.is_empty() => first = Some(chunk),
            None => all.extend_from_slice(&chunk),
            Some(before) => {
                all.reserve(size_bytes.unwrap_or(read).min(RESERVE_BYTES_MAX) as usize);
                all.extend_from_slice(&before);
                all.extend_from_slice(&chunk);
            }
        }
    }
    match size_bytes {
        Some(size_bytes) if size_bytes != read => {
            Err(Cut::Broken(format!("the body ended after {read} of {size_bytes} bytes")))
        }
        Some(_) | None => Ok(first.unwrap_or_else(|| all.freeze())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    async fn collected(bytes: &'static [u8], size_bytes: Option<u64>, bytes_max: u64) -> Result<Bytes, Cut> {
        let until = Instant::now() + Duration::from_secs(5);
        let body = ByteStream::from_static(bytes);
        collect(body, size_bytes, bytes_max, Duration::from_secs(5), until).await
    }

    #[tokio::test]
    async fn a_body_is_never_larger_than_the_caller_can_take() {
        assert!(matches!(collected(b"12345", Some(5), 5).await, Ok(bytes) if bytes == "12345"));
        assert!(matches!(collected(b"", Some(0), 0).await, Ok(bytes) if bytes.is_empty()));
        assert!(matches!(collected(b"12345", Some(5), 4).await, Err(Cut::TooLarge(_))));
        assert!(matches!(collected(b"12345", None, 4).await, Err(Cut::TooLarge(_))), "size not announced");
    }

    #[tokio::test]
    async fn a_body_that_is_shorter_than_announced_is_not_taken_for_whole() {
        assert!(
            matches!(collected(b"1234", Some(5), 9).await, Err(Cut::Broken(why)) if why.contains("4 of 5"))
        );
    }
}
