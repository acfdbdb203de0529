//! Which vendor's table this is, and which of its columns means what: data in
//! `profiles.toml`, read here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::values::Unit;

/// What a column can mean.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Field {
    /// The seller's identifier.
    Sku,
    /// What variants share.
    Group,
    /// Name.
    Title,
    /// Long text, perhaps with markup.
    Description,
    /// Brand or vendor.
    Brand,
    /// Category path.
    Category,
    /// Colour words.
    Colour,
    /// Material words.
    Material,
    /// References.
    Images,
    /// The variant's own reference.
    VariantImage,
    /// Physical size.
    Width,
    /// Physical size.
    Height,
    /// Physical size: depth or length.
    Depth,
    /// Mass.
    Weight,
    /// What else is in the box.
    Accessories,
    /// Trade number.
    Gtin,
    /// Maker's part number.
    Mpn,
    /// Amazon's number.
    Asin,
    /// Shopify's first option.
    Option1Name,
    /// Shopify's first option.
    Option1Value,
    /// Shopify's second option.
    Option2Name,
    /// Shopify's second option.
    Option2Value,
    /// Shopify's third option.
    Option3Name,
    /// Shopify's third option.
    Option3Value,
}

/// How rows become products.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Layout {
    /// One product a row; more rows of the same SKU add references.
    Rows,
    /// Rows grouped by handle.
    Shopify,
}

/// One vendor's table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) layout: Layout,
    required: Vec<String>,
    strong: Vec<String>,
    negative: Vec<String>,
    #[serde(default)]
    fallback_sku: Vec<String>,
    fields: BTreeMap<Field, Vec<String>>,
    #[serde(default)]
    units: BTreeMap<Field, Unit>,
}

#[derive(Deserialize)]
struct File {
    profile: Vec<Profile>,
}

/// The shipped profiles; a test reads the file, so an unreadable one never ships.
static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    toml::from_str::<File>(include_str!("profiles.toml")).map(|file| file.profile).unwrap_or_default()
});

/// Lower case, every run of other characters than letters and digits as one `_`.
pub(crate) fn normalise(name: &str) -> String {
    let mut out = String::with_capacity(name.len().min(200));
    for c in name.trim().chars().take(200) {
        if c.is_alphanumeric() {
            out.extend(c.to_lowercase());
        } else if !out.ends_with('_') && !out.is_empty() {
            out.push('_');
        }
    }
    out.truncate(out.trim_end_matches('_').len());
    out
}

impl Profile {
    /// The profile that fits these columns best; `None` when not even the generic one does.
    pub(crate) fn detect(columns: &[String]) -> Option<&'static Profile> {
        let names: Vec<String> = columns.iter().map(|c| normalise(c)).collect();
        let has = |name: &str| names.iter().any(|n| n == name);
        let fits = |p: &&Profile| {
            p.required.iter().all(|one_of| one_of.split('|').any(has)) && !p.negative.iter().any(|n| has(n))
        };
        let weight = |p: &Profile| {
            (p.required.len() * usize::from(!p.strong.is_empty()), p.strong.iter().filter(|n| has(n)).count())
        };
        // Reversed, so that the first of equals wins.
        PROFILES.iter().rev().filter(fits).max_by_key(|p| {
            let (r, s) = weight(p);
            r + s
        })
    }

    /// The columns that would have been taken for the SKU.
    pub(crate) fn sku_names() -> String {
        let generic = PROFILES.iter().find(|p| p.name == "generic");
        let names = generic
            .and_then(|p| p.fields.get(&Field::Sku))
            .map(|names| names.iter().take(4).cloned().collect::<Vec<_>>());
        names.unwrap_or_default().join(", ")
    }
}

/// Which columns of one file hold which field.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    fields: BTreeMap<Field, Vec<Source>>,
    fallback_sku: Vec<usize>,
    /// How rows become products.
    pub(crate) layout: Layout,
}

/// A column, and the unit that its name states or its profile knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) column: usize,
    pub(crate) unit: Option<Unit>,
}

