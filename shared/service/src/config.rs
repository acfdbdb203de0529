//! Settings from four places, weakest first: built-in defaults, one file (TOML, YAML or
//! JSON), environment variables (`PACKSHOT__SECTION__FIELD`), and flags. Unknown keys are
//! refused, and every mistake is reported at once, each with where it came from.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Prefix of the environment variables that are settings.
pub const ENV_PREFIX: &str = "PACKSHOT";

/// Every mistake found in the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.problems.join("\n"))]
pub struct BadConfig {
    /// One sentence each: key, what is wrong, what is allowed.
    pub problems: Vec<String>,
}

impl BadConfig {
    fn one(problem: String) -> Self {
        Self { problems: vec![problem] }
    }
}

/// Where settings come from besides the defaults.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// A settings file; its format follows its extension.
    pub file: Option<&'a Path>,
    /// Environment variables; tests pass their own.
    pub env: BTreeMap<String, String>,
    /// Flags, as `section.field` and a JSON value; they win over everything else.
    pub flags: Vec<(String, Value)>,
}

impl Sources<'_> {
    /// The process's environment, without a file or flags.
    pub fn from_process_env() -> Self {
        Self { file: None, env: std::env::vars().collect(), flags: Vec::new() }
    }
}

/// Merges `defaults` with `sources`.
///
/// `T` is a struct of section structs whose leaves are plain values, texts or lists. The
/// shape of the serialised `defaults` is the list of known keys, so an optional setting
/// must serialise as `null`, not be left out.
///
/// # Errors
/// All unreadable, unknown and ill-typed settings together.
pub fn load<T: Serialize + DeserializeOwned>(defaults: &T, sources: &Sources<'_>) -> Result<T, BadConfig> {
    let known =
        serde_json::to_value(defaults).map_err(|error| BadConfig::one(format!("defaults: {error}")))?;
    let mut given: BTreeMap<String, Given> = BTreeMap::new();
    let mut problems = Vec::new();
    if let Some(path) = sources.file {
        let tree = read_file(path)?;
        flatten("", &tree, &known, &mut |key, value| {
            given.insert(key, Given { value, origin: path.display().to_string() });
        });
    }
    for (name, text) in &sources.env {
        let Some(rest) = name.strip_prefix(ENV_PREFIX).and_then(|rest| rest.strip_prefix("__")) else {
            continue;
        };
        let key = rest.to_ascii_lowercase().replace("__", ".");
        let value = env_value(text, lookup(&known, &key));
        given.insert(key, Given { value, origin: format!("environment variable {name}") });
    }
    for (key, value) in &sources.flags {
        given.insert(key.clone(), Given { value: value.clone(), origin: "command line".to_owned() });
    }

    let mut merged = known.clone();
    for (key, Given { value, origin }) in given {
        if lookup(&known, &key).is_none() {
            problems.push(format!("{origin}: unknown setting `{key}`{}", suggestion(&known, &key)));
            continue;
        }
        // One leaf at a time, so that every ill-typed leaf is found, not only the first.
        let mut alone = known.clone();
        set(&mut alone, &key, value.clone());
        match serde_json::from_value::<T>(alone) {
            Ok(_) => set(&mut merged, &key, value),
            Err(error) => problems.push(format!("{origin}: `{key}`: {error}")),
        }
    }
    if !problems.is_empty() {
        return Err(BadConfig { problems });
    }
    serde_json::from_value(merged).map_err(|error| BadConfig::one(format!("settings: {error}")))
}

struct Given {
    value: Value,
    origin: String,
}

fn read_file(path: &Path) -> Result<Value, BadConfig> {
    let unreadable = |error: &dyn std::fmt::Display| {
        BadConfig::one(format!("cannot read settings file {}: {error}", path.display()))
    };
    if !path.is_file() {
        return Err(unreadable(&"no such file"));
    }
    config::Config::builder()
        .add_source(config::File::from(path))
        .build()
        .and_then(config::Config::try_deserialize)
        .map_err(|error| unreadable(&error))
}

