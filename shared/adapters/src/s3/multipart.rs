//! Large objects in parts: a lost part is sent again alone, and several travel at once.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use packshot_runtime::port::ObjectsError;

use super::{S3Objects, Written, client, content_type, fault};

/// The most parts that S3 takes; larger objects get larger parts.
const PARTS_MAX: u64 = 10_000;
/// How long is spent on cleaning up after an upload that failed.
const ABORT: Duration = Duration::from_secs(5);

impl S3Objects {
    /// One try to write `bytes` in parts; what was begun and not completed is removed.
    pub(super) async fn put_in_parts(
        &self,
        key: &str,
        bytes: &Bytes,
        condition: bool,
    ) -> Result<Written, ObjectsError> {
        let begun = self
            .client()
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(self.settings().full_key(key))
            .content_type(content_type(key))
            .send()
            .await
            .map_err(|error| fault::fault(self.settings(), "beginning to write", key, error))?;
        let upload = begun.upload_id().unwrap_or_default().to_owned();
        let written = match self.send_parts(key, &upload, bytes).await {
            Ok(parts) => self.complete(key, &upload, parts, bytes.len() as u64, condition).await,
            Err(error) => Err(error),
        };
        if !matches!(written, Ok(Written::Stored)) {
            let asked = self.client().abort_multipart_upload().bucket(self.bucket()).upload_id(upload);
            // Best effort: the bucket's lifecycle rule does the rest.
            let _ = tokio::time::timeout(ABORT, asked.key(self.settings().full_key(key)).send()).await;
        }
        written
    }

    async fn send_parts(
        &self,
        key: &str,
        upload: &str,
        bytes: &Bytes,
    ) -> Result<Vec<CompletedPart>, ObjectsError> {
        let size_bytes = bytes.len() as u64;
        let part_bytes = (self.settings().part_mb * 1_048_576).max(size_bytes.div_ceil(PARTS_MAX));
        let starts = (0..size_bytes).step_by(part_bytes as usize);
        let sent = starts.enumerate().map(|(index, start)| async move {
            let part = bytes.slice(start as usize..(start + part_bytes).min(size_bytes) as usize);
            self.send_part(key, upload, index as i32 + 1, part).await
        });
        futures::stream::iter(sent).buffered(self.settings().parts_at_once).try_collect().await
    }

    async fn send_part(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        part: Bytes,
    ) -> Result<CompletedPart, ObjectsError> {
        // The parts on the way share the line.
        let size_bytes = part.len() as u64 * self.settings().parts_at_once as u64;
        let sent = self
            .client()
            .upload_part()
            .bucket(self.bucket())
            .key(self.settings().full_key(key))
            .upload_id(upload)
            .part_number(number)
            .body(ByteStream::from(part))
            .customize()
            .config_override(client::waits(self.settings(), size_bytes))
            .send()
            .await
            .map_err(|error| {
                fault::fault(self.settings(), &format!("writing part {number} of"), key, error)
            })?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .set_checksum_crc32_c(sent.checksum_crc32_c)
            .set_checksum_crc64_nvme(sent.checksum_crc64_nvme)
            .set_checksum_sha1(sent.checksum_sha1)
            .set_checksum_sha256(sent.checksum_sha256)
            .build())
    }

    /// Makes the parts one object; this is where a condition decides.
    pub(super) async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: Vec<CompletedPart>,
        size_bytes: u64,
        condition: bool,
    ) -> Result<Written, ObjectsError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let completed = self
            .client()
            .complete_multipart_upload()
            .bucket(self.bucket())
            .key(self.settings().full_key(key))
            .upload_id(upload)
            .multipart_upload(parts)
            .set_if_none_match(condition.then(|| "*".to_owned()))
            .customize()
            // The store may copy the parts together before it answers.
            .config_override(client::waits(self.settings(), size_bytes))
            .send()
            .await;
        match completed {
            Ok(_) => Ok(Written::Stored),
            Err(error) => match fault::answer(&error) {
                Some(answer) if condition && answer.is_exists() => Ok(Written::Exists),
                // Either this upload was completed by a try whose answer was lost, or it
                // was cleaned away. Beginning anew is right for both: a conditional put
                // then finds its own object.
                Some(answer) if answer.is_conflict() || answer.is_upload_gone() => Ok(Written::Again),
                Some(_) | None => Err(fault::fault(self.settings(), "completing", key, error)),
            },
        }
    }

    /// An upload of one small part, begun and sent but not completed; for trying out what
    /// the store does with conditions.
    pub(super) async fn begin_small_upload(
        &self,
        key: &str,
    ) -> Result<(String, Vec<CompletedPart>), ObjectsError> {
        let begun = self
            .client()
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(self.settings().full_key(key))
            .send()
            .await
            .map_err(|error| fault::fault(self.settings(), "beginning to write", key, error))?;
        let upload = begun.upload_id().unwrap_or_default().to_owned();
        let part = self.send_part(key, &upload, 1, Bytes::from_static(b"tried")).await?;
        Ok((upload, vec![part]))
    }
}
