//! An object as one file: its bytes, then what is known of it, then where that begins. One
//! rename therefore puts all of it in place, and a picture in the folder can still be
//! looked at.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"packshot";
/// Magic and length.
const END_BYTES: u64 = 12;
const ABOUT_BYTES_MAX: u32 = 64 * 1024;

/// What is known of an object besides its bytes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) size_bytes: u64,
    pub(crate) etag: String,
    pub(crate) content_type: Option<String>,
    /// Checksums that the writer sent and that were right, by algorithm, in base 64.
    pub(crate) checksums: BTreeMap<String, String>,
    /// The writer's own headers.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Ends a file whose bytes are written.
pub(crate) fn write_about(file: &mut impl Write, about: &About) -> io::Result<()> {
    let mut end = serde_json::to_vec(about)?;
    let length = u32::try_from(end.len()).map_err(io::Error::other)?;
    if length > ABOUT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the object's headers are too large"));
    }
    end.extend_from_slice(&length.to_le_bytes());
    end.extend_from_slice(MAGIC);
    file.write_all(&end)
}

/// Reads what is known of an object; the file then stands at its first byte.
pub(crate) fn read_about(file: &mut File) -> io::Result<About> {
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("not an object: {what}"));
    let file_bytes = file.seek(SeekFrom::End(0))?;
    let at = file_bytes.checked_sub(END_BYTES).ok_or_else(|| damaged("too short"))?;
    let mut end = [0; END_BYTES as usize];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut end)?;
    let (length, magic) = end.split_at(4);
    let length = u32::from_le_bytes(length.try_into().map_err(io::Error::other)?);
    if magic != MAGIC || length > ABOUT_BYTES_MAX {
        return Err(damaged("no end mark"));
    }
    let about_at = at.checked_sub(u64::from(length)).ok_or_else(|| damaged("cut off"))?;
    let mut about = vec![0; length as usize];
    file.seek(SeekFrom::Start(about_at))?;
    file.read_exact(&mut about)?;
    let about: About = serde_json::from_slice(&about)?;
    if about.size_bytes != about_at {
        return Err(damaged("another size than announced"));
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(about)
}
