//! Reads a catalog: a stream of products from a file of any usual form, with every bad row
//! reported and none stopping the others. Memory does not grow with the file's bytes; what
//! is kept per SKU is a number, to find duplicates.
//!
//! Nothing in the reading decodes images or talks to the network: a product names its
//! references, and bringing them into the object store is a later step.

mod address;
mod delimited;
pub mod fetch;
mod images;
mod json;
mod product;
mod profile;
pub mod references;
mod shopify;
mod source;
mod table;
mod values;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use packshot_pipeline::catalog::Product;

pub use delimited::{CELLS_MAX, ROW_BYTES_MAX};
pub use fetch::{FetchError, FetchFault, FetchLimits, Fetcher};
pub use images::{FILES_MAX, REFERENCES_MAX};
pub use references::{PutReferences, ReferenceProblem, put_references};
pub use table::CELL_BYTES_MAX;
pub use values::{DESCRIPTION_CHARS_MAX, SHORT_CHARS_MAX};

use images::{Images, number_of};
use profile::Layout;
use table::{Rows, Table};

/// Why a catalog cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The system refuses.
    #[error("cannot read the catalog {}", path.display())]
    Unreadable {
        /// The catalog.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The images folder is not there or is not a folder.
    #[error("cannot read the images folder {}", path.display())]
    NoImagesFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder, a pipe or a device.
    #[error("the catalog {} is not a file", path.display())]
    NotAFile {
        /// The catalog.
        path: PathBuf,
    },
    /// A workbook, an archive, an image.
    #[error("the catalog {} is {what}, not a text file", path.display())]
    NotText {
        /// The catalog.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Nothing but white space.
    #[error("the catalog {} is empty", path.display())]
    Empty {
        /// The catalog.
        path: PathBuf,
    },
    /// A header and nothing below it.
    #[error("the catalog {} has no products", path.display())]
    NoRows {
        /// The catalog.
        path: PathBuf,
    },
    /// No column can be the SKU.
    #[error("the catalog {} has no SKU column; its columns are: {found}", path.display())]
    NoSkuColumn {
        /// The catalog.
        path: PathBuf,
        /// The columns it has.
        found: String,
        /// Names that would be understood.
        wanted: String,
    },
    /// Not one object could be read.
    #[error("the catalog {} is not valid JSON: line {line}: {reason}", path.display())]
    BadJson {
        /// The catalog.
        path: PathBuf,
        /// Line of the first object.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl CatalogError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } => "check the path and its permissions".to_owned(),
            Self::NoImagesFolder { .. } => {
                "name the folder that holds the reference photos with --images".to_owned()
            }
            Self::NotAFile { .. } => "name a CSV, TSV, JSON or JSON Lines file".to_owned(),
            Self::NotText { .. } => "save or export it as CSV (UTF-8) and try again".to_owned(),
            Self::Empty { .. } | Self::NoRows { .. } => {
                "a catalog has a header line and one line per product".to_owned()
            }
            Self::NoSkuColumn { wanted, .. } => {
                format!(
                    "name the column that identifies a product {wanted}; the first line must be the header"
                )
            }
            Self::BadJson { .. } => {
                "expected an array of objects, {\"products\": [...]}, or one object a line".to_owned()
            }
        }
    }
}

/// A row that does not become a product.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct RowError {
    /// First line of the row in the file, counted from 1.
    pub line: u64,
    /// Column by its name in the file, when one is to blame.
    pub column: Option<String>,
    /// The row's SKU as far as it could be read.
    pub sku: Option<String>,
    /// What is wrong: lower case, no full stop.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl std::fmt::Display for RowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Something odd in a row that was used nevertheless.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Warning {
    /// Line in the file, counted from 1.
    pub line: u64,
    /// Column by its name in the file, when it is about one.
    pub column: Option<String>,
    /// What is odd.
    pub reason: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// A row as the file has it: one cell per column of [`Catalog::columns`].
#[derive(Clone, PartialEq, Debug)]
pub struct RawRow {
    /// First line in the file, counted from 1.
    pub line: u64,
    /// As in the file; empty where the row is short or broken.
    pub cells: Vec<String>,
    pub(crate) problem: Option<Problem>,
}

/// What makes a row unusable before its meaning is looked at.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Problem {
    pub(crate) column: Option<usize>,
    pub(crate) reason: String,
    pub(crate) hint: String,
}

/// One product, or one bad row. All entries' rows together, in order, are the file's rows.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The rows it was made from.
    pub rows: Vec<RawRow>,
    /// The product, or why there is none.
    pub product: Result<Product, RowError>,
    /// Shown to the user, stop nothing.
    pub warnings: Vec<Warning>,
}

/// A catalog being read: an iterator of [`Entry`]. Open it again to read it again.
#[derive(Debug)]
pub struct Catalog {
    table: Table,
    rows: Rows,
    peeked: Option<RawRow>,
    waiting: VecDeque<Entry>,
    memory: Memory,
    ended: bool,
}

