//! One product from its rows: fields by the profile's mapping, references resolved, and
//! every doubt said as a warning.

use std::collections::BTreeMap;

use packshot_pipeline::catalog::{Dimensions, Product, ReferenceSource};
use packshot_pipeline::ids::Sku;

use super::images::{BadPath, REFERENCES_MAX};
use super::profile::{Field, Mapping};
use super::table::Table;
use super::values::{self, Gtin};
use super::{Entry, Memory, RawRow, RowError, Warning};

/// The entry of a row that could not even be parted into cells.
pub(crate) fn broken_row(table: &Table, row: RawRow) -> Entry {
    let mut error = RowError {
        line: row.line,
        column: None,
        sku: Some(table.mapping.sku(&row.cells)).filter(|sku| !sku.is_empty() && sku.len() <= 200),
        reason: "the row cannot be read".to_owned(),
        hint: None,
    };
    if let Some(problem) = &row.problem {
        error.column = problem.column.and_then(|at| table.columns.get(at)).cloned();
        error.reason.clone_from(&problem.reason);
        error.hint = Some(problem.hint.clone());
    }
    Entry { rows: vec![row], product: Err(error), warnings: Vec::new() }
}

/// Entries of the image cells, for telling whether a row adds one.
pub(crate) fn image_cells(mapping: &Mapping, cells: &[String]) -> Vec<String> {
    let columns = mapping.columns(Field::Images).iter();
    columns.filter_map(|source| cells.get(source.column)).flat_map(|cell| values::image_list(cell)).collect()
}

/// The entry of the generic layout: `rows` has at least one row, all of the same SKU.
pub(crate) fn from_rows(table: &Table, memory: &mut Memory, rows: Vec<RawRow>) -> Entry {
    let sku = rows.first().map(|row| table.mapping.sku(&row.cells)).unwrap_or_default();
    let (product, warnings) = {
        let all: Vec<&RawRow> = rows.iter().collect();
        let mut draft = Draft::new(table, memory, &all);
        let mut images = draft.images_of(Field::VariantImage, &all);
        images.extend(draft.images_of(Field::Images, &all));
        draft.warn_of_other_titles();
        let product = draft.finish(&sku, images, "");
        (product, draft.warnings)
    };
    Entry { rows, product, warnings }
}

/// An entry of an image cell, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    pub(crate) text: String,
    pub(crate) line: u64,
    pub(crate) column: usize,
}

