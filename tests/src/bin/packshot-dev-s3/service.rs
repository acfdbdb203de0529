//! The operations of S3 that are offered, over the folder. What is not offered is refused,
//! never ignored.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Bucket, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput, ETag, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, IfMatch,
    IfNoneMatch, ListBucketsInput, ListBucketsOutput, ListObjectsV2Input, ListObjectsV2Output, Object,
    ObjectList, PutObjectInput, PutObjectOutput, StreamingBlob, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use crate::arrive::arrive;
use crate::faults::Quirks;
use crate::record::About;
use crate::store::{Listed, Opened, Placed, Store, blocking, open};

/// What is read from the disk at once.
const CHUNK_BYTES: u64 = 256 * 1024;
/// Keys of one answer.
const PAGE: usize = 1_000;

/// The server's objects.
pub(crate) struct Service {
    pub(crate) store: Arc<Store>,
}

/// Whether the put must not replace anything. Conditions that are not offered are errors.
pub(crate) fn must_be_absent(
    if_match: Option<&IfMatch>,
    if_none_match: Option<&IfNoneMatch>,
    quirks: Quirks,
) -> S3Result<bool> {
    if if_match.is_some() || if_none_match.is_some_and(|condition| !condition.is_any()) {
        return Err(s3_error!(NotImplemented, "the only condition offered is If-None-Match: *"));
    }
    Ok(if_none_match.is_some() && !quirks.ignore_conditions)
}

