//! A body on its way in: a megabyte in memory at most, the rest in a temporary file, with
//! its checksums computed as it comes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use hyper::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Result, TrailingHeaders, s3_error};

use crate::store::{Store, blocking};

/// What is kept in memory before it goes to the file.
const BUFFER_BYTES: usize = 1024 * 1024;
const ALGORITHMS: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];

/// A body that has arrived whole and as announced.
pub(crate) struct Arrived {
    /// Where the beginning is, when it did not fit into memory.
    pub(crate) begun: Option<Begun>,
    /// What is not in the file yet.
    pub(crate) tail: Vec<u8>,
    pub(crate) size_bytes: u64,
    /// MD5 of the bytes.
    pub(crate) md5: [u8; 16],
    /// Checksums that were announced, and right.
    pub(crate) checksums: BTreeMap<String, String>,
}

/// A temporary file; it is removed unless it was moved away.
pub(crate) struct Begun {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Takes the body in and checks it against what was announced.
pub(crate) async fn arrive(
    store: &Store,
    body: Option<StreamingBlob>,
    headers: &HeaderMap,
    trailers: Option<&TrailingHeaders>,
) -> S3Result<Arrived> {
    let mut md5 = Md5::new();
    let mut hasher = announced(headers);
    let mut begun: Option<Begun> = None;
    let mut tail: Vec<u8> = Vec::new();
    let mut size_bytes = 0;
    let mut body = body.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| S3Error::with_source(s3s::S3ErrorCode::IncompleteBody, error))?;
        md5.update(&chunk);
        hasher.update(&chunk);
        size_bytes += chunk.len() as u64;
        tail.extend_from_slice(&chunk);
        if tail.len() >= BUFFER_BYTES {
            let path = store.temporary();
            begun = Some(blocking(move || spill(begun, path, &tail)).await?);
            tail = Vec::with_capacity(BUFFER_BYTES);
        }
    }
    let md5 = md5.finalize();
    if headers.get("content-md5").is_some_and(|said| said.as_bytes() != STANDARD.encode(md5).as_bytes()) {
        return Err(s3_error!(BadDigest, "the bytes do not have the announced MD5"));
    }
    let checksums = check(hasher, headers, trailers)?;
    Ok(Arrived { begun, tail, size_bytes, md5, checksums })
}

fn spill(begun: Option<Begun>, path: PathBuf, bytes: &[u8]) -> io::Result<Begun> {
    let mut begun = match begun {
        Some(begun) => begun,
        None => Begun { file: File::create_new(&path)?, path },
    };
    begun.file.write_all(bytes)?;
    Ok(begun)
}

fn header(name: &str) -> String {
    format!("x-amz-checksum-{name}")
}

fn announced(headers: &HeaderMap) -> ChecksumHasher {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_announced = |name: &str| {
        headers.contains_key(header(name))
            || text("x-amz-trailer").split(',').any(|trailer| trailer.trim() == header(name))
            || text("x-amz-sdk-checksum-algorithm").eq_ignore_ascii_case(name)
    };
    ChecksumHasher {
        crc32: is_announced("crc32").then(Crc32::new),
        crc32c: is_announced("crc32c").then(Crc32c::new),
        crc64nvme: is_announced("crc64nvme").then(Crc64Nvme::new),
        sha1: is_announced("sha1").then(Sha1::new),
        sha256: is_announced("sha256").then(Sha256::new),
    }
}

fn check(
    hasher: ChecksumHasher,
    headers: &HeaderMap,
    trailers: Option<&TrailingHeaders>,
) -> S3Result<BTreeMap<String, String>> {
    let computed = hasher.finalize();
    let computed = [
        computed.checksum_crc32,
        computed.checksum_crc32c,
        computed.checksum_crc64nvme,
        computed.checksum_sha1,
        computed.checksum_sha256,
    ];
    let mut right = BTreeMap::new();
    for (name, value) in ALGORITHMS.into_iter().zip(computed) {
        let Some(value) = value else { continue };
        let said = |headers: &HeaderMap| {
            headers.get(header(name)).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let said = said(headers).or_else(|| trailers.and_then(|trailers| trailers.read(said).flatten()));
        if said.is_some_and(|said| said != value) {
            return Err(s3_error!(BadDigest, "the bytes do not have the announced checksum"));
        }
        right.insert(name.to_owned(), value);
    }
    Ok(right)
}
