//! What the SDK's errors mean for code, and for people: which bucket, which key, and what
//! to do about it.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use packshot_runtime::port::{ObjectsError, ObjectsFault};

use super::settings::S3Settings;

/// An answer that is an error, as far as the store told.
pub(super) struct Answer<'e> {
    /// HTTP status.
    pub(super) status: u16,
    /// The store's word for it; empty where it sent none, as after `HEAD`.
    pub(super) code: &'e str,
}

impl Answer<'_> {
    /// The condition was not met: the object is there.
    pub(super) fn is_exists(&self) -> bool {
        self.status == 412 || self.code == "PreconditionFailed"
    }

    /// Another write of the same key is under way; worth another try.
    pub(super) fn is_conflict(&self) -> bool {
        self.status == 409 && self.code != "NoSuchUpload"
    }

    /// The upload is over: completed by a try whose answer was lost, or cleaned away.
    pub(super) fn is_upload_gone(&self) -> bool {
        self.code == "NoSuchUpload"
    }

    /// The store says that it does not know how.
    pub(super) fn is_not_offered(&self) -> bool {
        self.status == 501 || self.code == "NotImplemented"
    }

    /// There is no such object.
    pub(super) fn is_absent(&self) -> bool {
        self.status == 404 && matches!(self.code, "" | "NoSuchKey" | "NotFound")
    }
}

/// The store's answer, where there is one.
pub(super) fn answer<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Answer<'_>> {
    // The enum is open: everything but an answer of the service is none.
    let SdkError::ServiceError(service) = error else { return None };
    Some(Answer { status: service.raw().status().as_u16(), code: service.err().code().unwrap_or_default() })
}

/// The port's error for an SDK's error while `doing` something to `key`.
pub(super) fn fault<E>(
    settings: &S3Settings,
    doing: &str,
    key: &str,
    error: SdkError<E, HttpResponse>,
) -> ObjectsError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let place = settings.shown(key);
    let (kind, why) = match (&error, answer(&error)) {
        (_, Some(answer)) => {
            let raw = error.raw_response().map(HttpResponse::headers);
            let region = raw.and_then(|headers| headers.get("x-amz-bucket-region"));
            answered(settings, &answer, region)
        }
        (SdkError::TimeoutError(_), _) => (ObjectsFault::Unavailable, no_answer(settings)),
        (SdkError::ConstructionFailure(_), _) => unsent(settings, &error),
        (SdkError::DispatchFailure(failure), _) if failure.is_user() => {
            (ObjectsFault::Broken, "the request could not be made; check `s3.endpoint`".to_owned())
        }
        (SdkError::DispatchFailure(failure), _) if failure.is_timeout() => {
            (ObjectsFault::Unavailable, no_answer(settings))
        }
        (SdkError::DispatchFailure(_), _) => unsent(settings, &error),
        (SdkError::ResponseError(response), _) if response.raw().status().is_server_error() => {
            (ObjectsFault::Unavailable, format!("the store answered {}", response.raw().status().as_u16()))
        }
        (SdkError::ResponseError(_), _) => (
            ObjectsFault::Broken,
            format!(
                "what came back is not S3's language; check that {} is a store's address",
                store(settings)
            ),
        ),
        // The SDK's enum is open; an unknown failure may have left the object behind.
        (_, None) => (ObjectsFault::Unavailable, "the store failed in a way that is not known".to_owned()),
    };
    let retry_after_ms = retry_after_ms(&error);
    ObjectsError { kind, what: format!("{doing} {place}: {why}"), source: cause(error), retry_after_ms }
}

/// An error of this adapter itself.
pub(super) fn own(kind: ObjectsFault, what: String) -> ObjectsError {
    ObjectsError { kind, what, source: None, retry_after_ms: None }
}

/// Where requests go, for people.
pub(super) fn store(settings: &S3Settings) -> String {
    if settings.endpoint.is_empty() { "AWS S3".to_owned() } else { settings.endpoint.clone() }
}

fn no_answer(settings: &S3Settings) -> String {
    format!(
        "{} did not answer in time (`s3.answer_timeout_ms`, `s3.operation_timeout_ms`); the request may \
         have been carried out",
        store(settings)
    )
}

