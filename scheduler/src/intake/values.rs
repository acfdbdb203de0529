//! What is inside a cell: markup turned into plain text, sizes with units, trade numbers,
//! lists, and numbers that a spreadsheet has mangled.

use serde::Deserialize;

/// Characters of a description that are kept; no channel shows more.
pub const DESCRIPTION_CHARS_MAX: usize = 5_000;
/// Characters of a title and other short texts that are kept.
pub const SHORT_CHARS_MAX: usize = 500;

/// Text with tags, comments, scripts and styles removed, entities decoded, control
/// characters and runs of white space as one space; at most `chars_max` characters.
pub(crate) fn plain_text(markup: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(markup.len().min(chars_max * 4));
    let (mut kept, mut space) = (0, false);
    let mut rest = markup;
    while let Some(c) = rest.chars().next() {
        let (text, length) = match c {
            '<' => match tag_length(rest) {
                Some(length) => (Some(' '), length),
                None => (Some('<'), 1),
            },
            '&' => entity(rest).unwrap_or((Some('&'), 1)),
            other => (Some(other), other.len_utf8()),
        };
        rest = rest.get(length..).unwrap_or_default();
        let Some(c) = text else { continue };
        if c.is_whitespace() || c.is_control() || c == '\u{feff}' {
            space = true;
            continue;
        }
        if space && !out.is_empty() {
            out.push(' ');
            kept += 1;
        }
        space = false;
        if kept >= chars_max {
            break;
        }
        out.push(c);
        kept += 1;
    }
    out
}

/// A short text: as [`plain_text`], at most [`SHORT_CHARS_MAX`] characters.
pub(crate) fn short_text(markup: &str) -> String {
    plain_text(markup, SHORT_CHARS_MAX)
}

/// Length of the tag, comment, script or style that `text` begins with; `None` when the
/// `<` is only a sign ("a < b").
fn tag_length(text: &str) -> Option<usize> {
    if text.starts_with("<!--") {
        return Some(text.find("-->").map_or(text.len(), |at| at + 3));
    }
    let next = text.as_bytes().get(1)?;
    if !(next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?')) {
        return None;
    }
    let end = text.find('>')? + 1;
    for element in ["script", "style"] {
        let named = text.get(1..=element.len()).is_some_and(|name| name.eq_ignore_ascii_case(element));
        if named && text.as_bytes().get(1 + element.len()).is_some_and(|b| !b.is_ascii_alphanumeric()) {
            // Whatever is inside is not text for people; unclosed, it reaches to the end.
            let mut from = end;
            while let Some(at) = text.get(from..).and_then(|rest| rest.find("</")) {
                let closing = from + at;
                if text
                    .get(closing + 2..closing + 2 + element.len())
                    .is_some_and(|n| n.eq_ignore_ascii_case(element))
                {
                    return Some(
                        text.get(closing..)
                            .and_then(|r| r.find('>'))
                            .map_or(text.len(), |at| closing + at + 1),
                    );
                }
                from = closing + 2;
            }
            return Some(text.len());
        }
    }
    Some(end)
}

/// The character of the entity that `text` begins with, and its length.
fn entity(text: &str) -> Option<(Option<char>, usize)> {
    let end = text.bytes().take(12).position(|b| b == b';')?;
    let name = text.get(1..end)?;
    let c = if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        char::from_u32(code)
    } else {
        let known = [
            ("amp", '&'),
            ("lt", '<'),
            ("gt", '>'),
            ("quot", '"'),
            ("apos", '\''),
            ("nbsp", ' '),
            ("ndash", '–'),
            ("mdash", '—'),
            ("lsquo", '‘'),
            ("rsquo", '’'),
            ("ldquo", '“'),
            ("rdquo", '”'),
            ("hellip", '…'),
            ("bull", '•'),
            ("middot", '·'),
            ("times", '×'),
            ("deg", '°'),
            ("reg", '®'),
            ("copy", '©'),
            ("trade", '™'),
            ("euro", '€'),
            ("pound", '£'),
            ("frac12", '½'),
            ("eacute", 'é'),
            ("egrave", 'è'),
            ("agrave", 'à'),
            ("ccedil", 'ç'),
            ("auml", 'ä'),
            ("ouml", 'ö'),
            ("uuml", 'ü'),
            ("Auml", 'Ä'),
            ("Ouml", 'Ö'),
            ("Uuml", 'Ü'),
            ("szlig", 'ß'),
            ("ntilde", 'ñ'),
            ("shy", '\u{ad}'),
        ];
        Some(known.iter().find(|(n, _)| *n == name)?.1)
    };
    Some((c.filter(|c| *c != '\u{ad}'), end + 1))
}

/// A unit of length or mass.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Unit {
    /// Millimetres per unit.
    Length(f64),
    /// Grams per unit.
    Mass(f64),
}

