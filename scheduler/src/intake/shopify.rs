//! Shopify's product export, in which rows are not products: the rows of one handle hold
//! variants, extra images, or both, and each variant is a product of ours.

use std::collections::{HashSet, VecDeque};

use packshot_pipeline::catalog::Product;

use super::product::{Draft, Named, broken_row};
use super::profile::{Field, Mapping};
use super::table::Table;
use super::values::short_text;
use super::{Entry, Memory, RawRow, RowError, Warning};

/// Rows of one handle that are read together; Shopify allows 2,048 variants and 250 images.
pub(crate) const GROUP_ROWS_MAX: usize = 2_500;

const OPTIONS: [(Field, Field); 3] = [
    (Field::Option1Name, Field::Option1Value),
    (Field::Option2Name, Field::Option2Value),
    (Field::Option3Name, Field::Option3Value),
];
const COLOUR_WORDS: [&str; 8] =
    ["color", "colour", "colors", "colours", "farbe", "couleur", "kleur", "colore"];
const MATERIAL_WORDS: [&str; 5] = ["material", "materials", "fabric", "materiale", "stoff"];

/// A variant's row and the rows behind it that only add images, or one broken row.
struct Part {
    own: RawRow,
    more: Vec<RawRow>,
}

/// The products of one handle, in the order of their rows; rows without a variant belong
/// to the entry before them.
pub(crate) fn entries(
    table: &Table,
    memory: &mut Memory,
    handle: &str,
    rows: Vec<RawRow>,
) -> VecDeque<Entry> {
    let mut parts: Vec<Part> = Vec::new();
    for row in rows {
        match parts.last_mut() {
            Some(part) if part.own.problem.is_none() && row.problem.is_none() && !is_variant(table, &row) => {
                part.more.push(row);
            }
            _ => parts.push(Part { own: row, more: Vec::new() }),
        }
    }
    let group = Group::new(table, handle, &parts);
    let made: Vec<_> = parts.iter().map(|part| group.product(table, memory, &part.own)).collect();
    drop(group);
    let entry = |(part, made): (Part, Option<Made>)| match made {
        Some((product, warnings)) => {
            let mut rows = vec![part.own];
            rows.extend(part.more);
            Entry { rows, product, warnings }
        }
        None => broken_row(table, part.own),
    };
    parts.into_iter().zip(made).map(entry).collect()
}

type Made = (Result<Product, RowError>, Vec<Warning>);

fn is_variant(table: &Table, row: &RawRow) -> bool {
    let has = |field| !table.mapping.text(field, &row.cells).is_empty();
    has(Field::Sku) || OPTIONS.iter().any(|(_, value)| has(*value))
}

/// What the variants of one handle share.
struct Group<'a> {
    handle: &'a str,
    /// The first readable row: title, texts, option names.
    parent: Option<&'a RawRow>,
    images: Vec<Named>,
    /// Images that belong to one variant or another.
    variant_images: HashSet<String>,
    variants: usize,
}

impl<'a> Group<'a> {
    fn new(table: &Table, handle: &'a str, parts: &'a [Part]) -> Self {
        let good = || parts.iter().filter(|part| part.own.problem.is_none());
        let mapping = &table.mapping;
        let mut images = Vec::new();
        let mut variant_images = HashSet::new();
        for row in good().flat_map(|part| std::iter::once(&part.own).chain(&part.more)) {
            images.extend(column_images(mapping, Field::Images, row));
            variant_images.extend(column_images(mapping, Field::VariantImage, row).map(|named| named.text));
        }
        let parent = good().map(|part| &part.own).next();
        Self { handle, parent, images, variant_images, variants: good().count() }
    }

    /// The product of a variant's row; `None` when the row is broken.
    fn product(&self, table: &Table, memory: &mut Memory, own: &RawRow) -> Option<Made> {
        if own.problem.is_some() {
            return None;
        }
        let mapping = &table.mapping;
        let sku = table.sku_in_group(own, self.handle);
        // A variant's own photo first. Photos that belong to other variants would show
        // another colour or shape, so only photos of nobody in particular follow.
        let mut images: Vec<Named> = column_images(mapping, Field::VariantImage, own).collect();
        let mine: Vec<String> = images.iter().map(|named| named.text.clone()).collect();
        let differ = self.variant_images.len() > 1 && !mine.is_empty();
        let shared = self.images.iter().filter(|named| {
            let of_another = differ && self.variant_images.contains(&named.text);
            !mine.contains(&named.text) && !of_another
        });
        images.extend(shared.cloned());
        let suffix = if self.variants > 1 { options_text(mapping, own) } else { String::new() };
        let rows: Vec<&RawRow> = match self.parent {
            Some(parent) if !std::ptr::eq(parent, own) => vec![own, parent],
            _ => vec![own],
        };
        let mut draft = Draft::new(table, memory, &rows);
        let mut product = draft.finish(&sku, images, &suffix);
        if let Ok(product) = &mut product {
            product.group = Some(self.handle.to_owned()).filter(|handle| !handle.is_empty());
            for (words, text) in
                [(&COLOUR_WORDS[..], &mut product.colour), (&MATERIAL_WORDS[..], &mut product.material)]
            {
                if let Some(value) = self.option(mapping, own, words) {
                    *text = value;
                }
            }
        }
        let warnings = draft.warnings;
        Some((product, warnings))
    }

    /// The variant's value of the option that is named by one of `words`.
    fn option(&self, mapping: &Mapping, own: &RawRow, words: &[&str]) -> Option<String> {
        let parent = self.parent?;
        OPTIONS.iter().find_map(|(name, value)| {
            let name = mapping.text(*name, &parent.cells).to_lowercase();
            let value = mapping.text(*value, &own.cells);
            (words.contains(&name.as_str()) && !value.is_empty()).then(|| short_text(value))
        })
    }
}

/// " – Navy / L".
fn options_text(mapping: &Mapping, own: &RawRow) -> String {
    let values = OPTIONS.iter().map(|(_, value)| mapping.text(*value, &own.cells));
    let values: Vec<String> =
        values.filter(|v| !v.is_empty() && *v != "Default Title").map(short_text).collect();
    if values.is_empty() { String::new() } else { format!(" – {}", values.join(" / ")) }
}

/// The images of a field's columns in one row; an export has one address in a cell.
fn column_images<'a>(
    mapping: &'a Mapping,
    field: Field,
    row: &'a RawRow,
) -> impl Iterator<Item = Named> + 'a {
    mapping.columns(field).iter().filter_map(|source| {
        let text = row.cells.get(source.column)?.trim();
        (!text.is_empty()).then(|| Named { text: text.to_owned(), line: row.line, column: source.column })
    })
}