/// The request did not leave: no credentials, or no connection.
fn unsent<E>(settings: &S3Settings, error: &SdkError<E, HttpResponse>) -> (ObjectsFault, String)
where
    E: std::error::Error + 'static,
{
    let chain = DisplayErrorContext(error).to_string();
    if chain.contains("CredentialsNotLoaded") || chain.contains("no providers in chain") {
        let hint = "no credentials were found; set `s3.access_key_id` and `s3.secret_access_key`, or give \
                    the process a role or profile";
        return (ObjectsFault::Denied, hint.to_owned());
    }
    if chain.contains("InvalidCertificate") || chain.contains("certificate") {
        let hint = format!(
            "the certificate of {} is not trusted; install its authority's certificate or name it in \
             SSL_CERT_FILE",
            store(settings)
        );
        return (ObjectsFault::Denied, hint);
    }
    let why = format!("{} cannot be reached; check `s3.endpoint` and the network", store(settings));
    (ObjectsFault::Unavailable, why)
}

/// What an answer's status and code mean.
fn answered(settings: &S3Settings, answer: &Answer<'_>, region: Option<&str>) -> (ObjectsFault, String) {
    let bucket = &settings.bucket;
    let (kind, hint) = match (answer.code, answer.status) {
        ("NoSuchBucket", _) => (
            ObjectsFault::Broken,
            format!("there is no bucket `{bucket}`; create it or correct `s3.bucket` and `s3.endpoint`"),
        ),
        (
            "InvalidAccessKeyId" | "NotSignedUp" | "InvalidToken" | "ExpiredToken" | "TokenRefreshRequired",
            _,
        ) => (
            ObjectsFault::Denied,
            "the store does not know this access key, or it has expired; check `s3.access_key_id`".to_owned(),
        ),
        ("SignatureDoesNotMatch", _) => (
            ObjectsFault::Denied,
            "the secret does not belong to the access key; check `s3.secret_access_key` and `s3.region`"
                .to_owned(),
        ),
        ("RequestTimeTooSkewed", _) => (
            ObjectsFault::Denied,
            "this machine's clock differs too much from the store's; let both follow a time server"
                .to_owned(),
        ),
        ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", _)
        | (_, 301 | 307 | 308) => {
            let there = region.map_or_else(String::new, |region| format!(": it is in `{region}`"));
            (ObjectsFault::Broken, format!("bucket `{bucket}` is in another region; set `s3.region`{there}"))
        }
        ("EntityTooLarge", _) | (_, 413) => {
            (ObjectsFault::TooLarge, "the store takes no object of that size".to_owned())
        }
        ("QuotaExceeded" | "StorageFull" | "XMinioStorageFull" | "XMinioStorageQuotaExceeded", _)
        | (_, 507) => (ObjectsFault::Full, "the store is full; make room or raise its quota".to_owned()),
        (_, 401 | 403) => (
            ObjectsFault::Denied,
            format!("access denied; the key needs ListBucket, GetObject and PutObject on bucket `{bucket}`"),
        ),
        ("SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded", _) | (_, 429) => {
            (ObjectsFault::Unavailable, "the store asks for fewer requests".to_owned())
        }
        ("RequestTimeout", _) => {
            (ObjectsFault::Unavailable, "the store waited too long for the bytes".to_owned())
        }
        (_, 409) => (ObjectsFault::Unavailable, "another write of this key is under way".to_owned()),
        ("NotImplemented", _) | (_, 501) => (
            ObjectsFault::Broken,
            format!("{} does not offer this operation; packshot needs a store that does", store(settings)),
        ),
        (_, 500..) => (ObjectsFault::Unavailable, "the store has a problem of its own".to_owned()),
        // Codes are the store's, there is no end to them.
        _ => (ObjectsFault::Broken, "the store refused".to_owned()),
    };
    let code = if answer.code.is_empty() { String::new() } else { format!(" {}", answer.code) };
    (kind, format!("{hint} (status {}{code})", answer.status))
}

/// How long the store asks to wait.
fn retry_after_ms<E>(error: &SdkError<E, HttpResponse>) -> Option<u64> {
    let headers = error.raw_response()?.headers();
    let whole = |name: &str| headers.get(name).and_then(|text| text.trim().parse::<u64>().ok());
    whole("x-amz-retry-after").or_else(|| whole("retry-after").map(|seconds| seconds.saturating_mul(1_000)))
}

/// The SDK's own chain of causes as one text: its outermost messages only name a class.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

fn cause<E>(error: SdkError<E, HttpResponse>) -> Option<packshot_runtime::port::Source>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let source = error.into_source().ok()?;
    let mut parts = vec![source.to_string()];
    let mut next = source.source();
    while let Some(inner) = next {
        parts.push(inner.to_string());
        next = inner.source();
    }
    parts.dedup();
    Some(Box::new(Cause(parts.join(": "))))
}
