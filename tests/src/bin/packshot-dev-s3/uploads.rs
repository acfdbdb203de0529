//! Uploads in parts: each part an object of its own below the upload's folder, joined into
//! one file when the upload is completed.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, PartNumber,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};
use serde::{Deserialize, Serialize};

use crate::arrive::arrive;
use crate::faults::Quirks;
use crate::record::About;
use crate::service::{Service, checksum_headers, hex, must_be_absent};
use crate::store::{Placed, Store, blocking, open};

/// Every part but the last has at least this many bytes.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;

/// What the upload shall become.
#[derive(Serialize, Deserialize)]
struct Upload {
    bucket: String,
    key: String,
    content_type: Option<String>,
    metadata: BTreeMap<String, String>,
}

/// What joining the parts found.
enum Joined {
    Placed(Placed, String),
    /// A part is not there or is another one.
    Missing,
    TooSmall,
}

impl Service {
    pub(crate) async fn begin_upload(
        &self,
        input: CreateMultipartUploadInput,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.store.object(&input.bucket, &input.key)?;
        let name = self.store.upload_name();
        let folder = self.store.upload(&name).ok_or_else(|| s3_error!(InternalError))?;
        let upload = Upload {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            content_type: input.content_type,
            metadata: input.metadata.into_iter().flatten().collect(),
        };
        blocking(move || {
            std::fs::create_dir(&folder)?;
            std::fs::write(folder.join("upload.json"), serde_json::to_vec(&upload)?)
        })
        .await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(name),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    /// The folder of an upload that is under way.
    fn upload_folder(&self, name: &str) -> S3Result<PathBuf> {
        let folder = self.store.upload(name).filter(|folder| folder.is_dir());
        folder.ok_or_else(|| s3_error!(NoSuchUpload))
    }

    pub(crate) async fn take_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let folder = self.upload_folder(&req.input.upload_id)?;
        let number = req.input.part_number;
        if !(1..=10_000).contains(&number) {
            return Err(s3_error!(InvalidArgument, "part numbers are 1 to 10000"));
        }
        let arrived =
            arrive(&self.store, req.input.body, &req.headers, req.trailing_headers.as_ref()).await?;
        let about = About {
            size_bytes: arrived.size_bytes,
            etag: hex(&arrived.md5),
            checksums: arrived.checksums.clone(),
            ..About::default()
        };
        let e_tag = Some(ETag::Strong(about.etag.clone()));
        let headers = checksum_headers(&about.checksums);
        let store = Arc::clone(&self.store);
        blocking(move || store.place(arrived, &about, &folder.join(number.to_string()), false)).await?;
        let output = UploadPartOutput { e_tag, ..UploadPartOutput::default() };
        Ok(S3Response::with_headers(output, headers))
    }

    pub(crate) async fn complete_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let quirks = Quirks::of(&req.extensions);
        let input = req.input;
        let absent = must_be_absent(input.if_match.as_ref(), input.if_none_match.as_ref(), quirks)?;
        let target = self.store.object(&input.bucket, &input.key)?;
        let folder = self.upload_folder(&input.upload_id)?;
        let mut parts = Vec::new();
        for part in input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default() {
            let number = part.part_number.ok_or_else(|| s3_error!(MalformedXML))?;
            if parts.last().is_some_and(|(before, _)| *before >= number) {
                return Err(s3_error!(InvalidPartOrder));
            }
            parts.push((number, part.e_tag.map(ETag::into_value).unwrap_or_default()));
        }
        if parts.is_empty() {
            return Err(s3_error!(MalformedXML, "an upload has at least one part"));
        }
        let (store, place) = (Arc::clone(&self.store), (input.bucket.clone(), input.key.clone()));
        match blocking(move || join(&store, &folder, &parts, (&place, &target), absent)).await? {
            Joined::Placed(Placed::Done, etag) => Ok(S3Response::new(CompleteMultipartUploadOutput {
                bucket: Some(input.bucket),
                key: Some(input.key),
                e_tag: Some(ETag::Strong(etag)),
                ..CompleteMultipartUploadOutput::default()
            })),
            Joined::Placed(Placed::Exists, _) => Err(s3_error!(PreconditionFailed, "the object is there")),
            Joined::Missing => Err(s3_error!(InvalidPart)),
            Joined::TooSmall => Err(s3_error!(EntityTooSmall)),
        }
    }

    pub(crate) async fn abort_upload(
        &self,
        input: AbortMultipartUploadInput,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let folder = self.upload_folder(&input.upload_id)?;
        blocking(move || std::fs::remove_dir_all(folder)).await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

/// Joins the parts into one file and moves it into place; the upload is gone then.
fn join(
    store: &Store,
    folder: &Path,
    parts: &[(PartNumber, String)],
    ((bucket, key), target): (&(String, String), &Path),
    absent: bool,
) -> io::Result<Joined> {
    let upload: Upload = serde_json::from_slice(&std::fs::read(folder.join("upload.json"))?)?;
    if upload.bucket != *bucket || upload.key != *key {
        return Ok(Joined::Missing);
    }
    let mut begun = store.begin()?;
    let mut sums = Md5::new();
    let mut size_bytes = 0;
    for (index, (number, etag)) in parts.iter().enumerate() {
        let Some(part) = open(&folder.join(number.to_string()))? else { return Ok(Joined::Missing) };
        if part.about.etag != *etag {
            return Ok(Joined::Missing);
        }
        if part.about.size_bytes < PART_BYTES_MIN && index + 1 < parts.len() {
            return Ok(Joined::TooSmall);
        }
        let copied = io::copy(&mut part.file.take(part.about.size_bytes), &mut begun.file)?;
        size_bytes += copied;
        sums.update(&from_hex(etag));
    }
    begun.file.flush()?;
    let about = About {
        size_bytes,
        etag: format!("{}-{}", hex(&sums.finalize()), parts.len()),
        content_type: upload.content_type,
        checksums: BTreeMap::new(),
        metadata: upload.metadata,
    };
    let placed = store.end(begun, &about, target, absent)?;
    if placed == Placed::Done {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(Joined::Placed(placed, about.etag))
}

fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
