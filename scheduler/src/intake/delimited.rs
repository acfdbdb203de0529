//! Rows of delimited text (CSV, TSV, `;`), one at a time, with recovery.
//!
//! This is written here and not taken from the `csv` crate because a quote that is never
//! closed makes an ordinary reader swallow every row behind it. Here such a row becomes
//! one error, and reading goes on with the next line.

use std::io;

use super::source::{Utf8Reader, Window};
use super::{Problem, RawRow};

/// A row longer than this is skipped and reported.
pub const ROW_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Cells beyond this many in one row are an error.
pub const CELLS_MAX: usize = 4096;
/// Lines that one quoted cell may span.
const CELL_LINES_MAX: u64 = 20_000;
/// After so many quotes that were never closed, quoted cells must end on their own line,
/// so that a hostile file cannot make every line search to the end.
const UNCLOSED_MAX: u32 = 50;

/// Reads rows, the header included.
#[derive(Debug)]
pub(crate) struct DelimitedRows {
    window: Window,
    delimiter: u8,
    line: u64,
    unclosed: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a cell.
    Start,
    /// In a cell without quotes; `stray` after text that followed a closing quote.
    Bare { stray: bool },
    /// Between quotes.
    Quoted,
    /// After a quote inside quotes, and so many spaces.
    Closing { spaces: usize },
}

/// The row being read.
struct Row {
    cells: Vec<String>,
    cell: Vec<u8>,
    count: usize,
    state: State,
    /// Where the quote in hand was opened: offset and line.
    opened: (usize, u64),
    line: u64,
}

impl Row {
    fn end_cell(&mut self) {
        if self.state == (State::Bare { stray: true }) && self.cell.last() == Some(&b'"') {
            self.cell.pop();
        }
        if self.count < CELLS_MAX {
            self.cells.push(String::from_utf8_lossy(&self.cell).into_owned());
        }
        self.count += 1;
        self.cell.clear();
        self.state = State::Start;
    }
}

impl DelimitedRows {
    pub(crate) fn new(reader: Utf8Reader, delimiter: u8) -> Self {
        Self { window: Window::new(reader), delimiter, line: 1, unclosed: 0 }
    }

    /// The next row that is not empty; `None` at the end.
    pub(crate) fn next_row(&mut self) -> io::Result<Option<RawRow>> {
        loop {
            if self.window.byte(0)?.is_none() {
                return Ok(None);
            }
            let row = self.read_row()?;
            if row.problem.is_some() || row.cells.iter().any(|cell| !cell.trim().is_empty()) {
                return Ok(Some(row));
            }
        }
    }

    fn read_row(&mut self) -> io::Result<RawRow> {
        let first_line = self.line;
        let mut row = Row {
            cells: Vec::new(),
            cell: Vec::new(),
            count: 0,
            state: State::Start,
            opened: (0, first_line),
            line: first_line,
        };
        let mut at = 0;
        loop {
            if at >= ROW_BYTES_MAX {
                return if row.state == State::Quoted { self.unclosed(row) } else { self.too_long(&row) };
            }
            let Some(byte) = self.window.byte(at)? else {
                if row.state == State::Quoted {
                    return self.unclosed(row);
                }
                row.end_cell();
                self.window.consume(at);
                self.line = row.line;
                return Ok(finish(first_line, row));
            };
            at += 1;
            if matches!(byte, b'\n' | b'\r') && row.state != State::Quoted {
                if byte == b'\r' && self.window.byte(at)? == Some(b'\n') {
                    at += 1;
                }
                row.end_cell();
                self.window.consume(at);
                self.line = row.line + 1;
                return Ok(finish(first_line, row));
            }
            if !self.step(&mut row, byte, at) {
                return self.unclosed(row);
            }
        }
    }

