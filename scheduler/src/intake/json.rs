//! Rows of JSON and JSON Lines, one object at a time: only the object in hand is in
//! memory, and a broken one does not stop the others.

use std::io;

use serde_json::{Map, Value};

use super::delimited::ROW_BYTES_MAX;
use super::source::{Utf8Reader, Window};

/// Keys under which an object may hold the array of products.
const WRAPPERS: [&str; 7] = ["products", "items", "entries", "data", "catalog", "rows", "skus"];
/// How deep nested objects become columns (`dimensions.width`); deeper ones stay JSON text.
const DEPTH_MAX: usize = 3;
/// Columns that one object can make, and variants it can hold.
const PAIRS_MAX: usize = 1_000;
const VARIANTS_MAX: usize = 2_048;

/// One object's columns and values, or why it is not one.
#[derive(Debug)]
pub(crate) struct Element {
    /// Line at which it begins.
    pub(crate) line: u64,
    /// One list of (column, value) per row: an object with variants makes several.
    pub(crate) rows: Result<Vec<Vec<(String, String)>>, String>,
}

/// Reads elements.
#[derive(Debug)]
pub(crate) struct JsonRows {
    window: Window,
    line: u64,
    by_line: bool,
    ended: bool,
}

impl JsonRows {
    /// Stands before the first element: inside the array if there is one.
    pub(crate) fn new(mut fresh: impl FnMut() -> io::Result<Utf8Reader>, by_line: bool) -> io::Result<Self> {
        let mut rows = Self { window: Window::new(fresh()?), line: 1, by_line, ended: false };
        if by_line {
            return Ok(rows);
        }
        rows.skip_space()?;
        match rows.window.byte(0)? {
            Some(b'[') => rows.take(1),
            Some(b'{') if !rows.enter_wrapper()? => {
                rows = Self { window: Window::new(fresh()?), line: 1, by_line, ended: false };
            }
            _ => {}
        }
        Ok(rows)
    }

    /// The next element; `None` at the end.
    pub(crate) fn next_element(&mut self) -> io::Result<Option<Element>> {
        if self.ended {
            return Ok(None);
        }
        self.skip_space()?;
        if !self.by_line {
            while self.window.byte(0)? == Some(b',') {
                self.take(1);
                self.skip_space()?;
            }
        }
        match self.window.byte(0)? {
            None => return Ok(None),
            Some(b']' | b'}') if !self.by_line => {
                self.ended = true;
                return Ok(None);
            }
            Some(_) => {}
        }
        let line = self.line;
        let bytes = if self.by_line { self.whole_line()? } else { self.whole_value()? };
        let rows = bytes.and_then(|bytes| match serde_json::from_slice::<Value>(&bytes) {
            Ok(Value::Object(object)) => Ok(expand(object)),
            Ok(_) => Err("not a JSON object".to_owned()),
            Err(error) => Err(format!("not valid JSON: {error}")),
        });
        Ok(Some(Element { line, rows }))
    }

    /// Walks into `{"products": [`; false when the object holds no such array.
    fn enter_wrapper(&mut self) -> io::Result<bool> {
        self.take(1);
        loop {
            self.skip_space()?;
            match self.window.byte(0)? {
                Some(b',') => {
                    self.take(1);
                    continue;
                }
                Some(b'"') => {}
                _ => return Ok(false),
            }
            let Ok(key) = self.whole_value()? else { return Ok(false) };
            let key: String = serde_json::from_slice(&key).unwrap_or_default();
            self.skip_space()?;
            if self.window.byte(0)? != Some(b':') {
                return Ok(false);
            }
            self.take(1);
            self.skip_space()?;
            let is_array = self.window.byte(0)? == Some(b'[');
            if is_array && WRAPPERS.contains(&key.to_ascii_lowercase().as_str()) {
                self.take(1);
                self.skip_space()?;
                return Ok(matches!(self.window.byte(0)?, Some(b'{' | b']')));
            }
            if self.window.byte(0)?.is_none() {
                return Ok(false);
            }
            // What is skipped may be larger than a row; its content does not matter.
            let _skipped = self.whole_value()?;
        }
    }

