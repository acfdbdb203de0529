//! A text that must not be seen: passwords, keys, URLs that hold them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret. It prints as `***`; only [`Secret::expose`] gives the text away.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_no_secret_and_reads_as_text() {
        let secret: Secret = serde_json::from_str("\"amqp://u:p@h\"").unwrap_or(Secret::new(""));
        assert_eq!(secret.expose(), "amqp://u:p@h");
        assert_eq!(format!("{secret:?}"), "***");
    }
}
