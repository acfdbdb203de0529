//! A small shop in a temporary folder: a few sample products, and the command run on them.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;

/// The sample folder of the project.
pub(crate) fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy/sample")
}

/// A folder with a catalog and its photos.
pub(crate) struct Shop {
    dir: tempfile::TempDir,
}

impl Shop {
    /// A shop with these catalog lines under the sample's header, and links to the
    /// sample's photos.
    pub(crate) fn new(lines: &[&str]) -> Self {
        let shop = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(shop.path("images")).unwrap();
        shop.write_catalog(lines);
        for entry in std::fs::read_dir(sample().join("images")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), shop.path("images").join(entry.file_name())).unwrap();
        }
        shop
    }

    /// A folder with nothing in it, for work that needs no catalog.
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A shop with the sample's rows of these SKUs.
    pub(crate) fn with_skus(skus: &[&str]) -> Self {
        let text = std::fs::read_to_string(sample().join("catalog.csv")).unwrap();
        let lines: Vec<&str> =
            text.lines().filter(|line| skus.iter().any(|sku| line.starts_with(&format!("{sku},")))).collect();
        assert_eq!(lines.len(), skus.len(), "the sample lacks one of {skus:?}");
        Self::new(&lines)
    }

    /// Replaces the catalog.
    pub(crate) fn write_catalog(&self, lines: &[&str]) {
        self.write_catalog_as("catalog.csv", lines);
    }

    /// Writes another catalog.
    pub(crate) fn write_catalog_as(&self, name: &str, lines: &[&str]) {
        let sample = std::fs::read_to_string(sample().join("catalog.csv")).unwrap();
        let header = sample.lines().next().unwrap();
        let text = format!("{header}\n{}\n", lines.join("\n"));
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A path inside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `packshot` with these arguments, in the shop's folder.
    pub(crate) fn packshot(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(packshot());
        command.current_dir(self.dir.path()).args(arguments).timeout(std::time::Duration::from_mins(5));
        command
    }

    /// `packshot run catalog.csv --out out` with further arguments; must end with `code`.
    pub(crate) fn run(&self, arguments: &[&str], code: i32) -> Output {
        let mut all = vec!["run", "catalog.csv", "--out", "out"];
        all.extend(arguments);
        let out = self.packshot(&all);
        assert_eq!(
            out.status.code(),
            Some(code),
            "packshot {all:?}\n{}\n{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        out
    }

    /// `out/summary.json`.
    pub(crate) fn summary(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.path("out/summary.json")).unwrap()).unwrap()
    }
}

/// The built `packshot` binary: it lies beside this test binary's folder.
pub(crate) fn packshot() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let binary = folder.join("packshot");
    assert!(binary.is_file(), "{} is not built: run `cargo build --workspace --bins`", binary.display());
    binary
}

/// Every file below `folder`, relative, sorted.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// A row of the catalog: one photo for every product, for scripted work that looks at none.
pub(crate) fn mug(sku: &str, title: &str) -> String {
    format!("{sku},{title},saleor-mighty-mug.png,,navy,Ceramic,Mugs,122,96,88,1,m")
}

/// What a command wrote to standard error.
pub(crate) fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// What a command wrote to standard output.
pub(crate) fn stdout(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}