/// What is remembered from row to row.
#[derive(Debug)]
pub(crate) struct Memory {
    images: Images,
    /// SKU to its first line.
    seen: HashMap<u128, u64>,
    /// SKU in lower case to the first line of it.
    seen_folded: HashMap<u128, u64>,
    /// Warnings that are given once per catalog.
    warned: HashSet<(usize, &'static str)>,
}

impl Catalog {
    /// Opens `path`; `images` is the folder below which local references lie, and is the
    /// catalog's own folder when not given.
    pub fn open(path: &Path, images: Option<&Path>) -> Result<Self, CatalogError> {
        let table = Table::open(path)?;
        let beside = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = images.unwrap_or(beside);
        let images = Images::open(folder)
            .map_err(|source| CatalogError::NoImagesFolder { path: folder.to_owned(), source })?;
        let rows =
            table.rows().map_err(|source| CatalogError::Unreadable { path: path.to_owned(), source })?;
        let memory =
            Memory { images, seen: HashMap::new(), seen_folded: HashMap::new(), warned: HashSet::new() };
        Ok(Self { table, rows, peeked: None, waiting: VecDeque::new(), memory, ended: false })
    }

    /// Column names as the file has them.
    pub fn columns(&self) -> &[String] {
        &self.table.columns
    }

    /// What the file turned out to be: "CSV, UTF-8, Shopify product export".
    pub fn describe(&self) -> String {
        self.table.describe()
    }

    /// The folder below which local references lie, canonical.
    pub fn images_root(&self) -> &Path {
        self.memory.images.root()
    }

    /// Image files of the images folder that no product read so far uses, relative to it.
    /// Ask when all entries are read; lists the folder if that was not needed before.
    pub fn unmatched_files(&mut self) -> Vec<PathBuf> {
        self.memory.index_images(&self.table);
        self.memory.images.unused()
    }

    fn next_row(&mut self) -> Option<RawRow> {
        if let Some(row) = self.peeked.take() {
            return Some(row);
        }
        if self.ended {
            return None;
        }
        match self.rows.next_row() {
            Ok(row) => {
                self.ended = row.is_none();
                row
            }
            Err(error) => {
                self.ended = true;
                let reason = format!("cannot read on: {error}");
                let hint = "check the disk or network share that holds the catalog".to_owned();
                Some(RawRow {
                    line: 0,
                    cells: vec![String::new(); self.table.columns.len()],
                    problem: Some(Problem { column: None, reason, hint }),
                })
            }
        }
    }

    /// Rows of one SKU: the first, and those straight behind it that add a reference.
    fn next_of_rows(&mut self) -> Option<Entry> {
        let first = self.next_row()?;
        if first.problem.is_some() {
            return Some(product::broken_row(&self.table, first));
        }
        let mapping = &self.table.mapping;
        let sku = mapping.sku(&first.cells);
        let mut images = product::image_cells(mapping, &first.cells);
        let mut rows = vec![first];
        while rows.len() < REFERENCES_MAX && !sku.is_empty() {
            let Some(row) = self.next_row() else { break };
            let mapping = &self.table.mapping;
            let more = product::image_cells(mapping, &row.cells);
            let adds = more.iter().any(|image| !images.contains(image));
            if row.problem.is_some() || mapping.sku(&row.cells) != sku || !adds {
                self.peeked = Some(row);
                break;
            }
            images.extend(more);
            rows.push(row);
        }
        Some(product::from_rows(&self.table, &mut self.memory, rows))
    }

    /// Rows of one handle: variants, images or both.
    fn next_of_shopify(&mut self) -> Option<Entry> {
        if self.waiting.is_empty() {
            let mut rows = Vec::new();
            let mut handle = String::new();
            while let Some(row) = self.next_row() {
                let own = self.table.mapping.text(profile::Field::Group, &row.cells);
                if row.problem.is_none() && !own.is_empty() && own != handle {
                    if !handle.is_empty() {
                        self.peeked = Some(row);
                        break;
                    }
                    own.clone_into(&mut handle);
                }
                rows.push(row);
                if rows.len() >= shopify::GROUP_ROWS_MAX {
                    break;
                }
            }
            self.waiting = shopify::entries(&self.table, &mut self.memory, &handle, rows);
        }
        self.waiting.pop_front()
    }
}

impl Iterator for Catalog {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        match self.table.mapping.layout {
            Layout::Rows => self.next_of_rows(),
            Layout::Shopify => self.next_of_shopify(),
        }
    }
}

impl Memory {
    /// Lists the images folder, once.
    pub(crate) fn index_images(&mut self, table: &Table) {
        if !self.images.is_indexed() {
            // A catalog that cannot be read a second time has said so already.
            let names = table.sku_names().unwrap_or_default();
            self.images.build_index(&names);
        }
    }

    /// The line on which this SKU was first, if it was.
    pub(crate) fn first_line(&mut self, sku: &str, line: u64) -> Option<u64> {
        match self.seen.entry(number_of(sku)) {
            std::collections::hash_map::Entry::Occupied(first) => Some(*first.get()),
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(line);
                None
            }
        }
    }

    /// The line of another SKU that differs from this one by case only.
    pub(crate) fn line_of_other_case(&mut self, sku: &str, line: u64) -> Option<u64> {
        let first = *self.seen_folded.entry(number_of(&sku.to_lowercase())).or_insert(line);
        (first != line).then_some(first)
    }

    /// True the first time.
    pub(crate) fn warn_once(&mut self, column: usize, about: &'static str) -> bool {
        self.warned.insert((column, about))
    }
}

#[cfg(test)]
mod tests;
