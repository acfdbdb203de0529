//! The settings of the edit operations, declared once: the same table parses what a user
//! typed, explains what was wrong with it, and prints the help.
//!
//! Values arrive as text because that is how the command line, a job and a stored verdict
//! carry them. Unknown keys and values out of range are refused before any pixel is read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use packshot_imaging::photo::Rect;
use packshot_pipeline::finding::EditOp;

use super::table;

/// One setting of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The value when the key is not given, as the user would write it.
    pub default: &'static str,
    /// What it does, for the help text.
    pub help: &'static str,
}

/// What values a setting takes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A real number in this closed range.
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// A real number in this closed range, or the word `auto`.
    NumberOrAuto {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// A whole number of pixels up to `max`.
    Pixels {
        /// Largest.
        max: u32,
    },
    /// `#rrggbb`, or the word `auto`.
    Colour,
    /// `x,y,w,h` in pixels, or the word `none`.
    Rect,
    /// Width to height as `4:5`, or the word `none`.
    Ratio,
    /// A picture. The caller decodes the file and hands over its pixels in
    /// [`EditRequest::picture`](super::EditRequest::picture); the text itself is not read here.
    Picture,
}

impl Kind {
    /// The values in words, for help and errors.
    pub fn words(self) -> String {
        match self {
            Kind::Choice(words) => words.join("|"),
            Kind::Number { min, max } => format!("{min} to {max}"),
            Kind::NumberOrAuto { min, max } => format!("auto, or {min} to {max}"),
            Kind::Pixels { max } => format!("0 to {max} px"),
            Kind::Colour => "#rrggbb or auto".into(),
            Kind::Rect => "x,y,w,h in px or none".into(),
            Kind::Ratio => "w:h such as 4:5, or none".into(),
            Kind::Picture => "image file".into(),
        }
    }

    fn parse(self, text: &str) -> Option<Value> {
        match self {
            Kind::Choice(words) => words.iter().find(|word| **word == text).map(|word| Value::Word(word)),
            Kind::Number { min, max } => number(text, min, max).map(|n| Value::Number(Some(n))),
            Kind::NumberOrAuto { .. } if text == "auto" => Some(Value::Number(None)),
            Kind::NumberOrAuto { min, max } => number(text, min, max).map(|n| Value::Number(Some(n))),
            Kind::Pixels { max } => text.parse().ok().filter(|n| *n <= max).map(Value::Pixels),
            Kind::Colour if text == "auto" => Some(Value::Colour(None)),
            Kind::Colour => colour(text).map(|rgb| Value::Colour(Some(rgb))),
            Kind::Rect if text == "none" => Some(Value::Rect(None)),
            Kind::Rect => rect(text).map(|rect| Value::Rect(Some(rect))),
            Kind::Ratio if text == "none" => Some(Value::Ratio(None)),
            Kind::Ratio => ratio(text).map(|ratio| Value::Ratio(Some(ratio))),
            Kind::Picture => Some(Value::Picture),
        }
    }
}

/// A setting that cannot be used as it stands.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettingError {
    /// No such key.
    #[error("{op} has no setting `{name}`; it has {valid}")]
    Unknown {
        /// The operation's word.
        op: &'static str,
        /// The key as given.
        name: String,
        /// The keys there are, separated by commas.
        valid: String,
    },
    /// The key is known, the value is not.
    #[error("{op} setting `{name}` cannot be `{value}`; give {wanted}")]
    Value {
        /// The operation's word.
        op: &'static str,
        /// The key.
        name: &'static str,
        /// The value as given, cut to 60 characters.
        value: String,
        /// What it takes.
        wanted: String,
    },
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Value {
    Word(&'static str),
    Number(Option<f64>),
    Pixels(u32),
    Colour(Option<[u8; 3]>),
    Rect(Option<Rect>),
    Ratio(Option<f64>),
    Picture,
}

/// The settings of one request, every key of the operation present.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    values: BTreeMap<&'static str, Value>,
}

/// Reads `given` against the table of `op`; all errors at once.
pub(super) fn parse(op: EditOp, given: &BTreeMap<String, String>) -> Result<Settings, Vec<SettingError>> {
    let table = table::settings(op);
    let mut errors = Vec::new();
    for name in given.keys().filter(|name| table.iter().all(|setting| setting.name != *name)) {
        let valid = table.iter().map(|setting| setting.name).collect::<Vec<_>>().join(", ");
        let valid = if valid.is_empty() { "none".into() } else { valid };
        errors.push(SettingError::Unknown { op: op.word(), name: cut(name), valid });
    }
    let mut values = BTreeMap::new();
    for setting in table {
        let text = given.get(setting.name).map_or(setting.default, |text| text.trim());
        match setting.kind.parse(text) {
            Some(value) => drop(values.insert(setting.name, value)),
            None => errors.push(SettingError::Value {
                op: op.word(),
                name: setting.name,
                value: cut(text),
                wanted: setting.kind.words(),
            }),
        }
    }
    if errors.is_empty() { Ok(Settings { values }) } else { Err(errors) }
}

/// The settings of `op` as help text, one line each.
pub fn help(op: EditOp) -> String {
    let mut text = String::new();
    for Setting { name, kind, default, help } in table::settings(op) {
        let default = if default.is_empty() { String::new() } else { format!(", default {default}") };
        let _ = writeln!(text, "{name:<12} {help} ({}{default})", kind.words());
    }
    text
}

