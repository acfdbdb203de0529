//! What a run leaves for people and their spreadsheets: `results.csv` (the input with
//! result columns), `summary.json` and `report.html`. Each is written row by row or SKU by
//! SKU and appears under its name only when it is whole.

pub mod html;
mod page;
pub mod results;
pub mod sku;
pub mod summary;
mod thumbnail;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

pub use html::{HtmlReport, Notice, NoticeKind, ReportHead};
pub use results::{ResultRow, ResultsTable};
pub use sku::{ReportExport, ReportFact, ReportFrame, ReportReference, ReportRole, ReportSku, ReportStatus};
pub use summary::Summary;
pub use thumbnail::{THUMBNAIL_SIDE_MAX, thumbnail};

/// A report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct ReportError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// A file that gets its name when it is whole; until then it ends in `.part`.
#[derive(Debug)]
struct WholeFile {
    path: PathBuf,
    part: PathBuf,
    writer: BufWriter<File>,
}

impl WholeFile {
    fn create(path: &Path) -> Result<Self, ReportError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = path.with_file_name(name);
        let file = File::create(&part).map_err(|source| ReportError { path: part.clone(), source })?;
        Ok(Self { path: path.to_owned(), part, writer: BufWriter::with_capacity(256 * 1024, file) })
    }

    fn failed(&self, source: io::Error) -> ReportError {
        ReportError { path: self.path.clone(), source }
    }

    fn finish(mut self) -> Result<(), ReportError> {
        let done = self.writer.flush().and_then(|()| self.writer.get_ref().sync_all());
        done.and_then(|()| std::fs::rename(&self.part, &self.path)).map_err(|source| self.failed(source))
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
