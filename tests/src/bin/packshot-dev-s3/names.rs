//! Keys as paths: every key gets a path of its own that is safe on any file system, and
//! one can be read back from the other.
//!
//! A segment keeps its letters, digits, `.`, `-` and `_`; other bytes become `%XX`. A folder's
//! name ends in `=`, so that the key `a` and the key `a/b` can both be there.

use std::fmt::Write as _;
use std::path::PathBuf;

/// The longest name that file systems take.
const NAME_BYTES_MAX: usize = 255;

/// The file of a key, relative to its bucket; `None` when a segment is too long.
pub(crate) fn file_of(key: &str) -> Option<PathBuf> {
    let (folders, name) = key.rsplit_once('/').map_or((None, key), |(folders, name)| (Some(folders), name));
    let mut path = PathBuf::new();
    for folder in folders.into_iter().flat_map(|folders| folders.split('/')) {
        path.push(fitting(folder_name(folder))?);
    }
    path.push(fitting(escape(name))?);
    Some(path)
}

/// The name of the folder for a segment.
pub(crate) fn folder_name(segment: &str) -> String {
    escape(segment) + "="
}

/// What a directory entry is: a segment, and whether keys go on below it. `None` for a
/// file that is no object.
pub(crate) fn segment_of(name: &str) -> Option<(String, bool)> {
    match name.strip_suffix('=') {
        Some(folder) => Some((unescape(folder)?, true)),
        None => Some((unescape(name)?, false)),
    }
}

fn fitting(name: String) -> Option<String> {
    (name.len() <= NAME_BYTES_MAX).then_some(name)
}

fn escape(segment: &str) -> String {
    if segment.is_empty() {
        // As in `a//b` or `a/`; no other segment becomes this.
        return "%".to_owned();
    }
    let mut name = String::with_capacity(segment.len() + 1);
    for (index, byte) in segment.bytes().enumerate() {
        // A leading dot would make `..` or a file of our own.
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && index > 0) {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name
}

fn unescape(name: &str) -> Option<String> {
    if name == "%" {
        return Some(String::new());
    }
    if name.starts_with('.') {
        return None;
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn key_of(path: &std::path::Path) -> String {
        let segments = path.components().map(|part| segment_of(part.as_os_str().to_str().unwrap()).unwrap());
        segments.map(|(segment, folder)| if folder { segment + "/" } else { segment }).collect()
    }

    #[test]
    fn every_key_has_a_path_of_its_own_and_comes_back() {
        let keys =
            ["a", "a/b", "a=/b", "a//b", "a/", "/", "../x", ".", "ä b", "a%2Fb", "x.json", "a/.hidden"];
        let mut paths = std::collections::BTreeSet::new();
        for key in keys {
            let path = file_of(key).unwrap();
            assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))), "{key}");
            assert_eq!(key_of(&path), key);
            assert!(paths.insert(path), "{key} shares its path");
        }
        assert_eq!(file_of("blobs/ab.png").unwrap(), PathBuf::from("blobs=/ab.png"));
        assert_eq!(file_of(&"x".repeat(256)), None);
    }
}
