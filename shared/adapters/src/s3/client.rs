//! The SDK's client as this adapter wants it: its own limits on every wait, one TLS stack,
//! no checksums that the store did not ask for.
//!
//! The SDK's stalled-stream protection is off: under a busy processor it takes our own
//! pauses for the network's. Every transfer has a limit from its size instead, and reading
//! a body has one between two chunks.

use std::time::Duration;

use aws_config::meta::region::RegionProviderChain;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    AppName, BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls;

use super::settings::S3Settings;

/// Where no region is said; stores other than AWS accept it.
const REGION: &str = "us-east-1";
/// A connection that rested longer is not used again: balancers forget it silently.
const IDLE: Duration = Duration::from_secs(20);

/// The client for the settings, and one that signs addresses for browsers.
pub(super) async fn build(settings: &S3Settings) -> (Client, Client) {
    let plain = settings.endpoint.starts_with("http://") && !settings.access_key_id.is_empty();
    let http = http_client(plain);
    let mut config = if settings.access_key_id.is_empty() {
        let region = RegionProviderChain::first_try(said_region(settings))
            .or_default_provider()
            .or_else(Region::new(REGION));
        let chain = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http.clone())
            .region(region)
            .load()
            .await;
        Builder::from(&chain)
    } else {
        let token = settings.session_token.expose();
        let credentials = Credentials::new(
            settings.access_key_id.as_str(),
            settings.secret_access_key.expose(),
            (!token.is_empty()).then(|| token.to_owned()),
            None,
            "packshot settings",
        );
        Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(credentials)
            .region(said_region(settings).unwrap_or_else(|| Region::new(REGION)))
    };
    if !settings.endpoint.is_empty() {
        config = config.endpoint_url(settings.endpoint.as_str());
    }
    let (sent, wanted) = if settings.checksums_when_supported() {
        (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
    } else {
        (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
    };
    let mut config = config
        .http_client(http)
        .force_path_style(settings.bucket_in_path())
        .request_checksum_calculation(sent)
        .response_checksum_validation(wanted)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(timeouts(settings, 0))
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(settings.attempts_max)
                .with_initial_backoff(Duration::from_millis(100))
                .with_max_backoff(Duration::from_millis(settings.backoff_ms_max)),
        )
        // A quota of its own: another client's storm must not take this one's retries.
        .retry_partition(RetryPartition::custom("packshot").build());
    config.set_app_name(AppName::new("packshot").ok());
    let config = config.build();
    let public = if settings.public_endpoint.is_empty() {
        Client::from_conf(config.clone())
    } else {
        Client::from_conf(config.to_builder().endpoint_url(settings.public_endpoint.as_str()).build())
    };
    (Client::from_conf(config), public)
}

fn said_region(settings: &S3Settings) -> Option<Region> {
    // The chain would ask the network for a region that such a store does not have.
    let or = if settings.endpoint.is_empty() { "" } else { REGION };
    let said = if settings.region.is_empty() { or } else { settings.region.as_str() };
    (!said.is_empty()).then(|| Region::new(said.to_owned()))
}

/// Without TLS where nothing needs it: no certificates are read from the system then.
fn http_client(plain: bool) -> SharedHttpClient {
    let builder = aws_smithy_http_client::Builder::new().pool_idle_timeout(IDLE);
    if plain {
        builder.build_http()
    } else {
        builder.tls_provider(tls::Provider::rustls(tls::rustls_provider::CryptoMode::Ring)).build_https()
    }
}

/// The waits of one operation that moves this many bytes.
pub(super) fn timeouts(settings: &S3Settings, size_bytes: u64) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
        .operation_attempt_timeout(settings.attempt_timeout(size_bytes))
        .operation_timeout(settings.operation_timeout(size_bytes))
        .build()
}

/// The same as an override for one operation.
pub(super) fn waits(settings: &S3Settings, size_bytes: u64) -> Builder {
    Builder::new().timeout_config(timeouts(settings, size_bytes))
}