    fn skip_space(&mut self) -> io::Result<()> {
        while self.window.byte(0)?.is_some_and(|b| b.is_ascii_whitespace()) {
            self.take(1);
        }
        Ok(())
    }

    /// Consumes `count` seen bytes and counts their lines.
    fn take(&mut self, count: usize) {
        self.line += self.window.seen(count).split(|b| *b == b'\n').count() as u64 - 1;
        self.window.consume(count);
    }

    fn whole_line(&mut self) -> io::Result<Result<Vec<u8>, String>> {
        self.collect(|byte, _| byte == b'\n')
    }

    /// One value: balanced brackets outside strings, a string, or a bare word.
    fn whole_value(&mut self) -> io::Result<Result<Vec<u8>, String>> {
        let (mut depth, mut in_string, mut escaped, mut done) = (0_usize, false, false, false);
        let collected = self.collect(|byte, at| {
            if done {
                return true;
            }
            if in_string {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => {
                        in_string = false;
                        done = depth == 0;
                    }
                    _ => {}
                }
                return false;
            }
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    done = depth == 0;
                }
                b',' | b'}' | b']' if depth == 0 => return at > 0,
                other if depth == 0 && at > 0 && other.is_ascii_whitespace() => return true,
                _ => {}
            }
            false
        })?;
        if depth > 0 || in_string {
            self.ended = true;
            return Ok(Err("the file ends inside this object".to_owned()));
        }
        Ok(collected)
    }

    /// Takes bytes until `stop` says that the byte at hand is no longer part; over
    /// [`ROW_BYTES_MAX`] they are dropped and reported.
    fn collect(&mut self, mut stop: impl FnMut(u8, usize) -> bool) -> io::Result<Result<Vec<u8>, String>> {
        let (mut at, mut dropped) = (0, 0);
        while let Some(byte) = self.window.byte(at)? {
            if stop(byte, at + dropped) {
                break;
            }
            at += 1;
            if at >= ROW_BYTES_MAX {
                self.take(at);
                dropped += at;
                at = 0;
            }
        }
        let bytes = self.window.seen(at).to_vec();
        self.take(at);
        if dropped > 0 {
            return Ok(Err(format!("the object is larger than {} MiB", ROW_BYTES_MAX / 1024 / 1024)));
        }
        Ok(Ok(bytes))
    }
}

/// Flattens an object; one with a `variants` array of objects and no own SKU makes a row
/// per variant, with the variant's values under `variants.…`.
fn expand(mut object: Map<String, Value>) -> Vec<Vec<(String, String)>> {
    let own_sku = object.get("sku").is_some_and(|sku| !sku.is_null());
    let variants = match object.get("variants") {
        Some(Value::Array(list)) if !own_sku && !list.is_empty() && list.iter().all(Value::is_object) => {
            object.remove("variants")
        }
        _ => None,
    };
    let mut shared = Vec::new();
    flatten("", Value::Object(object), 0, &mut shared);
    let Some(Value::Array(variants)) = variants else { return vec![shared] };
    let rows = variants.into_iter().take(VARIANTS_MAX).map(|variant| {
        let mut row = shared.clone();
        flatten("variants", variant, 1, &mut row);
        row
    });
    rows.collect()
}

fn flatten(name: &str, value: Value, depth: usize, out: &mut Vec<(String, String)>) {
    if out.len() >= PAIRS_MAX {
        return;
    }
    match value {
        Value::Object(object) if depth < DEPTH_MAX => {
            for (key, value) in object {
                let name = if name.is_empty() { key } else { format!("{name}.{key}") };
                flatten(&name, value, depth + 1, out);
            }
        }
        Value::Null => out.push((name.to_owned(), String::new())),
        Value::String(text) => out.push((name.to_owned(), text)),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            out.push((name.to_owned(), other.to_string()));
        }
    }
}
