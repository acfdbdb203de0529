//! A catalog file as rows under named columns, whatever it is written in.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;

use super::delimited::DelimitedRows;
use super::images::SkuNames;
use super::json::JsonRows;
use super::profile::{Field, Layout, Mapping, Profile};
use super::source::{Format, Source};
use super::{CatalogError, Problem, RawRow};

/// A cell longer than this makes its row an error.
pub const CELL_BYTES_MAX: usize = 1024 * 1024;
/// Columns that a JSON catalog may have in all its objects together.
const JSON_COLUMNS_MAX: usize = 1_000;

/// A catalog whose columns are known; rows are read again from the file each time.
#[derive(Debug)]
pub(crate) struct Table {
    source: Source,
    pub(crate) columns: Vec<String>,
    pub(crate) profile: &'static Profile,
    pub(crate) mapping: Mapping,
}

impl Table {
    pub(crate) fn open(path: &Path) -> Result<Self, CatalogError> {
        let source = Source::open(path)?;
        let unreadable = |source| CatalogError::Unreadable { path: path.to_owned(), source };
        let (columns, any_rows) = match source.format {
            Format::Delimited(delimiter) => header(&source, delimiter).map_err(unreadable)?,
            Format::JsonLines | Format::Json => json_columns(&source, path)?,
        };
        if columns.iter().all(|column| column.trim().is_empty()) {
            return Err(CatalogError::Empty { path: path.to_owned() });
        }
        let Some(profile) = Profile::detect(&columns) else {
            let found: Vec<String> = columns.iter().take(12).map(|c| c.chars().take(40).collect()).collect();
            return Err(CatalogError::NoSkuColumn {
                path: path.to_owned(),
                found: found.join(", "),
                wanted: Profile::sku_names(),
            });
        };
        if !any_rows {
            return Err(CatalogError::NoRows { path: path.to_owned() });
        }
        let mapping = Mapping::new(profile, &columns);
        Ok(Self { source, columns, profile, mapping })
    }

    /// "CSV, UTF-8, Shopify product export".
    pub(crate) fn describe(&self) -> String {
        format!("{}, {}", self.source.describe(), self.profile.title)
    }

    /// All rows from the beginning.
    pub(crate) fn rows(&self) -> io::Result<Rows> {
        let kind = match self.source.format {
            Format::Delimited(delimiter) => {
                let mut rows = DelimitedRows::new(self.source.reader()?, delimiter);
                skip_header(&mut rows)?;
                Kind::Delimited(rows)
            }
            Format::JsonLines | Format::Json => Kind::Json {
                rows: JsonRows::new(|| self.source.reader(), self.source.format == Format::JsonLines)?,
                waiting: VecDeque::new(),
                places: self.columns.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect(),
            },
        };
        Ok(Rows { kind, columns: self.columns.len() })
    }

    /// Every SKU of the catalog, for matching file names; bad rows are left out.
    pub(crate) fn sku_names(&self) -> io::Result<SkuNames> {
        let mut names = SkuNames::default();
        let mut rows = self.rows()?;
        let mut handle = String::new();
        while let Some(row) = rows.next_row()? {
            if self.mapping.layout == Layout::Shopify {
                let own = self.mapping.text(Field::Group, &row.cells);
                if !own.is_empty() {
                    own.clone_into(&mut handle);
                }
            }
            let sku = self.sku_in_group(&row, &handle);
            if row.problem.is_none() && !sku.is_empty() {
                names.insert(&sku);
            }
        }
        Ok(names)
    }

    /// The row's SKU; a continuation row, whose own handle is empty, takes its group's for
    /// the fallback.
    pub(crate) fn sku_in_group(&self, row: &RawRow, handle: &str) -> String {
        let place = self.mapping.columns(Field::Group).first().map(|source| source.column);
        match place {
            Some(at) if !handle.is_empty() && row.cells.get(at).is_some_and(|c| c.trim().is_empty()) => {
                let mut cells = row.cells.clone();
                if let Some(cell) = cells.get_mut(at) {
                    handle.clone_into(cell);
                }
                self.mapping.sku(&cells)
            }
            _ => self.mapping.sku(&row.cells),
        }
    }
}

fn skip_header(rows: &mut DelimitedRows) -> io::Result<Option<Vec<String>>> {
    loop {
        let Some(row) = rows.next_row()? else { return Ok(None) };
        let is_hint = row.cells.first().is_some_and(|c| c.starts_with("sep=")) && row.cells.len() <= 2;
        if !is_hint {
            return Ok(Some(row.cells));
        }
    }
}

