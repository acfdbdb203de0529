//! `results.csv`: the catalog's rows and columns as they came, with what became of each
//! SKU beside them. Written row by row, so nothing of it is kept in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::finding::{Finding, Severity};
use packshot_pipeline::role::Role;

use super::{ReportError, ReportStatus, WholeFile};

/// Characters of the findings cell; what a spreadsheet can hold and a person reads.
const FINDINGS_CHARS_MAX: usize = 2_000;

/// What became of one SKU.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ResultRow {
    /// The set's status.
    pub status: Option<ReportStatus>,
    /// Why, when the status needs a reason.
    pub reason: String,
    /// Path of each role's file, relative to the output folder.
    pub files: BTreeMap<Role, String>,
    /// The verdict that matters most: `accept`, `edit`, `regenerate` or `human`.
    pub verdict: String,
    /// What was found, heaviest first.
    pub findings: Vec<(Role, Finding)>,
    /// What it cost, all roles together.
    pub cost: MicroUsd,
    /// Attempts of all roles together.
    pub attempts: u32,
    /// Digital source types of the files, each once.
    pub source_types: Vec<String>,
}

impl ResultRow {
    /// A SKU that nobody has begun with.
    pub fn not_run() -> Self {
        ResultRow { reason: "not run".to_owned(), ..ResultRow::default() }
    }

    /// A row that is no product.
    pub fn bad(reason: &str) -> Self {
        ResultRow { status: Some(ReportStatus::BadRow), reason: reason.to_owned(), ..ResultRow::default() }
    }
}

/// The table being written.
#[derive(Debug)]
pub struct ResultsTable {
    writer: csv::Writer<WholeFile>,
    path: std::path::PathBuf,
    roles: Vec<Role>,
}

impl ResultsTable {
    /// Begins `results.csv` in `dir`, with the catalog's columns and those of `roles`.
    pub fn create(dir: &Path, columns: &[String], roles: &[Role]) -> Result<Self, ReportError> {
        let path = dir.join("results.csv");
        let writer = csv::Writer::from_writer(WholeFile::create(&path)?);
        let mut table = Self { writer, path, roles: roles.to_vec() };
        let mut header = columns.to_vec();
        let words = roles.iter().map(|role| role.word());
        let added = ["status"].into_iter().chain(words).chain([
            "verdict",
            "findings",
            "cost_usd",
            "attempts",
            "digital_source_type",
        ]);
        for name in added {
            let name = free_name(&header, name);
            header.push(name);
        }
        table.record(&header)?;
        Ok(table)
    }

    /// Adds the rows of one SKU, or of one bad row, with what became of it.
    pub fn push(&mut self, rows: &[Vec<String>], result: &ResultRow) -> Result<(), ReportError> {
        let added = cells(&self.roles, result);
        for row in rows {
            let whole: Vec<&String> = row.iter().chain(&added).collect();
            self.record(&whole)?;
        }
        Ok(())
    }

    /// Ends the table; only now does `results.csv` appear.
    pub fn finish(self) -> Result<(), ReportError> {
        let path = self.path;
        let whole = self.writer.into_inner();
        whole.map_err(|error| ReportError { path, source: error.into_error() })?.finish()
    }

    fn record<S: AsRef<[u8]>>(&mut self, cells: &[S]) -> Result<(), ReportError> {
        let written = self.writer.write_record(cells);
        written.map_err(|error| ReportError { path: self.path.clone(), source: io::Error::from(error) })
    }
}

/// A column of ours never shares its name with one of the input.
fn free_name(taken: &[String], name: &str) -> String {
    let mut free = name.to_owned();
    while taken.iter().any(|column| column.trim().eq_ignore_ascii_case(&free)) {
        free = format!("packshot_{free}");
    }
    free
}

fn cells(roles: &[Role], row: &ResultRow) -> Vec<String> {
    let mut cells = vec![row.status.map_or("not-run", ReportStatus::word).to_owned()];
    cells.extend(roles.iter().map(|role| row.files.get(role).cloned().unwrap_or_default()));
    cells.push(row.verdict.clone());
    cells.push(findings_text(row));
    cells.push(row.cost.to_string());
    cells.push(row.attempts.to_string());
    cells.push(row.source_types.join(" "));
    cells.into_iter().map(harmless).collect()
}

fn findings_text(row: &ResultRow) -> String {
    let mut parts: Vec<String> = Vec::new();
    if !row.reason.is_empty() {
        parts.push(row.reason.clone());
    }
    let weighty = row.findings.iter().filter(|(_, finding)| finding.severity > Severity::Note);
    parts.extend(weighty.map(|(role, f)| format!("{role} {}: {}", f.axis.word(), f.evidence)));
    parts.join("; ").chars().take(FINDINGS_CHARS_MAX).collect()
}

/// A spreadsheet takes a cell that begins like this for a formula.
fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn rows_come_back_unchanged_with_results_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let texts = |cells: &[&str]| -> Vec<String> { cells.iter().map(|cell| (*cell).to_owned()).collect() };
        let columns = texts(&["sku", "Status", "image", "note"]);
        let mut table = ResultsTable::create(dir.path(), &columns, &[Role::Main, Role::Ad]).unwrap();
        let row = ResultRow {
            status: Some(ReportStatus::NeedsHuman),
            reason: "=HYPERLINK(\"x\")".to_owned(),
            files: [(Role::Main, "sets/a/amazon/a.MAIN.jpg".to_owned())].into(),
            verdict: "human".to_owned(),
            cost: MicroUsd(40_000),
            attempts: 2,
            source_types: vec!["compositeCapture".to_owned()],
            ..ResultRow::default()
        };
        let two = [texts(&["a", "on", "a.jpg", "=1+1"]), texts(&["a", "on", "a2.jpg", "x;\ny"])];
        table.push(&two, &row).unwrap();
        let bad = ResultRow::bad("line 5, column sku: the SKU is empty");
        table.push(&[texts(&["", "on", "a.jpg", ""])], &bad).unwrap();
        table.push(&[texts(&["c", "on", "a.jpg", "c"])], &ResultRow::not_run()).unwrap();
        assert!(!dir.path().join("results.csv").exists(), "appears only when it is whole");
        table.finish().unwrap();
        let mut reader = csv::Reader::from_path(dir.path().join("results.csv")).unwrap();
        let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let expected = [
            "sku",
            "Status",
            "image",
            "note",
            "packshot_status",
            "main",
            "ad",
            "verdict",
            "findings",
            "cost_usd",
            "attempts",
            "digital_source_type",
        ];
        assert_eq!(header, expected);
        let rows: Vec<Vec<String>> =
            reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[0][..4], ["a", "on", "a.jpg", "=1+1"]);
        assert_eq!(rows[1][3], "x;\ny");
        let added = [
            "needs-human",
            "sets/a/amazon/a.MAIN.jpg",
            "",
            "human",
            "'=HYPERLINK(\"x\")",
            "0.040000",
            "2",
            "compositeCapture",
        ];
        assert_eq!(rows[0][4..], added);
        assert_eq!(rows[1][4..], added);
        assert_eq!((rows[2][4].as_str(), rows[3][4].as_str()), ("bad-row", "not-run"));
        assert!(rows[2][8].starts_with("line 5, column sku: the SKU is empty"));
    }
}
