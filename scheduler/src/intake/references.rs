//! Puts a product's reference photos into the object store, one at a time: read or
//! fetched under limits, recognised by content, named by digest.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use packshot_imaging::decode::probe;
use packshot_pipeline::catalog::{Product, Reference, ReferenceSource};
use packshot_pipeline::ids::Digest;
use packshot_runtime::port::{Objects, ObjectsError};

use super::fetch::Fetcher;

/// Bytes of a local photo; as much as a decoder takes.
pub const FILE_BYTES_MAX: u64 = 200 * 1024 * 1024;

/// A product's references after they were looked at.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PutReferences {
    /// Those in the object store, in the catalog's order, each content once.
    pub stored: Vec<Reference>,
    /// Those that are not, and why.
    pub problems: Vec<ReferenceProblem>,
}

/// A reference that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ReferenceProblem {
    /// File name or address as the catalog has it.
    pub name: String,
    /// What is wrong: lower case, no full stop.
    pub reason: String,
}

impl std::fmt::Display for ReferenceProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

/// Brings every reference of `product` into `objects`. One that fails is a problem and
/// stops nothing; an error is the object store's. `images_root` is
/// [`Catalog::images_root`](super::Catalog::images_root).
pub async fn put_references(
    objects: &dyn Objects,
    fetcher: &Fetcher,
    images_root: &Path,
    product: &Product,
) -> Result<PutReferences, ObjectsError> {
    let mut put = PutReferences::default();
    for source in &product.references {
        let (name, bytes) = match source {
            ReferenceSource::File(path) => {
                let name = path.display().to_string();
                let (root, path) = (images_root.to_owned(), path.clone());
                let read = tokio::task::spawn_blocking(move || read_below(&root, &path)).await;
                (name, read.unwrap_or_else(|_| Err("reading was interrupted".to_owned())))
            }
            ReferenceSource::Url(url) => {
                let fetched = fetcher.get(url).await.map_err(|error| error.to_string());
                (without_query(url), fetched)
            }
        };
        let problem = match bytes {
            Ok(bytes) => match put_one(objects, &name, bytes).await? {
                Ok(reference) => {
                    if put.stored.iter().all(|known| known.digest != reference.digest) {
                        put.stored.push(reference);
                    }
                    continue;
                }
                Err(reason) => reason,
            },
            Err(reason) => reason,
        };
        put.problems.push(ReferenceProblem { name, reason: problem });
    }
    Ok(put)
}

async fn put_one(
    objects: &dyn Objects,
    name: &str,
    bytes: Bytes,
) -> Result<Result<Reference, String>, ObjectsError> {
    // By content: neither a file's name nor a server's content type is believed.
    let extension = match probe(&bytes) {
        Ok(probe) => probe.format.extension(),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let reference =
        Reference { digest: Digest::of(&bytes), extension: extension.to_owned(), name: name.to_owned() };
    let key = reference.object_key();
    let size_bytes = bytes.len() as u64;
    if objects.head(&key).await?.is_none_or(|info| info.size_bytes != size_bytes) {
        objects.put(&key, bytes).await?;
    }
    Ok(Ok(reference))
}

/// Reads a file below `root`; links that lead out are refused again, as the file may have
/// changed since the catalog was read.
pub(crate) fn read_below(root: &Path, path: &Path) -> Result<Bytes, String> {
    let full: PathBuf = root.join(path);
    let real = full.canonicalize().map_err(|error| format!("cannot read the file: {error}"))?;
    if !real.starts_with(root) {
        return Err("leads outside the images folder".to_owned());
    }
    let file = std::fs::File::open(&real).map_err(|error| format!("cannot read the file: {error}"))?;
    let meta = file.metadata().map_err(|error| format!("cannot read the file: {error}"))?;
    if !meta.is_file() {
        return Err("not a file".to_owned());
    }
    let mut bytes = Vec::with_capacity(meta.len().min(FILE_BYTES_MAX) as usize);
    let mut limited = file.take(FILE_BYTES_MAX + 1);
    limited.read_to_end(&mut bytes).map_err(|error| format!("cannot read the file: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("the file is larger than {} MiB", FILE_BYTES_MAX / 1024 / 1024));
    }
    Ok(bytes.into())
}

/// A query may hold a signature or a key, which belongs in no report.
fn without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use packshot_runtime::memory::MemoryObjects;

    use super::super::Catalog;
    use super::super::fetch::FetchLimits;
    use super::*;

    #[tokio::test]
    async fn good_photos_are_stored_once_and_bad_ones_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let png = packshot_imaging::encode::png_rgb(&image::RgbImage::new(3, 2)).unwrap();
        let jpeg = packshot_imaging::encode::jpeg(
            &image::RgbImage::new(3, 2),
            80,
            packshot_imaging::encode::Chroma::Full,
        )
        .unwrap();
        let files: [(&str, &[u8]); 5] =
            [("a.jpg", &png), ("b.png", &png), ("empty.jpg", b""), ("text.jpg", b"hello"), ("c.gif", &jpeg)];
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        let catalog = dir.path().join("c.csv");
        let images = "a.jpg|b.png|empty.jpg|text.jpg|c.gif|http://127.0.0.1:1/x?key=secret";
        std::fs::write(&catalog, format!("sku,image\na,{images}\n")).unwrap();
        let mut catalog = Catalog::open(&catalog, None).unwrap();
        let product = catalog.next().unwrap().product.unwrap();
        let (shelf, fetcher) = (MemoryObjects::new(1 << 20), Fetcher::new(FetchLimits::DEFAULT));
        for _again in 0..2 {
            let put = put_references(&shelf, &fetcher, catalog.images_root(), &product).await.unwrap();
            let stored: Vec<_> = put.stored.iter().map(|r| (r.name.as_str(), r.extension.as_str())).collect();
            assert_eq!(stored, [("a.jpg", "png"), ("c.gif", "jpg")]);
            let problems: Vec<_> = put.problems.iter().map(ToString::to_string).collect();
            assert_eq!(problems.len(), 3, "{problems:?}");
            assert!(problems[0].starts_with("empty.jpg: the file is empty"), "{problems:?}");
            assert!(problems[1].starts_with("text.jpg: the content is text"), "{problems:?}");
            assert!(problems[2].contains("private network") && !problems[2].contains("secret"));
        }
        let keys = shelf.list("references/", None, 10).await.unwrap();
        assert!(keys.contains(&put_key(&png)) && keys.len() == 2, "{keys:?}");
    }

    fn put_key(bytes: &[u8]) -> String {
        format!("references/{}.png", Digest::of(bytes))
    }
}