impl Unit {
    /// `cm`, `inches`, `kg`, ... in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('.').to_lowercase();
        Some(match text.as_str() {
            "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" => Self::Length(1.0),
            "cm" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => Self::Length(10.0),
            "m" | "meter" | "meters" | "metre" | "metres" => Self::Length(1000.0),
            "in" | "inch" | "inches" | "\"" | "″" | "''" => Self::Length(25.4),
            "ft" | "foot" | "feet" | "'" | "′" => Self::Length(304.8),
            "mg" => Self::Mass(0.001),
            "g" | "gr" | "gram" | "grams" => Self::Mass(1.0),
            "kg" | "kilogram" | "kilograms" | "kilo" => Self::Mass(1000.0),
            "oz" | "ounce" | "ounces" => Self::Mass(28.349_523_125),
            "lb" | "lbs" | "pound" | "pounds" => Self::Mass(453.592_37),
            _ => return None,
        })
    }
}

impl TryFrom<String> for Unit {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("not a unit: {text:?}"))
    }
}

/// A size in mm or g, over 0; or what is wrong with the cell.
pub(crate) fn measure(text: &str, column_unit: Option<Unit>, mass: bool) -> Result<f64, &'static str> {
    let text = text.trim();
    let split =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | ' '))).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let value = decimal(number.trim()).ok_or("not a number with a unit")?;
    let unit =
        if unit.trim().is_empty() { column_unit } else { Some(Unit::parse(unit).ok_or("unknown unit")?) };
    let in_base = match unit {
        None => return Err("a number without a unit"),
        Some(Unit::Length(mm)) if !mass => value * mm,
        Some(Unit::Mass(g)) if mass => value * g,
        Some(Unit::Length(_) | Unit::Mass(_)) => return Err("a unit of another kind"),
    };
    // 100 m and 100 t: what is larger is a slip, and would ruin a comparison of sizes.
    let limit = if mass { 100_000_000.0 } else { 100_000.0 };
    if in_base > 0.0 && in_base <= limit { Ok(in_base) } else { Err("out of range") }
}

/// Reads 12.5, 12,5, 1,200.5 and 1.200,5; a lone comma before exactly three digits parts
/// thousands.
fn decimal(text: &str) -> Option<f64> {
    let text: String = text.chars().filter(|c| *c != ' ').collect();
    let plain = match (text.rfind('.'), text.rfind(',')) {
        (Some(point), Some(comma)) if comma > point => text.replace('.', "").replace(',', "."),
        (None, Some(comma)) if text.len() - comma - 1 != 3 && text.matches(',').count() == 1 => {
            text.replace(',', ".")
        }
        (_, Some(_)) => text.replace(',', ""),
        (_, None) => text,
    };
    plain.parse::<f64>().ok().filter(|v| v.is_finite())
}

/// Whether a spreadsheet has turned a long number into 1.23E+12.
pub(crate) fn is_mangled(text: &str) -> bool {
    let Some((digits, power)) = text.trim().split_once(['E', 'e']) else { return false };
    let Some(power) = power.strip_prefix('+') else { return false };
    let mut parts = digits.split(['.', ',']);
    let whole = parts.next().unwrap_or_default();
    let all_digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    whole.len() == 1
        && all_digits(whole)
        && parts.next().is_none_or(all_digits)
        && parts.next().is_none()
        && all_digits(power)
}

/// What a trade number turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gtin {
    /// 8, 12, 13 or 14 digits whose check digit fits.
    Good(String),
    /// Leading zeros that a spreadsheet drops were put back.
    Padded(String),
    /// Not usable, and why.
    Bad(&'static str),
}

/// Checks a GTIN (GS1 General Specifications, section 7.9: weights 3 and 1 from the right).
pub(crate) fn gtin(text: &str) -> Gtin {
    if is_mangled(text) {
        return Gtin::Bad("rounded by a spreadsheet, digits are lost");
    }
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '\'')).collect();
    let digits = digits.strip_suffix(".0").unwrap_or(&digits);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Gtin::Bad("not a number");
    }
    if digits.len() < 6 || digits.len() > 14 {
        return Gtin::Bad("a trade number has 8, 12, 13 or 14 digits");
    }
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, b)| u32::from(b - b'0') * if place % 2 == 1 { 3 } else { 1 })
        .sum();
    if !sum.is_multiple_of(10) || digits.bytes().all(|b| b == b'0') {
        return Gtin::Bad("the check digit does not fit");
    }
    match digits.len() {
        8 | 12..=14 => Gtin::Good(digits.to_owned()),
        6 | 7 => Gtin::Padded(format!("{digits:0>8}")),
        _ => Gtin::Padded(format!("{digits:0>12}")),
    }
}

/// The entries of an image cell: a JSON array of texts or of objects with an address,
/// lines, or parts between `|`; between `,` or `;` only when each part looks like an image
/// by itself, since both may stand in names and addresses.
pub(crate) fn image_list(cell: &str) -> Vec<String> {
    let cell = cell.trim();
    if (cell.starts_with('[') || cell.starts_with('{'))
        && let Ok(value) = serde_json::from_str::<serde_json::Value>(cell)
    {
        let mut out = Vec::new();
        image_values(&value, &mut out);
        return out;
    }
    let parts: Vec<&str> = if cell.contains(['\n', '\r', '|']) {
        cell.split(['\n', '\r', '|']).collect()
    } else {
        let pieces: Vec<&str> = cell.split([',', ';']).collect();
        if pieces.iter().all(|p| p.trim().is_empty() || looks_like_image(p)) { pieces } else { vec![cell] }
    };
    parts.into_iter().map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned).collect()
}

