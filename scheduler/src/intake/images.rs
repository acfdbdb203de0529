//! The images folder: finds a product's photos by the catalog's column, or by how files
//! and folders are named, and never looks outside the folder.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

/// Files of the images folder that are looked at, and how deep folders may be nested.
pub const FILES_MAX: usize = 1_000_000;
const DEPTH_MAX: usize = 16;
/// References that one product may have.
pub const REFERENCES_MAX: usize = 50;

/// Whether a file name ends like an image that can be read.
pub(crate) fn is_image_name(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    !stem.is_empty()
        && ["jpg", "jpeg", "jfif", "png", "webp", "gif", "tif", "tiff", "bmp"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
}

/// Why a column's path is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPath {
    /// `..`, another root, or a link that leads out.
    #[error("{0:?} leads outside the images folder")]
    Outside(String),
    /// Not there.
    #[error("{0:?} is not in the images folder")]
    Missing(String),
    /// A folder or a device.
    #[error("{0:?} is not a file")]
    NotAFile(String),
    /// NUL, or longer than a path can be.
    #[error("{0:?} is not a possible file name")]
    Impossible(String),
}

/// Opens nothing, but answers where photos are.
#[derive(Debug)]
pub(crate) struct Images {
    /// Canonical.
    root: PathBuf,
    index: Option<Index>,
    used: HashSet<PathBuf>,
}

#[derive(Debug, Default)]
struct Index {
    /// Relative to the root, in natural order.
    files: Vec<PathBuf>,
    /// Folded file name to its place in `files`, if only one has it.
    by_name: HashMap<String, Option<usize>>,
    /// Digest of the SKU to its files.
    by_sku: HashMap<u128, Vec<usize>>,
}

/// A number for a text, so that a million SKUs need no texts in memory.
pub(crate) fn number_of(text: &str) -> u128 {
    let mut first = [0; 16];
    first.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    u128::from_le_bytes(first)
}

/// Every SKU of the catalog, as numbers: what files may be named after.
#[derive(Debug, Default)]
pub(crate) struct SkuNames {
    exact: HashSet<u128>,
    /// Folded to exact; `None` when several SKUs differ by case only.
    folded: HashMap<u128, Option<u128>>,
}

impl SkuNames {
    pub(crate) fn insert(&mut self, sku: &str) {
        let sku = sku.trim();
        let exact = number_of(sku);
        if self.exact.insert(exact) {
            let slot = self.folded.entry(number_of(&sku.to_lowercase())).or_insert(Some(exact));
            if *slot != Some(exact) {
                *slot = None;
            }
        }
    }

    fn find(&self, name: &str) -> Option<u128> {
        let exact = number_of(name);
        if self.exact.contains(&exact) {
            return Some(exact);
        }
        self.folded.get(&number_of(&name.to_lowercase())).copied().flatten()
    }

    /// The SKU that a file is named after: its whole stem, else the longest start that is
    /// a SKU and is followed by `_`, `-`, `.` or a space.
    fn of_stem(&self, stem: &str) -> Option<u128> {
        self.find(stem).or_else(|| {
            let cuts: Vec<usize> = stem
                .char_indices()
                .filter(|(_, c)| matches!(c, '_' | '-' | '.' | ' '))
                .map(|(at, _)| at)
                .collect();
            cuts.iter()
                .rev()
                .find_map(|at| stem.get(..*at).filter(|s| !s.is_empty()).and_then(|s| self.find(s)))
        })
    }
}