fn header(source: &Source, delimiter: u8) -> io::Result<(Vec<String>, bool)> {
    let mut rows = DelimitedRows::new(source.reader()?, delimiter);
    let mut columns = skip_header(&mut rows)?.unwrap_or_default();
    // Trailing delimiters make columns without a name; they hold nothing either.
    while columns.last().is_some_and(|c| c.trim().is_empty()) {
        columns.pop();
    }
    Ok((columns, rows.next_row()?.is_some()))
}

/// The columns of all objects, in the order in which they first appear.
fn json_columns(source: &Source, path: &Path) -> Result<(Vec<String>, bool), CatalogError> {
    let unreadable = |source| CatalogError::Unreadable { path: path.to_owned(), source };
    let by_line = source.format == Format::JsonLines;
    let mut rows = JsonRows::new(|| source.reader(), by_line).map_err(unreadable)?;
    let mut columns: Vec<String> = Vec::new();
    let mut known: std::collections::HashSet<String> = std::collections::HashSet::new();
    let mut first_error = None;
    let mut any = false;
    while let Some(element) = rows.next_element().map_err(unreadable)? {
        match element.rows {
            Ok(list) => {
                any = true;
                for (name, _) in list.into_iter().flatten() {
                    if columns.len() < JSON_COLUMNS_MAX && !known.contains(&name) {
                        known.insert(name.clone());
                        columns.push(name);
                    }
                }
            }
            Err(reason) => first_error = first_error.or(Some((element.line, reason))),
        }
    }
    match first_error {
        Some((line, reason)) if !any => Err(CatalogError::BadJson { path: path.to_owned(), line, reason }),
        _ if !any => Err(CatalogError::NoRows { path: path.to_owned() }),
        _ => Ok((columns, any)),
    }
}

/// Reads rows, each with exactly one cell per column.
#[derive(Debug)]
pub(crate) struct Rows {
    kind: Kind,
    columns: usize,
}

#[derive(Debug)]
enum Kind {
    Delimited(DelimitedRows),
    Json { rows: JsonRows, waiting: VecDeque<RawRow>, places: HashMap<String, usize> },
}

impl Rows {
    pub(crate) fn next_row(&mut self) -> io::Result<Option<RawRow>> {
        let row = match &mut self.kind {
            Kind::Delimited(rows) => rows.next_row()?.map(|row| fit(row, self.columns)),
            Kind::Json { rows, waiting, places } => {
                while waiting.is_empty() {
                    let Some(element) = rows.next_element()? else { return Ok(None) };
                    waiting.extend(json_rows(element, places, self.columns));
                }
                waiting.pop_front()
            }
        };
        Ok(row.map(check_cells))
    }
}

fn json_rows(element: super::json::Element, places: &HashMap<String, usize>, columns: usize) -> Vec<RawRow> {
    let line = element.line;
    let list = match element.rows {
        Ok(list) => list,
        Err(reason) => {
            let hint = "check the object with a JSON formatter".to_owned();
            let problem = Some(Problem { column: None, reason, hint });
            return vec![RawRow { line, cells: vec![String::new(); columns], problem }];
        }
    };
    let to_row = |pairs: Vec<(String, String)>| {
        let mut cells = vec![String::new(); columns];
        for (name, value) in pairs {
            if let Some(cell) = places.get(&name).and_then(|at| cells.get_mut(*at)) {
                *cell = value;
            }
        }
        RawRow { line, cells, problem: None }
    };
    list.into_iter().map(to_row).collect()
}

/// Cells beyond the header are a problem when they hold anything; missing ones are empty.
fn fit(mut row: RawRow, columns: usize) -> RawRow {
    let found = row.cells.len();
    let filled = row.cells.iter().rposition(|cell| !cell.trim().is_empty()).map_or(0, |at| at + 1);
    if filled > columns && row.problem.is_none() {
        row.problem = Some(Problem {
            column: None,
            reason: format!("the row has {found} cells, the header has {columns}"),
            hint: "put a cell that holds the delimiter between quotes".to_owned(),
        });
    }
    row.cells.resize(columns, String::new());
    row
}

/// A giant cell is cut, and makes its row an error.
fn check_cells(mut row: RawRow) -> RawRow {
    for (column, cell) in row.cells.iter_mut().enumerate() {
        if cell.len() > CELL_BYTES_MAX {
            let bytes = cell.len();
            let mut keep = 4096;
            while !cell.is_char_boundary(keep) {
                keep -= 1;
            }
            cell.truncate(keep);
            cell.shrink_to_fit();
            row.problem.get_or_insert(Problem {
                column: Some(column),
                reason: format!("the cell has {bytes} bytes, at most {CELL_BYTES_MAX} are read"),
                hint: "shorten the cell, or check for a missing quote".to_owned(),
            });
        }
    }
    row
}
