//! What an image is for, and what each role waits for.

use serde::{Deserialize, Serialize};

/// What an image is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The whole product on pure white, centred, no clutter.
    Main,
    /// The reference itself with background, shadow, crop and small defects repaired.
    Cleanup,
    /// One close fact: texture, label, dial, seam, port, closure.
    Detail,
    /// Another real view, from a second reference.
    Angle,
    /// The product's own pixels placed in a believable surrounding.
    Lifestyle,
    /// One practical benefit with calm space; no badge, no claim.
    Feature,
    /// Size made plain from catalog dimensions.
    Comparison,
    /// 1:1, 4:5, 9:16 and 1.91:1 crops with a stronger composition.
    Ad,
    /// The product worn or held: a provider's work, always seen by a human.
    OnModel,
}

impl Role {
    /// Every role, in the order in which a set shows them.
    pub const ALL: [Role; 9] = [
        Role::Main,
        Role::Cleanup,
        Role::Detail,
        Role::Angle,
        Role::Lifestyle,
        Role::Feature,
        Role::Comparison,
        Role::Ad,
        Role::OnModel,
    ];

    /// The word used in catalogs, flags, files, logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Role::Main => "main",
            Role::Cleanup => "cleanup",
            Role::Detail => "detail",
            Role::Angle => "angle",
            Role::Lifestyle => "lifestyle",
            Role::Feature => "feature",
            Role::Comparison => "comparison",
            Role::Ad => "ad",
            Role::OnModel => "on-model",
        }
    }

    /// The role with this word, if any; case does not matter.
    pub fn parse(word: &str) -> Option<Role> {
        let word = word.trim().to_ascii_lowercase();
        Role::ALL.into_iter().find(|role| role.word() == word)
    }

    /// What must be *accepted* before this role may start, best first: the first role in
    /// the list that is part of the set is the one waited for; when it ends without
    /// being accepted, the next one is. Empty: nothing is waited for ("identity first" is
    /// the point: nothing else is spent on before the main image stands).
    pub fn waits_for(self) -> &'static [Role] {
        match self {
            Role::Main | Role::Cleanup => &[],
            Role::Detail
            | Role::Angle
            | Role::Lifestyle
            | Role::Feature
            | Role::Comparison
            | Role::OnModel => &[Role::Main],
            Role::Ad => &[Role::Lifestyle, Role::Main],
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}
