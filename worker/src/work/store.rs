//! Images in and out of the object store, by content.

use bytes::Bytes;
use image::{GrayImage, RgbImage};
use packshot_imaging::decode::{DecodeLimits, decode};
use packshot_imaging::encode;
use packshot_imaging::resize::resize_rgb;
use packshot_pipeline::ids::Digest;
use packshot_pipeline::result::Blob;
use packshot_runtime::port::Objects;

use super::Fault;

/// The largest image of our own making that is read back, in bytes.
const BLOB_BYTES_MAX: u64 = 400_000_000;

/// Puts `bytes` under their digest. Repeating it is harmless.
pub(super) async fn put_blob(objects: &dyn Objects, bytes: Vec<u8>, extension: &str) -> Result<Blob, Fault> {
    let blob = Blob { digest: Digest::of(&bytes), extension: extension.to_owned() };
    objects.put_if_absent(&blob.object_key(), Bytes::from(bytes)).await?;
    Ok(blob)
}

/// Reads an object that must be there.
pub(super) async fn get(objects: &dyn Objects, key: &str, bytes_max: u64) -> Result<Bytes, Fault> {
    let found = objects.get(key, bytes_max).await?;
    found.ok_or_else(|| {
        Fault::Broken(format!("object {key} is gone from the store; run again to make it anew"))
    })
}

/// Reads an image of our own making.
pub(super) async fn get_blob(objects: &dyn Objects, blob: &Blob) -> Result<Bytes, Fault> {
    let key = blob.object_key();
    let bytes = get(objects, &key, BLOB_BYTES_MAX).await?;
    if Digest::of(&bytes) == blob.digest {
        Ok(bytes)
    } else {
        Err(Fault::Broken(format!(
            "object {key} does not have the content its name promises; delete it and run again"
        )))
    }
}

/// Decodes an image of our own making.
pub(super) fn decode_rgb(bytes: &[u8]) -> Result<RgbImage, Fault> {
    let photo = decode(bytes, &DecodeLimits::DEFAULT)
        .map_err(|error| Fault::Broken(format!("a stored image cannot be read: {error}")))?;
    Ok(photo.rgb)
}

/// Decodes a mask of our own making.
pub(super) fn decode_mask(bytes: &[u8]) -> Result<GrayImage, Fault> {
    image::load_from_memory_with_format(bytes, image::ImageFormat::Png)
        .map(image::DynamicImage::into_luma8)
        .map_err(|error| Fault::Broken(format!("a stored mask cannot be read: {error}")))
}

/// Longest side of a small picture for reports and lists, in pixels.
const THUMBNAIL_PX: u32 = 480;

/// Where the small picture of an image or a reference is kept, a JPEG.
pub fn thumbnail_key(digest: &Digest) -> String {
    format!("thumbs/{digest}.jpg")
}

/// A small picture; transparent places show white.
pub(super) fn thumbnail(rgb: &RgbImage, alpha: Option<&GrayImage>) -> Result<Vec<u8>, encode::EncodeError> {
    let (w, h) = rgb.dimensions();
    let longest = w.max(h).max(1);
    let scale = |side: u32| {
        (u64::from(side) * u64::from(THUMBNAIL_PX.min(longest)) / u64::from(longest)).max(1) as u32
    };
    let (tw, th) = (scale(w), scale(h));
    let small = match alpha {
        None => resize_rgb(rgb, tw, th),
        Some(alpha) => {
            let mut flat = rgb.clone();
            for (pixel, cover) in flat.pixels_mut().zip(alpha.pixels()) {
                let cover = u32::from(cover.0[0]);
                pixel.0 = pixel.0.map(|value| ((u32::from(value) * cover + 255 * (255 - cover)) / 255) as u8);
            }
            resize_rgb(&flat, tw, th)
        }
    };
    encode::jpeg(&small, 84, encode::Chroma::Half)
}