impl Mapping {
    pub(crate) fn new(profile: &Profile, columns: &[String]) -> Self {
        let names: Vec<String> = columns.iter().map(|c| normalise(c)).collect();
        let mut fields = BTreeMap::new();
        for (field, aliases) in &profile.fields {
            let measured = matches!(field, Field::Width | Field::Height | Field::Depth | Field::Weight);
            let default = profile.units.get(field).copied();
            let mut found: Vec<Source> = Vec::new();
            for alias in aliases {
                let mut numbered = Vec::new();
                for (column, name) in names.iter().enumerate() {
                    let (stem, stated) = if measured { split_unit(name) } else { (name.as_str(), None) };
                    let number = matches(alias, name).or_else(|| matches(alias, stem));
                    if let Some(number) = number
                        && found.iter().all(|source| source.column != column)
                    {
                        numbered.push((number, Source { column, unit: stated.or(default) }));
                    }
                }
                numbered.sort_by_key(|(number, source)| (*number, source.column));
                found.extend(numbered.into_iter().map(|(_, source)| source));
            }
            if !found.is_empty() {
                fields.insert(*field, found);
            }
        }
        let fallback_sku =
            profile.fallback_sku.iter().filter_map(|n| names.iter().position(|name| name == n)).collect();
        Self { fields, fallback_sku, layout: profile.layout }
    }

    /// Columns of `field`, best first.
    pub(crate) fn columns(&self, field: Field) -> &[Source] {
        self.fields.get(&field).map_or(&[], Vec::as_slice)
    }

    /// The first of the field's columns that is not empty, trimmed.
    pub(crate) fn first<'a>(&self, field: Field, cells: &'a [String]) -> Option<(&'a str, Source)> {
        self.columns(field).iter().find_map(|source| {
            let text = cells.get(source.column)?.trim();
            (!text.is_empty()).then_some((text, *source))
        })
    }

    /// The same, or "".
    pub(crate) fn text<'a>(&self, field: Field, cells: &'a [String]) -> &'a str {
        self.first(field, cells).map_or("", |(text, _)| text)
    }

    /// The SKU of a row as the catalog has it, or joined from the fallback columns; "" when
    /// the row has none.
    pub(crate) fn sku(&self, cells: &[String]) -> String {
        let own = self.text(Field::Sku, cells);
        if !own.is_empty() {
            return own.to_owned();
        }
        let parts = self.fallback_sku.iter().filter_map(|column| cells.get(*column)).map(|text| text.trim());
        let parts: Vec<String> = parts
            .filter(|text| !text.is_empty() && *text != "Default Title")
            .map(|text| text.split_whitespace().collect::<Vec<_>>().join("-"))
            .collect();
        parts.join("-")
    }
}

/// `length_cm` is `length` in centimetres.
fn split_unit(name: &str) -> (&str, Option<Unit>) {
    name.rsplit_once('_')
        .and_then(|(stem, unit)| Unit::parse(unit).map(|unit| (stem, Some(unit))))
        .unwrap_or((name, None))
}

/// Whether a column's name is what an alias means, and the number in place of its `#`.
fn matches(alias: &str, name: &str) -> Option<u32> {
    if let Some(start) = alias.strip_suffix('*') {
        return name.starts_with(start).then_some(0);
    }
    if let Some(start) = alias.strip_suffix('#') {
        let digits = name.strip_prefix(start)?;
        return (!digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse().unwrap_or(0));
    }
    (alias == name).then_some(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn the_shipped_profiles_are_sound() {
        let file: File = toml::from_str(include_str!("profiles.toml")).unwrap();
        assert_eq!(PROFILES.len(), file.profile.len());
        for profile in &file.profile {
            let names = profile.fields.values().flatten().chain(&profile.required).chain(&profile.strong);
            for name in names.chain(&profile.negative).chain(&profile.fallback_sku) {
                for alias in name.split('|') {
                    let plain = alias.trim_end_matches(['#', '*']).trim_end_matches('_');
                    assert_eq!(normalise(plain), plain, "{}: aliases are normalised", profile.name);
                }
            }
            assert!(profile.fields.contains_key(&Field::Images), "{}", profile.name);
        }
    }

    #[test]
    fn the_best_fitting_profile_wins() {
        let table = [
            ("sku,title,image", Some("generic")),
            ("Handle,Title,Option1 Name,Option1 Value,Variant SKU,Image Src", Some("shopify")),
            ("id,title,image_link,availability", Some("google")),
            ("id,title,picture", Some("generic")),
            ("Handle,SKU,Title", Some("generic")),
            ("title,image", None),
        ];
        for (columns, expected) in table {
            let columns: Vec<String> = columns.split(',').map(str::to_owned).collect();
            assert_eq!(Profile::detect(&columns).map(|p| p.name.as_str()), expected, "{columns:?}");
        }
    }
}
