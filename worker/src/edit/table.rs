//! Every setting of every edit operation, in one table.

use packshot_pipeline::finding::EditOp;

use super::settings::{Kind, Setting};

const STRENGTH: Kind = Kind::Number { min: 0.0, max: 1.0 };
const SHADOWS: Kind = Kind::Choice(&["keep", "contact", "none"]);

/// The settings of `op`, in the order of the help text.
pub fn settings(op: EditOp) -> &'static [Setting] {
    match op {
        EditOp::Cutout => CUTOUT,
        EditOp::Background => BACKGROUND,
        EditOp::ReplaceBackground => REPLACE_BACKGROUND,
        EditOp::Erase => ERASE,
        EditOp::Retouch => RETOUCH,
        EditOp::Upscale => UPSCALE,
        EditOp::Restore => RESTORE,
        EditOp::Outpaint => OUTPAINT,
        EditOp::Crop => CROP,
        EditOp::Compose => COMPOSE,
        EditOp::Style => STYLE,
        EditOp::Harmonise => HARMONISE,
    }
}

const CUTOUT: &[Setting] = &[Setting {
    name: "crop",
    kind: Kind::Choice(&["keep", "tight"]),
    default: "keep",
    help: "keep the frame, or cut it down to the product",
}];

const BACKGROUND: &[Setting] = &[
    Setting {
        name: "mode",
        kind: Kind::Choice(&["own", "white"]),
        default: "own",
        help: "flatten to the background's own colour and light, or to exact white",
    },
    Setting {
        name: "shadow",
        kind: Kind::Choice(&["keep", "soften", "remove"]),
        default: "keep",
        help: "what happens to the shadow on the ground",
    },
];

const REPLACE_BACKGROUND: &[Setting] = &[
    Setting {
        name: "fill",
        kind: Kind::Choice(&["solid", "gradient", "picture", "transparent"]),
        default: "solid",
        help: "what goes behind the product",
    },
    Setting {
        name: "colour",
        kind: Kind::Colour,
        default: "#ffffff",
        help: "colour of a solid fill, and of a gradient's top",
    },
    Setting {
        name: "colour2",
        kind: Kind::Colour,
        default: "auto",
        help: "colour of a gradient's bottom; auto is a darker shade of colour",
    },
    Setting {
        name: "direction",
        kind: Kind::Choice(&["down", "right", "centre"]),
        default: "down",
        help: "where a gradient runs to",
    },
    Setting {
        name: "shadow",
        kind: SHADOWS,
        default: "keep",
        help: "keep the photo's own shadow, draw a contact shadow, or none",
    },
    Setting { name: "picture", kind: Kind::Picture, default: "", help: "the background of fill=picture" },
];

const ERASE: &[Setting] = &[
    Setting {
        name: "grow",
        kind: Kind::Pixels { max: 200 },
        default: "2",
        help: "how far beyond the mask the object still reaches",
    },
    Setting {
        name: "method",
        kind: Kind::Choice(&["auto", "surface", "frequency", "exemplar"]),
        default: "auto",
        help: "how the hole is filled",
    },
    Setting {
        name: "protect",
        kind: Kind::Choice(&["product", "nothing"]),
        default: "product",
        help: "leave the product alone where the mask runs over it",
    },
];

const RETOUCH: &[Setting] = &[
    Setting {
        name: "kind",
        kind: Kind::Choice(&["auto", "dust", "scratch", "glare", "crease", "shadow"]),
        default: "auto",
        help: "what to repair; auto looks for it, inside the mask when there is one",
    },
    Setting {
        name: "strength",
        kind: STRENGTH,
        default: "0.7",
        help: "how much of glare, crease or shadow goes away",
    },
    Setting {
        name: "sensitivity",
        kind: STRENGTH,
        default: "0.5",
        help: "how faint a speck or scratch may be to be found",
    },
];

const UPSCALE: &[Setting] = &[Setting {
    name: "factor",
    kind: Kind::Number { min: 1.0, max: 4.0 },
    default: "2",
    help: "how many times wider and higher",
}];

const RESTORE: &[Setting] = &[
    Setting {
        name: "denoise",
        kind: Kind::NumberOrAuto { min: 0.0, max: 30.0 },
        default: "auto",
        help: "standard deviation of the noise to remove, in levels of 255",
    },
    Setting {
        name: "deblock",
        kind: Kind::NumberOrAuto { min: 0.0, max: 1.0 },
        default: "auto",
        help: "how strongly JPEG blocks are smoothed",
    },
    Setting {
        name: "deblur",
        kind: Kind::NumberOrAuto { min: 0.0, max: 1.0 },
        default: "auto",
        help: "how much of a mild blur is undone; never overshoots an edge",
    },
];

const OUTPAINT: &[Setting] = &[
    Setting { name: "left", kind: Kind::Pixels { max: 8000 }, default: "0", help: "new columns on the left" },
    Setting {
        name: "right",
        kind: Kind::Pixels { max: 8000 },
        default: "0",
        help: "new columns on the right",
    },
    Setting { name: "top", kind: Kind::Pixels { max: 8000 }, default: "0", help: "new rows above" },
    Setting { name: "bottom", kind: Kind::Pixels { max: 8000 }, default: "0", help: "new rows below" },
    Setting {
        name: "ratio",
        kind: Kind::Ratio,
        default: "none",
        help: "extend on both sides until the frame has this ratio",
    },
];

const CROP: &[Setting] = &[
    Setting {
        name: "rect",
        kind: Kind::Rect,
        default: "none",
        help: "this rectangle instead of the product's",
    },
    Setting {
        name: "margin",
        kind: Kind::Number { min: 0.0, max: 1.0 },
        default: "0.06",
        help: "space around the product, as a share of its longer side",
    },
    Setting { name: "ratio", kind: Kind::Ratio, default: "none", help: "ratio of the new frame" },
];

const COMPOSE: &[Setting] = &[
    Setting { name: "picture", kind: Kind::Picture, default: "", help: "the scene, used at its own size" },
    Setting {
        name: "x",
        kind: Kind::Number { min: 0.0, max: 1.0 },
        default: "0.5",
        help: "where the middle of the product stands, as a share of the scene's width",
    },
    Setting {
        name: "y",
        kind: Kind::Number { min: 0.0, max: 1.0 },
        default: "0.85",
        help: "where the foot of the product stands, as a share of the scene's height",
    },
    Setting {
        name: "height",
        kind: Kind::Number { min: 0.02, max: 1.0 },
        default: "0.6",
        help: "height of the product as a share of the scene's height",
    },
    Setting {
        name: "shadow",
        kind: Kind::Choice(&["contact", "none"]),
        default: "contact",
        help: "draw a contact shadow under the product",
    },
];

const STYLE: &[Setting] = &[
    Setting {
        name: "category",
        kind: Kind::Choice(&["none", "beauty", "jewellery", "fashion", "furniture", "tech", "food"]),
        default: "none",
        help: "surroundings as this category likes them",
    },
    Setting {
        name: "picture",
        kind: Kind::Picture,
        default: "",
        help: "a picture whose palette and light the surroundings take over",
    },
];

const HARMONISE: &[Setting] = &[
    Setting {
        name: "picture",
        kind: Kind::Picture,
        default: "",
        help: "another picture of the same product, whose light is taken over",
    },
    Setting {
        name: "strength",
        kind: STRENGTH,
        default: "1",
        help: "how much of the difference in light goes away",
    },
];