impl Images {
    /// `root` must be a folder.
    pub(crate) fn open(root: &Path) -> std::io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(std::io::Error::new(std::io::ErrorKind::NotADirectory, "not a folder"));
        }
        Ok(Self { root, index: None, used: HashSet::new() })
    }

    /// Canonical.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The file that a column names, relative to the root.
    pub(crate) fn resolve(&mut self, text: &str) -> Result<PathBuf, BadPath> {
        let shown: String = text.chars().take(120).collect();
        if text.len() > 1024 || text.contains('\0') {
            return Err(BadPath::Impossible(shown));
        }
        let slashed = text.replace('\\', "/");
        let path = Path::new(&slashed);
        let drive = slashed.as_bytes().get(1) == Some(&b':');
        if drive || path.components().any(|part| matches!(part, Component::ParentDir | Component::Prefix(_)))
        {
            return Err(BadPath::Outside(shown));
        }
        let full = if path.is_absolute() { path.to_owned() } else { self.root.join(path) };
        let real = match full.canonicalize() {
            Ok(real) => real,
            Err(_) if path.is_absolute() => return Err(BadPath::Outside(shown)),
            Err(_) => return Err(BadPath::Missing(shown)),
        };
        let Ok(relative) = real.strip_prefix(&self.root) else { return Err(BadPath::Outside(shown)) };
        if !real.is_file() {
            return Err(BadPath::NotAFile(shown));
        }
        self.used.insert(relative.to_owned());
        Ok(relative.to_owned())
    }

    /// Whether the folder's files have been listed.
    pub(crate) fn is_indexed(&self) -> bool {
        self.index.is_some()
    }

    /// Lists the folder once and gives each file to the SKU that it, or else the nearest
    /// folder around it, is named after.
    pub(crate) fn build_index(&mut self, skus: &SkuNames) {
        let mut files: Vec<PathBuf> = WalkDir::new(&self.root)
            .max_depth(DEPTH_MAX)
            .into_iter()
            // Hidden folders are not photos, and what a run has made is not a reference.
            .filter_entry(|e| {
                e.depth() == 0 || !(e.file_name().to_string_lossy().starts_with('.') || is_output(e.path()))
            })
            .flatten()
            .filter(|e| is_image_name(&e.file_name().to_string_lossy()))
            .filter(|e| e.file_type().is_file() || self.leads_inside(e.path()))
            .filter_map(|e| e.path().strip_prefix(&self.root).ok().map(Path::to_owned))
            .take(FILES_MAX)
            .collect();
        files.sort_by_cached_key(|path| (path.components().count(), natural_key(&path.to_string_lossy())));
        let mut index = Index { files, ..Index::default() };
        for (at, file) in index.files.iter().enumerate() {
            let name = file.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
            index.by_name.entry(name).and_modify(|only| *only = None).or_insert(Some(at));
            let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let folder = || {
                let folders = file.parent()?.components().rev();
                folders.into_iter().find_map(|part| skus.find(&part.as_os_str().to_string_lossy()))
            };
            if let Some(sku) = skus.of_stem(&stem).or_else(folder) {
                index.by_sku.entry(sku).or_default().push(at);
            }
        }
        self.index = Some(index);
    }

    fn leads_inside(&self, link: &Path) -> bool {
        link.canonicalize().is_ok_and(|real| real.starts_with(&self.root) && real.is_file())
    }

    /// The one file of this name anywhere in the folder, whatever its case.
    pub(crate) fn by_file_name(&mut self, text: &str) -> Option<PathBuf> {
        let name = text.rsplit(['/', '\\']).next()?.to_lowercase();
        let index = self.index.as_ref()?;
        let file = index.files.get((*index.by_name.get(&name)?)?)?.clone();
        self.used.insert(file.clone());
        Some(file)
    }

    /// The files named after a SKU: the exact stem first, then the others in natural order.
    pub(crate) fn by_sku(&mut self, sku: &str) -> Vec<PathBuf> {
        let Some(index) = &self.index else { return Vec::new() };
        let mut files: Vec<PathBuf> = index
            .by_sku
            .get(&number_of(sku))
            .map(|places| places.iter().filter_map(|at| index.files.get(*at).cloned()).collect())
            .unwrap_or_default();
        let is_exact =
            |f: &PathBuf| f.file_stem().is_some_and(|s| s.to_string_lossy().eq_ignore_ascii_case(sku));
        files.sort_by_key(|file| !is_exact(file));
        files.truncate(REFERENCES_MAX);
        self.used.extend(files.iter().cloned());
        files
    }

    /// Listed files that no product has used so far.
    pub(crate) fn unused(&self) -> Vec<PathBuf> {
        let files = self.index.as_ref().map_or(&[][..], |index| index.files.as_slice());
        files.iter().filter(|file| !self.used.contains(*file)).cloned().collect()
    }
}

/// Whether a folder is the output of a run: its `sets` are named after SKUs and would be
/// taken for photos of them.
fn is_output(folder: &Path) -> bool {
    let store = folder.join("store");
    ["batches", "references", "blobs"].iter().any(|part| store.join(part).is_dir())
}

