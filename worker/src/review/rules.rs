//! What a role asks of a picture besides product truth.

use packshot_pipeline::role::Role;

/// Rules that follow from a role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rules {
    /// The whole product must be inside the frame.
    pub(super) whole_product: bool,
    /// The background must be pure white.
    pub(super) white_background: bool,
    /// Objects that the reference does not have belong to the surroundings.
    pub(super) props_allowed: bool,
    /// Plain lines and bars beside the product show its size.
    pub(super) cue_lines_allowed: bool,
}

/// The rules of a role; `None`: no role was named, only product truth is looked at.
pub(super) fn of(role: Option<Role>) -> Rules {
    let plain = Rules {
        whole_product: true,
        white_background: false,
        props_allowed: false,
        cue_lines_allowed: false,
    };
    match role {
        Some(Role::Main) => Rules { white_background: true, ..plain },
        None | Some(Role::Cleanup) => plain,
        Some(Role::Detail | Role::Feature | Role::Angle) => Rules { whole_product: false, ..plain },
        Some(Role::Lifestyle) => Rules { props_allowed: true, ..plain },
        Some(Role::Ad | Role::OnModel) => Rules { whole_product: false, props_allowed: true, ..plain },
        Some(Role::Comparison) => Rules { cue_lines_allowed: true, ..plain },
    }
}