    /// Moves on by one byte that does not end the row; false: the open quote cannot be
    /// meant.
    fn step(&self, row: &mut Row, byte: u8, at: usize) -> bool {
        match row.state {
            State::Start | State::Bare { .. } if byte == self.delimiter => row.end_cell(),
            State::Start | State::Bare { stray: false }
                if byte == b'"' && row.cell.iter().all(|b| *b == b' ') =>
            {
                row.cell.clear();
                row.opened = (at, row.line);
                row.state = State::Quoted;
            }
            State::Start => {
                row.cell.push(byte);
                row.state = State::Bare { stray: false };
            }
            State::Bare { .. } => row.cell.push(byte),
            State::Quoted if byte == b'"' => row.state = State::Closing { spaces: 0 },
            State::Quoted => {
                row.cell.push(byte);
                if byte == b'\n' {
                    row.line += 1;
                    let spans = row.line - row.opened.1;
                    return spans <= CELL_LINES_MAX && self.unclosed < UNCLOSED_MAX;
                }
            }
            State::Closing { spaces: 0 } if byte == b'"' => {
                row.cell.push(b'"');
                row.state = State::Quoted;
            }
            State::Closing { .. } if byte == self.delimiter => row.end_cell(),
            State::Closing { spaces } if byte == b' ' => row.state = State::Closing { spaces: spaces + 1 },
            State::Closing { spaces } => {
                // Text behind a closing quote: a slip within one line (5" display), but
                // over several lines the sign that an earlier quote was never closed.
                if row.line > row.opened.1 {
                    return false;
                }
                row.cell.push(b'"');
                row.cell.extend(std::iter::repeat_n(b' ', spaces));
                row.cell.push(byte);
                row.state = State::Bare { stray: true };
            }
        }
        true
    }

    /// Gives up the row whose quote never closes and stands at the line behind that quote.
    fn unclosed(&mut self, mut row: Row) -> io::Result<RawRow> {
        self.unclosed += 1;
        let first_line = self.line;
        let (opened_at, opened_line) = row.opened;
        let mut end = opened_at;
        while let Some(byte) = self.window.byte(end)? {
            if matches!(byte, b'\n' | b'\r') {
                break;
            }
            end += 1;
        }
        let rest = self.window.seen(end).get(opened_at..).unwrap_or_default();
        let column = row.cells.len();
        row.cells.push(String::from_utf8_lossy(&rest[..rest.len().min(4096)]).into_owned());
        let mut skip = end;
        if self.window.byte(skip)? == Some(b'\r') {
            skip += 1;
        }
        if self.window.byte(skip)? == Some(b'\n') {
            skip += 1;
        }
        self.window.consume(skip);
        self.line = opened_line + 1;
        Ok(RawRow {
            line: first_line,
            cells: row.cells,
            problem: Some(Problem {
                column: Some(column),
                reason: "a quote is opened and never closed".to_owned(),
                hint: "close the quote, or write a quote inside quotes twice: \"\"".to_owned(),
            }),
        })
    }

    /// Skips the rest of a line that is longer than a row may be.
    fn too_long(&mut self, row: &Row) -> io::Result<RawRow> {
        let first_line = self.line;
        self.window.consume(ROW_BYTES_MAX);
        let mut ended_by = None;
        while let Some(byte) = self.window.byte(0)? {
            self.window.consume(1);
            if matches!(byte, b'\n' | b'\r') {
                ended_by = Some(byte);
                break;
            }
        }
        if ended_by == Some(b'\r') && self.window.byte(0)? == Some(b'\n') {
            self.window.consume(1);
        }
        self.line = row.line + 1;
        Ok(RawRow {
            line: first_line,
            cells: Vec::new(),
            problem: Some(Problem {
                column: None,
                reason: format!("the row is longer than {} MiB", ROW_BYTES_MAX / 1024 / 1024),
                hint: "is a line break or a closing quote missing?".to_owned(),
            }),
        })
    }
}

fn finish(line: u64, row: Row) -> RawRow {
    let problem = (row.count > CELLS_MAX).then(|| Problem {
        column: None,
        reason: format!("the row has {} cells, at most {CELLS_MAX} are read", row.count),
        hint: "is a line break missing?".to_owned(),
    });
    RawRow { line, cells: row.cells, problem }
}