fn image_values(value: &serde_json::Value, out: &mut Vec<String>) {
    use serde_json::Value;
    match value {
        Value::String(text) if !text.trim().is_empty() => out.push(text.trim().to_owned()),
        Value::Array(list) => list.iter().for_each(|item| image_values(item, out)),
        Value::Object(object) => {
            let known = ["src", "url", "link", "href", "path", "file", "image"];
            if let Some(value) = known.iter().find_map(|key| object.get(*key)) {
                image_values(value, out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn looks_like_image(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    text.starts_with("http://") || text.starts_with("https://") || super::images::is_image_name(&text)
}

/// Items of a list cell: between `;`, `|` or line breaks; else between commas.
pub(crate) fn item_list(cell: &str) -> Vec<String> {
    if cell.trim().starts_with('[')
        && let Ok(list) = serde_json::from_str::<Vec<String>>(cell)
    {
        return list.iter().map(|item| short_text(item)).filter(|i| !i.is_empty()).take(50).collect();
    }
    let strong = cell.contains([';', '|', '\n']);
    let parts = cell.split(|c| if strong { matches!(c, ';' | '|' | '\n') } else { c == ',' });
    parts.map(short_text).filter(|i| !i.is_empty()).take(50).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn markup_becomes_plain_text() {
        let table = [
            ("<p>Hello <b>you</b></p>", "Hello you"),
            ("a &lt; b &amp; c&nbsp;&#8211; d", "a < b & c – d"),
            ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
            ("<script>alert('<p>')</script>x", "x"),
            ("<STYLE>p{}</style >y<!-- z -->", "y"),
            ("<script>never closed", ""),
            ("<b never closed", "<b never closed"),
            ("&bogus; &#xD800; &#99999999999;", "&bogus; &#99999999999;"),
            ("a\0b\u{7}c", "a b c"),
            ("<scripted>ok", "ok"),
            ("é<br/>&", "é &"),
        ];
        for (markup, text) in table {
            assert_eq!(plain_text(markup, 100), text, "{markup}");
        }
        assert_eq!(plain_text(&"ä".repeat(1000), 10), "ä".repeat(10));
    }

    #[test]
    fn sizes_need_a_unit() {
        let cm = Unit::parse("cm");
        assert_eq!(measure("12 cm", None, false), Ok(120.0));
        assert_eq!(measure("12,5", cm, false), Ok(125.0));
        assert_eq!(measure("1.200,5 mm", None, false), Ok(1200.5));
        assert_eq!(measure("1,200mm", None, false), Ok(1200.0));
        assert_eq!(measure("4\"", None, false), Ok(101.6));
        assert_eq!(measure("0.5 kg", None, true), Ok(500.0));
        assert!(measure("12", None, false).is_err());
        assert!(measure("0 cm", None, false).is_err());
        assert!(measure("12 kg", None, false).is_err());
        assert!(measure("NaN cm", None, false).is_err());
        assert!(measure("-3 cm", None, false).is_err());
        assert!(measure("9e99 cm", None, false).is_err());
        assert!(measure(&"9".repeat(400), cm, false).is_err());
    }

    #[test]
    fn trade_numbers_are_checked() {
        assert_eq!(gtin("4006381333931"), Gtin::Good("4006381333931".into()));
        assert_eq!(gtin("36000291452"), Gtin::Padded("036000291452".into()));
        assert_eq!(gtin("4006381333931.0"), Gtin::Good("4006381333931".into()));
        assert!(matches!(gtin("4006381333932"), Gtin::Bad(_)));
        assert!(matches!(gtin("4.00638E+12"), Gtin::Bad(_)));
        assert!(matches!(gtin("0000000000000"), Gtin::Bad(_)));
    }

    #[test]
    fn mangled_numbers_are_seen() {
        for text in ["1.23E+12", "1E+15", "4,00638E+12"] {
            assert!(is_mangled(text), "{text}");
        }
        for text in ["E+12", "SE+1", "12E+3", "1.2.3E+4", "1E12", "A1E+2"] {
            assert!(!is_mangled(text), "{text}");
        }
    }

    #[test]
    fn image_cells_split_only_where_sure() {
        assert_eq!(image_list("a.jpg, b.png"), ["a.jpg", "b.png"]);
        assert_eq!(image_list("red, large.jpg"), ["red, large.jpg"]);
        assert_eq!(image_list("https://x/a?b=1,2"), ["https://x/a?b=1,2"]);
        assert_eq!(image_list("a.jpg|b.jpg\nc.jpg"), ["a.jpg", "b.jpg", "c.jpg"]);
        assert_eq!(image_list(r#"[{"src":"u"},"v",3]"#), ["u", "v"]);
        assert_eq!(image_list("  "), Vec::<String>::new());
    }
}