/// The checksums as headers: there are as many fields as algorithms otherwise.
pub(crate) fn checksum_headers(checksums: &BTreeMap<String, String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in checksums {
        let name = HeaderName::try_from(format!("x-amz-checksum-{name}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers
}

fn etag(about: &About) -> ETag {
    ETag::Strong(about.etag.clone())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn body(mut opened: Opened, from: u64, length: u64) -> S3Result<StreamingBlob> {
    let seek = |opened: &mut Opened| opened.file.seek(SeekFrom::Start(from));
    seek(&mut opened).map_err(s3s::S3Error::internal_error)?;
    let stream = futures::stream::try_unfold((opened.file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok::<_, std::io::Error>(None);
        }
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; left.min(CHUNK_BYTES) as usize];
            file.read_exact(&mut chunk).map(|()| (chunk, file))
        });
        let (chunk, file) = read.await.map_err(std::io::Error::other)??;
        let left = left - chunk.len() as u64;
        Ok(Some((Bytes::from(chunk), (file, left))))
    });
    Ok(StreamingBlob::wrap(stream))
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let store = Arc::clone(&self.store);
        let bucket = req.input.bucket;
        if blocking(move || store.create_bucket(&bucket)).await? {
            Ok(S3Response::new(CreateBucketOutput::default()))
        } else {
            Err(s3_error!(BucketAlreadyOwnedByYou))
        }
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.store.bucket(&req.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let store = Arc::clone(&self.store);
        let names = blocking(move || store.buckets()).await?;
        let buckets =
            names.into_iter().map(|name| Bucket { name: Some(name), ..Bucket::default() }).collect();
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(buckets), ..ListBucketsOutput::default() }))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let quirks = Quirks::of(&req.extensions);
        let input = req.input;
        let absent = must_be_absent(input.if_match.as_ref(), input.if_none_match.as_ref(), quirks)?;
        let target = self.store.object(&input.bucket, &input.key)?;
        let arrived = arrive(&self.store, input.body, &req.headers, req.trailing_headers.as_ref()).await?;
        let about = About {
            size_bytes: arrived.size_bytes,
            etag: hex(&arrived.md5),
            content_type: input.content_type,
            checksums: arrived.checksums.clone(),
            metadata: input.metadata.into_iter().flatten().collect(),
        };
        let e_tag = Some(etag(&about));
        let headers = checksum_headers(&about.checksums);
        let store = Arc::clone(&self.store);
        match blocking(move || store.place(arrived, &about, &target, absent)).await? {
            Placed::Done => {
                let output = PutObjectOutput { e_tag, ..PutObjectOutput::default() };
                Ok(S3Response::with_headers(output, headers))
            }
            Placed::Exists => Err(s3_error!(PreconditionFailed, "the object is there")),
        }
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let path = self.store.object(&input.bucket, &input.key)?;
        let Some(opened) = blocking(move || open(&path)).await? else { return Err(s3_error!(NoSuchKey)) };
        let about = opened.about.clone();
        let modified = opened.modified;
        let range = match input.range {
            Some(range) => Some(range.check(about.size_bytes)?),
            None => None,
        };
        let (from, to) = range.as_ref().map_or((0, about.size_bytes), |range| (range.start, range.end));
        let headers = match (&range, input.checksum_mode) {
            (None, Some(_)) => checksum_headers(&about.checksums),
            (Some(_), _) | (None, None) => HeaderMap::new(),
        };
        let output = GetObjectOutput {
            body: Some(body(opened, from, to - from)?),
            content_length: Some((to - from) as i64),
            content_range: range.map(|range| {
                format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), about.size_bytes)
            }),
            accept_ranges: Some("bytes".to_owned()),
            content_type: about.content_type.as_deref().and_then(|kind| kind.parse().ok()),
            e_tag: Some(etag(&about)),
            last_modified: Some(modified.into()),
            metadata: Some(about.metadata.into_iter().collect()),
            ..GetObjectOutput::default()
        };
        Ok(S3Response::with_headers(output, headers))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let path = self.store.object(&req.input.bucket, &req.input.key)?;
        let Some(opened) = blocking(move || open(&path)).await? else { return Err(s3_error!(NoSuchKey)) };
        let about = opened.about;
        let output = HeadObjectOutput {
            content_length: Some(about.size_bytes as i64),
            accept_ranges: Some("bytes".to_owned()),
            content_type: about.content_type.as_deref().and_then(|kind| kind.parse().ok()),
            e_tag: Some(etag(&about)),
            last_modified: Some(opened.modified.into()),
            metadata: Some(about.metadata.clone().into_iter().collect()),
            ..HeadObjectOutput::default()
        };
        Ok(S3Response::new(output))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let path = self.store.object(&req.input.bucket, &req.input.key)?;
        blocking(move || match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        })
        .await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let quirks = Quirks::of(&req.extensions);
        let input = req.input;
        if input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty()) {
            return Err(s3_error!(NotImplemented, "lists with a delimiter are not offered"));
        }
        let bucket = self.store.bucket(&input.bucket)?;
        let limit = input.max_keys.map_or(PAGE, |most| most.max(0) as usize).min(PAGE);
        let after = input.continuation_token.clone().or_else(|| input.start_after.clone());
        let (store, prefix) = (Arc::clone(&self.store), input.prefix.clone().unwrap_or_default());
        let name = input.bucket.clone();
        let (mut found, more) = blocking(move || {
            let mut keys = Store::list(&bucket, &prefix, after.as_deref().unwrap_or_default(), limit + 1)?;
            let more = keys.len() > limit;
            keys.truncate(limit);
            let mut found = Vec::with_capacity(keys.len());
            for key in keys {
                // Gone since it was listed is as good as not listed.
                let Ok(path) = store.object(&name, &key) else { continue };
                if let Some(Opened { about, modified, .. }) = open(&path)? {
                    found.push(Listed { key, about, modified });
                }
            }
            Ok((found, more))
        })
        .await?;
        let next = more.then(|| found.last().map(|listed| listed.key.clone())).flatten();
        if quirks.unordered {
            found.reverse();
        }
        let contents: ObjectList = found
            .into_iter()
            .map(|Listed { key, about, modified }| Object {
                e_tag: Some(etag(&about)),
                size: Some(about.size_bytes as i64),
                last_modified: Some(modified.into()),
                key: Some(key),
                ..Object::default()
            })
            .collect();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            max_keys: Some(limit as i32),
            key_count: Some(contents.len() as i32),
            contents: Some(contents),
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            ..ListObjectsV2Output::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.begin_upload(req.input).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.take_part(req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.complete_upload(req).await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.abort_upload(req.input).await
    }
}