/// `a2` before `a10`: runs of digits compare as numbers.
fn natural_key(text: &str) -> Vec<(String, u64)> {
    let mut key = Vec::new();
    let mut word = String::new();
    let mut digits = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            key.push((std::mem::take(&mut word), digits.parse().unwrap_or(u64::MAX)));
            digits.clear();
        }
        word.push(c);
    }
    key.push((word, digits.parse().unwrap_or(0)));
    key
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    fn folder(files: &[&str]) -> (tempfile::TempDir, Images) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        let images = Images::open(dir.path()).unwrap();
        (dir, images)
    }

    fn indexed(files: &[&str], skus: &[&str]) -> (tempfile::TempDir, Images) {
        let (dir, mut images) = folder(files);
        let mut names = SkuNames::default();
        for sku in skus {
            names.insert(sku);
        }
        images.build_index(&names);
        (dir, images)
    }

    fn of(images: &mut Images, sku: &str) -> Vec<String> {
        images.by_sku(sku).iter().map(|p| p.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn files_go_to_the_longest_sku() {
        let files = [
            "AB1_2.jpg",
            "AB1_10.jpg",
            "AB1.jpg",
            "AB10_1.jpg",
            "AB1-X_1.png",
            "zz.jpg",
            "ab10/front.webp",
            "AB1.txt",
        ];
        let (_dir, mut images) = indexed(&files, &["AB1", "AB10", "AB1-X"]);
        assert_eq!(of(&mut images, "AB1"), ["AB1.jpg", "AB1_2.jpg", "AB1_10.jpg"]);
        assert_eq!(of(&mut images, "AB10"), ["AB10_1.jpg", "ab10/front.webp"]);
        assert_eq!(of(&mut images, "AB1-X"), ["AB1-X_1.png"]);
        assert_eq!(images.unused(), [PathBuf::from("zz.jpg")]);
    }

    #[test]
    fn the_output_of_a_run_is_not_a_reference() {
        let files = ["out/sets/ab1/amazon/AB1.MAIN.jpg", "out/store/batches/x", "ab1/real.jpg"];
        let (_dir, mut images) = indexed(&files, &["AB1"]);
        assert_eq!(of(&mut images, "AB1"), ["ab1/real.jpg"]);
    }

    #[test]
    fn case_decides_only_between_skus_that_differ_by_case() {
        let (_dir, mut images) = indexed(&["AB.jpg", "ab.jpg", "Ab.jpg"], &["AB", "ab"]);
        assert_eq!(of(&mut images, "AB"), ["AB.jpg"]);
        assert_eq!(of(&mut images, "ab"), ["ab.jpg"]);
        assert_eq!(images.unused(), [PathBuf::from("Ab.jpg")]);
    }

    #[test]
    fn nothing_outside_the_folder_is_reached() {
        let (dir, mut images) = folder(&["in/a.jpg", "b.jpg"]);
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret.jpg"), b"x").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(outside.path().join("secret.jpg"), dir.path().join("s.jpg")).unwrap();
        assert_eq!(images.resolve("in/a.jpg").unwrap(), PathBuf::from("in/a.jpg"));
        assert_eq!(images.resolve("in\\a.jpg").unwrap(), PathBuf::from("in/a.jpg"));
        assert_eq!(images.resolve("./b.jpg").unwrap(), PathBuf::from("b.jpg"));
        let absolute = dir.path().canonicalize().unwrap().join("b.jpg");
        assert_eq!(images.resolve(absolute.to_str().unwrap()).unwrap(), PathBuf::from("b.jpg"));
        for bad in [
            "../x",
            "in/../../x",
            "/etc/passwd",
            "/nowhere",
            "link/secret.jpg",
            "s.jpg",
            "C:\\x.jpg",
            "..\\x",
        ] {
            assert!(matches!(images.resolve(bad), Err(BadPath::Outside(_))), "{bad}");
        }
        assert!(matches!(images.resolve("in"), Err(BadPath::NotAFile(_))));
        assert!(matches!(images.resolve("none.jpg"), Err(BadPath::Missing(_))));
        assert!(matches!(images.resolve("a\0b"), Err(BadPath::Impossible(_))));
        assert!(matches!(images.resolve(&"x".repeat(5000)), Err(BadPath::Impossible(_))));
        images.build_index(&SkuNames::default());
        assert_eq!(images.index.unwrap().files.len(), 2, "links that lead out are not listed");
    }
}
