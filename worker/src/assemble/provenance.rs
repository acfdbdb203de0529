//! What each exported file says of how it was made.

use serde::Deserialize;

/// An IPTC term in a channel file.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct SourceTerm(String);