// A getter asked for a key that its operation does not declare answers with a neutral value
// in production and stops the tests, which run every operation with its defaults.
impl Settings {
    /// The word of a [`Kind::Choice`].
    pub(super) fn word(&self, name: &str) -> &'static str {
        if let Some(Value::Word(word)) = self.values.get(name) {
            return word;
        }
        debug_assert!(false, "no choice setting {name}");
        ""
    }

    /// The value of a [`Kind::Number`].
    pub(super) fn number(&self, name: &str) -> f64 {
        self.number_or_auto(name).unwrap_or(0.0)
    }

    /// The value of a [`Kind::NumberOrAuto`]; `None` = auto.
    pub(super) fn number_or_auto(&self, name: &str) -> Option<f64> {
        if let Some(Value::Number(number)) = self.values.get(name) {
            return *number;
        }
        debug_assert!(false, "no number setting {name}");
        None
    }

    /// The value of a [`Kind::Pixels`].
    pub(super) fn pixels(&self, name: &str) -> u32 {
        if let Some(Value::Pixels(pixels)) = self.values.get(name) {
            return *pixels;
        }
        debug_assert!(false, "no pixel setting {name}");
        0
    }

    /// The value of a [`Kind::Colour`]; `None` = auto.
    pub(super) fn colour(&self, name: &str) -> Option<[u8; 3]> {
        if let Some(Value::Colour(colour)) = self.values.get(name) {
            return *colour;
        }
        debug_assert!(false, "no colour setting {name}");
        None
    }

    /// The value of a [`Kind::Rect`].
    pub(super) fn rect(&self, name: &str) -> Option<Rect> {
        if let Some(Value::Rect(rect)) = self.values.get(name) {
            return *rect;
        }
        debug_assert!(false, "no rect setting {name}");
        None
    }

    /// The value of a [`Kind::Ratio`]: width divided by height.
    pub(super) fn ratio(&self, name: &str) -> Option<f64> {
        if let Some(Value::Ratio(ratio)) = self.values.get(name) {
            return *ratio;
        }
        debug_assert!(false, "no ratio setting {name}");
        None
    }
}

fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

fn number(text: &str, min: f64, max: f64) -> Option<f64> {
    text.parse().ok().filter(|n: &f64| n.is_finite() && (min..=max).contains(n))
}

fn colour(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#')?;
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let all = u32::from_str_radix(digits, 16).ok()?;
    Some([(all >> 16) as u8, (all >> 8) as u8, all as u8])
}

fn rect(text: &str) -> Option<Rect> {
    let parts: Vec<u32> = text.split(',').map(|part| part.trim().parse().ok()).collect::<Option<_>>()?;
    let &[x, y, w, h] = parts.as_slice() else { return None };
    (w > 0 && h > 0).then_some(Rect { x, y, w, h })
}

fn ratio(text: &str) -> Option<f64> {
    let (w, h) = text.split_once(':')?;
    let (w, h) = (number(w.trim(), 0.01, 10_000.0)?, number(h.trim(), 0.01, 10_000.0)?);
    let ratio = w / h;
    (0.05..=20.0).contains(&ratio).then_some(ratio)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    fn check(op: EditOp, key: &str, value: &str, good: bool) {
        let given = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(parse(op, &given).is_ok(), good, "{key}={value}");
    }

    #[test]
    fn values_are_held_to_their_kind() {
        check(EditOp::Retouch, "kind", "dust", true);
        check(EditOp::Retouch, "kind", "Dust", false);
        check(EditOp::Retouch, "strength", "0.5", true);
        check(EditOp::Retouch, "strength", "NaN", false);
        check(EditOp::Retouch, "strength", "1.01", false);
        check(EditOp::Restore, "denoise", "auto", true);
        check(EditOp::Restore, "denoise", "off", false);
        check(EditOp::Erase, "grow", "-1", false);
        check(EditOp::Erase, "grow", "4", true);
        check(EditOp::ReplaceBackground, "colour", "#a0b1c2", true);
        check(EditOp::ReplaceBackground, "colour", "#a0b1c", false);
        check(EditOp::ReplaceBackground, "colour", "#é0b1c", false);
        check(EditOp::Crop, "rect", "1,2,3,4", true);
        check(EditOp::Crop, "rect", "1,2,0,4", false);
        check(EditOp::Crop, "ratio", "4:5", true);
        check(EditOp::Crop, "ratio", "1:0", false);
    }

    #[test]
    fn errors_name_what_there_is() {
        let given =
            BTreeMap::from([("colour".to_owned(), "x".to_owned()), ("grow".to_owned(), "x".to_owned())]);
        let errors = parse(EditOp::Erase, &given).unwrap_err();
        assert_eq!(errors.len(), 2);
        assert!(
            errors[0].to_string().contains("erase has no setting `colour`; it has grow"),
            "{}",
            errors[0]
        );
        assert!(errors[1].to_string().contains("0 to"), "{}", errors[1]);
    }

    #[test]
    fn every_default_parses_and_every_name_is_used_once() {
        for op in EditOp::ALL {
            assert!(parse(op, &BTreeMap::new()).is_ok(), "{}", op.word());
            let mut names: Vec<_> = table::settings(op).iter().map(|setting| setting.name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count);
            assert_eq!(help(op).lines().count(), count);
        }
    }
}
