//! The sample files under `deploy` are settings: they parse, they state the defaults, and they
//! leave none out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use packshot_service::config::{Sources, load};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy").join(name)
}

/// Every leaf of a tree by its dotted name.
fn leaves(tree: &Value) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, tree: &Value, found: &mut BTreeMap<String, Value>) {
        match tree {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    walk(&key, value, found);
                }
            }
            leaf @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                found.insert(prefix.to_owned(), leaf.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk("", tree, &mut found);
    found
}

fn stated(name: &str) -> (BTreeMap<String, Value>, String) {
    let text = std::fs::read_to_string(sample(name)).unwrap();
    let tree: Value = toml::from_str::<Value>(&text).unwrap();
    (leaves(&tree), text)
}

/// The file is read without a complaint, and each of its values is the default.
fn states_defaults<T: Serialize + DeserializeOwned>(name: &str, defaults: &T) -> BTreeMap<String, Value> {
    let file = sample(name);
    let read = load(defaults, &Sources { file: Some(&file), ..Sources::default() });
    read.unwrap_or_else(|bad| panic!("{name}: {bad}"));
    let known = leaves(&serde_json::to_value(defaults).unwrap());
    let (stated, _) = stated(name);
    for (key, value) in &stated {
        assert_eq!(known.get(key), Some(value), "{name}: {key} is not the default");
    }
    known
}

/// The same, and no setting is missing; one that is unset by default is shown as a comment.
fn states_every_default<T: Serialize + DeserializeOwned>(name: &str, defaults: &T) {
    let known = states_defaults(name, defaults);
    let (stated, text) = stated(name);
    for (key, value) in known {
        let field = key.rsplit('.').next().unwrap();
        let shown = if value.is_null() {
            text.contains(&format!("\n# {field} = "))
        } else {
            stated.contains_key(&key)
        };
        assert!(shown, "{name} does not show {key}");
    }
}

#[test]
fn the_samples_state_every_setting_with_its_default() {
    states_every_default("worker.toml", &packshot_worker::settings::WorkerSettings::standard());
    states_every_default("scheduler.toml", &packshot_scheduler::settings::Settings::default());
    states_defaults("packshot.toml", &packshot_scheduler::settings::Settings::default());
}

#[test]
fn a_setting_that_nobody_knows_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    for (text, hint) in [
        ("[redis]\nurll = \"x\"\n", "redis.url"),
        ("[dispatch.window]\nstudios = 1\n", "dispatch.window.studio"),
        ("[objects]\ndirectroy = \"/x\"\n", "objects.directory"),
    ] {
        std::fs::write(&file, text).unwrap();
        let sources = Sources { file: Some(&file), ..Sources::default() };
        let bad = load(&packshot_scheduler::settings::Settings::default(), &sources).unwrap_err();
        assert!(bad.to_string().contains(&format!("did you mean `{hint}`?")), "{bad}");
    }
}
