//! A text that nobody may see: a password, a key, a token. It is read from settings like
//! any text, and shows itself only to code that asks by name.

use serde::{Deserialize, Serialize};

/// A password, key or token. `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn it_shows_itself_only_when_asked() {
        let secret: Secret = serde_json::from_str("\"tiger\"").unwrap();
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(***)");
        assert_eq!(secret.expose(), "tiger");
        assert_eq!(secret, Secret::new("tiger"));
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"tiger\"");
    }
}