/// A product in the making.
pub(crate) struct Draft<'a> {
    table: &'a Table,
    memory: &'a mut Memory,
    /// The product's own row first, then those that fill its gaps.
    rows: &'a [&'a RawRow],
    pub(crate) warnings: Vec<Warning>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(table: &'a Table, memory: &'a mut Memory, rows: &'a [&'a RawRow]) -> Self {
        Self { table, memory, rows, warnings: Vec::new() }
    }

    fn line(&self) -> u64 {
        self.rows.first().map_or(0, |row| row.line)
    }

    fn warn(&mut self, line: u64, column: Option<usize>, reason: String) {
        let column = column.and_then(|at| self.table.columns.get(at)).cloned();
        self.warnings.push(Warning { line, column, reason });
    }

    /// The first text of `field` in any row: cell, its column and line.
    fn find(&self, field: Field) -> Option<(&'a str, super::profile::Source, u64)> {
        self.rows.iter().find_map(|row| {
            self.table.mapping.first(field, &row.cells).map(|(text, source)| (text, source, row.line))
        })
    }

    /// The same in the product's own row only.
    fn own(&self, field: Field) -> Option<(&'a str, super::profile::Source, u64)> {
        let row = self.rows.first()?;
        self.table.mapping.first(field, &row.cells).map(|(text, source)| (text, source, row.line))
    }

    fn short(&self, field: Field) -> String {
        self.find(field).map(|(text, _, _)| values::short_text(text)).unwrap_or_default()
    }

    /// Image entries of all of the field's columns in `rows`.
    pub(crate) fn images_of(&self, field: Field, rows: &[&RawRow]) -> Vec<Named> {
        let mut out = Vec::new();
        for row in rows {
            for source in self.table.mapping.columns(field) {
                let cell = row.cells.get(source.column).map_or("", String::as_str);
                let list = values::image_list(cell).into_iter();
                out.extend(list.map(|text| Named { text, line: row.line, column: source.column }));
            }
        }
        out
    }

    fn warn_of_other_titles(&mut self) {
        let Some((title, source, _)) = self.find(Field::Title) else { return };
        let other = self.rows.iter().find(|row| {
            let text = self.table.mapping.text(Field::Title, &row.cells);
            !text.is_empty() && text != title
        });
        if let Some(line) = other.map(|row| row.line) {
            let reason = "rows of one SKU have different titles, the first is used".to_owned();
            self.warn(line, Some(source.column), reason);
        }
    }

    /// Makes the product. `images` are tried in order; `title_suffix` tells variants apart.
    pub(crate) fn finish(
        &mut self,
        sku: &str,
        images: Vec<Named>,
        title_suffix: &str,
    ) -> Result<Product, RowError> {
        let line = self.line();
        let sku = self.checked_sku(sku)?;
        let references = self.references(&sku, images)?;
        let mut title = self.short(Field::Title);
        title.push_str(title_suffix);
        let description = self.find(Field::Description).map_or("", |(text, _, _)| text);
        let product = Product {
            title,
            description: values::plain_text(description, values::DESCRIPTION_CHARS_MAX),
            category: self.short(Field::Category),
            brand: self.short(Field::Brand),
            colour: self.short(Field::Colour),
            material: self.short(Field::Material),
            dimensions: self.dimensions(),
            accessories: self
                .find(Field::Accessories)
                .map(|(t, _, _)| values::item_list(t))
                .unwrap_or_default(),
            group: Some(self.short(Field::Group)).filter(|group| !group.is_empty()),
            references,
            codes: self.codes(),
            line,
            sku,
        };
        self.warn_of_torn_text();
        Ok(product)
    }

    fn error(&self, field: Option<Field>, sku: &str, reason: String, hint: &str) -> RowError {
        let column = field.and_then(|field| {
            let place = self.own(field).map(|(_, source, _)| source.column);
            place.or_else(|| self.table.mapping.columns(field).first().map(|source| source.column))
        });
        RowError {
            line: self.line(),
            column: column.and_then(|at| self.table.columns.get(at)).cloned(),
            sku: Some(sku.chars().take(200).collect::<String>()).filter(|sku| !sku.is_empty()),
            reason,
            hint: Some(hint.to_owned()).filter(|hint| !hint.is_empty()),
        }
    }

    fn checked_sku(&mut self, text: &str) -> Result<Sku, RowError> {
        let line = self.line();
        let sku = Sku::new(text).map_err(|bad| {
            self.error(Some(Field::Sku), text, bad.to_string(), "give the product a short SKU of its own")
        })?;
        if let Some(first) = self.memory.first_line(sku.as_str(), line) {
            return Err(self.error(
                Some(Field::Sku),
                sku.as_str(),
                format!("the SKU {sku} of line {line} is already used on line {first}"),
                "give each product its own SKU; rows that add photos to one SKU must follow each other",
            ));
        }
        let column = self.own(Field::Sku).map(|(_, source, _)| source.column);
        if let Some(first) = self.memory.line_of_other_case(sku.as_str(), line) {
            self.warn(
                line,
                column,
                format!("the SKU {sku} differs only in case from the one on line {first}"),
            );
        }
        if values::is_mangled(sku.as_str()) {
            let reason = format!(
                "the SKU {sku} looks like a number that a spreadsheet has rounded; format the column as text and export again"
            );
            self.warn(line, column, reason);
        }
        Ok(sku)
    }

    fn references(&mut self, sku: &Sku, images: Vec<Named>) -> Result<Vec<ReferenceSource>, RowError> {
        let mut references: Vec<ReferenceSource> = Vec::new();
        let mut refused: Vec<(Named, String)> = Vec::new();
        let surplus = images.len().saturating_sub(REFERENCES_MAX);
        for named in images.into_iter().take(REFERENCES_MAX) {
            match self.reference(&named.text) {
                Ok(reference) if references.contains(&reference) => {}
                Ok(reference) => references.push(reference),
                Err(reason) => refused.push((named, reason)),
            }
        }
        if references.is_empty() {
            self.memory.index_images(self.table);
            let found = self.memory.images.by_sku(sku.as_str());
            references.extend(found.into_iter().map(ReferenceSource::File));
        }
        if references.is_empty() {
            let root = self.memory.images.root().display().to_string();
            let Some((named, reason)) = refused.into_iter().next() else {
                let hint = format!("fill the image column, or put {sku}.jpg into {root}");
                return Err(self.error(
                    Some(Field::Images),
                    sku.as_str(),
                    format!("no reference photo for {sku}"),
                    &hint,
                ));
            };
            let hint = format!("images are looked for in {root}; name another folder with --images");
            let mut error =
                self.error(None, sku.as_str(), format!("no reference photo for {sku}: {reason}"), &hint);
            error.line = named.line;
            error.column = self.table.columns.get(named.column).cloned();
            return Err(error);
        }
        for (named, reason) in refused {
            self.warn(named.line, Some(named.column), format!("reference left out: {reason}"));
        }
        if surplus > 0 {
            let line = self.line();
            self.warn(
                line,
                None,
                format!("{surplus} references left out, at most {REFERENCES_MAX} are used"),
            );
        }
        Ok(references)
    }

    fn reference(&mut self, text: &str) -> Result<ReferenceSource, String> {
        let shown = || text.chars().take(120).collect::<String>();
        let text = if text.starts_with("//") { format!("https:{text}") } else { text.to_owned() };
        let lower: String = text.chars().take(8).flat_map(char::to_lowercase).collect();
        if lower.starts_with("http://") || lower.starts_with("https://") {
            let parsed =
                url::Url::parse(&text).map_err(|e| format!("{:?} is not an address: {e}", shown()))?;
            if text.len() > 4096 || parsed.host_str().is_none_or(str::is_empty) {
                return Err(format!("{:?} is not an address", shown()));
            }
            return Ok(ReferenceSource::Url(parsed.into()));
        }
        if text.contains("://") || lower.starts_with("data:") {
            return Err(format!("{:?} is not an http or https address", shown()));
        }
        match self.memory.images.resolve(&text) {
            Ok(path) => Ok(ReferenceSource::File(path)),
            Err(missing @ BadPath::Missing(_)) => {
                self.memory.index_images(self.table);
                let found = self.memory.images.by_file_name(&text);
                found.map(ReferenceSource::File).ok_or_else(|| missing.to_string())
            }
            Err(bad) => Err(bad.to_string()),
        }
    }

    fn dimensions(&mut self) -> Dimensions {
        Dimensions {
            width_mm: self.measure(Field::Width),
            height_mm: self.measure(Field::Height),
            depth_mm: self.measure(Field::Depth),
            weight_g: self.measure(Field::Weight),
        }
    }

    fn measure(&mut self, field: Field) -> Option<f64> {
        let mass = field == Field::Weight;
        let (text, source, line) = if mass { self.own(field)? } else { self.find(field)? };
        // Exports write 0 where nothing is known.
        if text.bytes().all(|b| matches!(b, b'0' | b'.' | b',')) {
            return None;
        }
        match values::measure(text, source.unit, mass) {
            Ok(value) => Some(value),
            Err(why) => {
                if self.memory.warn_once(source.column, why) {
                    let example = if mass { "250 g" } else { "12 cm" };
                    let shown: String = text.chars().take(40).collect();
                    let reason =
                        format!("{shown:?} is not used: {why}; write {example} (said once per column)");
                    self.warn(line, Some(source.column), reason);
                }
                None
            }
        }
    }

    fn codes(&mut self) -> BTreeMap<String, String> {
        let mut codes = BTreeMap::new();
        if let Some((text, source, line)) = self.own(Field::Gtin) {
            match values::gtin(text) {
                Gtin::Good(digits) => {
                    codes.insert("gtin".to_owned(), digits);
                }
                Gtin::Padded(digits) => {
                    self.warn(line, Some(source.column), format!("leading zeros put back: {digits}"));
                    codes.insert("gtin".to_owned(), digits);
                }
                Gtin::Bad(why) => {
                    let shown: String = text.chars().take(40).collect();
                    self.warn(
                        line,
                        Some(source.column),
                        format!("the trade number {shown:?} is not used: {why}"),
                    );
                }
            }
        }
        for (name, field) in [("mpn", Field::Mpn), ("asin", Field::Asin)] {
            if let Some((text, _, _)) = self.own(field) {
                codes.insert(name.to_owned(), values::short_text(text));
            }
        }
        codes
    }

    fn warn_of_torn_text(&mut self) {
        let torn = self.rows.iter().find_map(|row| {
            row.cells.iter().position(|cell| cell.contains('\u{fffd}')).map(|column| (row.line, column))
        });
        if let Some((line, column)) = torn {
            let reason = "some characters could not be decoded; save the catalog as UTF-8".to_owned();
            self.warn(line, Some(column), reason);
        }
    }
}