/// Calls `found` with each dotted key and value of `tree`; descends only where the known
/// shape has a section, so that maps and lists stay values.
fn flatten(prefix: &str, tree: &Value, known: &Value, found: &mut dyn FnMut(String, Value)) {
    let Value::Object(fields) = tree else { return };
    for (name, value) in fields {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match lookup(known, &key) {
            Some(Value::Object(_)) if value.is_object() => flatten(&key, value, known, found),
            Some(_) | None => found(key, value.clone()),
        }
    }
}

fn lookup<'v>(tree: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(tree, |node, name| node.as_object()?.get(name))
}

fn set(tree: &mut Value, key: &str, value: Value) {
    let mut node = tree;
    for name in key.split('.') {
        let Value::Object(fields) = node else { return };
        node = fields.entry(name.to_owned()).or_insert(Value::Null);
    }
    *node = value;
}

/// An environment text as the known leaf wants it: JSON where that parses to the leaf's
/// own kind, a comma list for lists of texts or numbers, plain text otherwise.
fn env_value(text: &str, known: Option<&Value>) -> Value {
    match known {
        Some(Value::String(_)) => Value::String(text.to_owned()),
        Some(Value::Array(known)) if !text.trim_start().starts_with('[') => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| match known.first() {
                Some(Value::Number(_)) => env_value(part, None),
                Some(_) | None => Value::String(part.to_owned()),
            })
            .collect(),
        Some(_) | None => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    }
}

fn suggestion(known: &Value, key: &str) -> String {
    let mut keys = Vec::new();
    flatten("", known, known, &mut |key, _| keys.push(key));
    let near = keys
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, key), known))
        .min()
        .filter(|(distance, known)| distance * 3 <= known.len())
        .map(|(_, known)| known);
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
    struct Settings {
        limits: Limits,
        work: Work,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
    struct Limits {
        pixels_max: u64,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
    struct Work {
        jobs: Option<u32>,
        shares: [f64; 2],
        roles: Vec<String>,
        name: String,
    }

    fn defaults() -> Settings {
        Settings {
            limits: Limits { pixels_max: 9 },
            work: Work { jobs: None, shares: [1.0, 2.0], roles: vec!["main".into()], name: "x".into() },
        }
    }

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn later_sources_win() {
        let dir = std::env::temp_dir().join(format!("packshot-config-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("settings.toml");
        std::fs::write(&file, "[limits]\npixels_max = 1\n[work]\njobs = 2\nname = \"file\"\n").unwrap();
        let sources = Sources {
            file: Some(&file),
            env: env(&[
                ("PACKSHOT__WORK__JOBS", "3"),
                ("PACKSHOT__WORK__ROLES", "main, ad"),
                ("PACKSHOT__WORK__SHARES", "0.5, 3"),
                ("PATH", "x"),
            ]),
            flags: vec![("work.name".into(), "flag".into())],
        };
        let got = load(&defaults(), &sources).unwrap();
        assert_eq!(got.limits.pixels_max, 1);
        assert_eq!(
            got.work,
            Work {
                jobs: Some(3),
                shares: [0.5, 3.0],
                roles: vec!["main".into(), "ad".into()],
                name: "flag".into()
            }
        );
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let sources = Sources {
            file: None,
            env: env(&[("PACKSHOT__WORK__JOBS", "many"), ("PACKSHOT__LIMITS__PIXEL_MAX", "3")]),
            flags: vec![("limits.pixels_max".into(), Value::String("x".into()))],
        };
        let problems = load(&defaults(), &sources).unwrap_err().problems;
        assert_eq!(problems.len(), 3, "{problems:#?}");
        assert!(problems.iter().any(|p| p.contains("did you mean `limits.pixels_max`?")), "{problems:#?}");
    }
}
