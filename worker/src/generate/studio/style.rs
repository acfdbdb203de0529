//! Category styles: how the studio lights and surrounds a kind of product. All of it is
//! data; the files are in `styles/`.

use std::sync::OnceLock;

use packshot_pipeline::catalog::Product;
use serde::Deserialize;

/// The look of one category.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Style {
    /// `beauty`, `jewellery`, ...
    pub name: String,
    /// Words of titles and categories that choose this style, lower case, singular.
    pub words: Vec<String>,
    /// Light of its scenes.
    pub light: StyleLight,
    /// Share of the frame's side that the product's longer side takes.
    pub fill: Fill,
    /// Surroundings for a product that stands, in order of preference.
    pub scenes: Vec<Backdrop>,
    /// Surfaces for a product seen from above, in order of preference.
    pub flats: Vec<Backdrop>,
    /// Kinds of product and how they rest.
    #[serde(default)]
    pub kinds: Vec<Kind>,
}

/// Light of a style. Its side is taken from the reference.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StyleLight {
    /// Height of the key light above the ground, in degrees, 15 to 80.
    pub altitude_deg: f32,
    /// Angular radius of the key light, in degrees: 2 = sun, 8 = window, 18 = softbox.
    pub radius_deg: f32,
    /// Share of key light, 0 to 1.
    pub key: f32,
    /// Strength of a window's pattern on wall and floor, 0 to 1.
    pub window: f32,
}

/// How much of the frame the product takes, 0.2 to 0.95.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// On white.
    pub main: f32,
    /// In a scene.
    pub scene: f32,
}

/// What is under and behind a product.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backdrop {
    /// Material under the product.
    pub floor: Material,
    /// Its colour, sRGB `#rrggbb`.
    pub floor_colour: Hex,
    /// Material behind; absent: the floor sweeps up seamlessly.
    #[serde(default)]
    pub wall: Option<Material>,
    /// Colour behind; absent: the floor's.
    #[serde(default)]
    pub wall_colour: Option<Hex>,
}

/// Rendered materials.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Material {
    /// Seamless background paper.
    Paper,
    /// Lime plaster or microcement, trowelled.
    Plaster,
    /// Honed limestone: fine grain, few flecks.
    Limestone,
    /// Travertine: soft horizontal bands with pits.
    Travertine,
    /// Oak, matte oiled.
    Oak,
    /// Woven linen.
    Linen,
    /// Matte wall tiles with grout.
    Tiles,
}

impl Material {
    /// Every material.
    pub const ALL: [Material; 7] = [
        Material::Paper,
        Material::Plaster,
        Material::Limestone,
        Material::Travertine,
        Material::Oak,
        Material::Linen,
        Material::Tiles,
    ];
}

/// A kind of product within a category.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Words that choose it, lower case, singular.
    pub words: Vec<String>,
    /// How it rests.
    pub rest: RestRule,
    /// Depth divided by width when it stands, 0.02 to 1.
    pub depth: f32,
    /// Height when it lies, as a share of its longer side.
    pub thickness: f32,
    /// Longer side in millimetres when the catalog does not say.
    pub size_mm: f32,
}

/// How a product rests on a surface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestRule {
    /// Upright.
    Stand,
    /// Seen from above.
    Lie,
    /// Upright when its base carries it, else from above.
    Auto,
    /// Shoes: in profile they stand, a pair taller than wide is seen from above.
    Shoes,
}

/// An sRGB colour written `#rrggbb`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Hex(pub [u8; 3]);

impl TryFrom<String> for Hex {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let bad = || format!("a colour is written #rrggbb, not {text:?}");
        let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.is_ascii()).ok_or_else(bad)?;
        let value = u32::from_str_radix(digits, 16).map_err(|_| bad())?;
        Ok(Hex([(value >> 16) as u8, (value >> 8) as u8, value as u8]))
    }
}

/// What a kind is when nothing is known: a thing of hand size, half as deep as wide.
static UNKNOWN: OnceLock<Kind> = OnceLock::new();

const FILES: [&str; 7] = [
    include_str!("styles/home.toml"),
    include_str!("styles/beauty.toml"),
    include_str!("styles/jewellery.toml"),
    include_str!("styles/fashion.toml"),
    include_str!("styles/furniture.toml"),
    include_str!("styles/tech.toml"),
    include_str!("styles/food.toml"),
];

impl Style {
    /// Reads a style file.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The kind of `product` within this style.
    pub fn kind(&self, product: &Product) -> &Kind {
        let unknown = UNKNOWN.get_or_init(|| Kind {
            words: Vec::new(),
            rest: RestRule::Auto,
            depth: 0.6,
            thickness: 0.12,
            size_mm: 220.0,
        });
        self.kinds
            .iter()
            .map(|kind| (affinity(product, &kind.words), kind))
            .filter(|(score, _)| *score > 0)
            .max_by_key(|(score, _)| *score)
            .map_or(unknown, |(_, kind)| kind)
    }
}

/// Every built-in style; the first is the one for products that fit no other.
pub fn all() -> &'static [Style] {
    static STYLES: OnceLock<Vec<Style>> = OnceLock::new();
    // A file that does not parse is caught by a test, not at run time.
    STYLES.get_or_init(|| FILES.iter().filter_map(|text| Style::parse(text).ok()).collect())
}

/// The style with this name.
pub fn by_name(name: &str) -> Option<&'static Style> {
    all().iter().find(|style| style.name == name)
}

/// The style whose words, or whose kinds' words, fit the product's title and category
/// best; the longest word decides, and a word of the title counts a little more than one
/// of the category. Falls back to the first style.
pub fn style_for(product: &Product) -> &'static Style {
    let styles = all();
    let best = styles
        .iter()
        .map(|style| {
            let kinds = style.kinds.iter().map(|kind| affinity(product, &kind.words)).max().unwrap_or(0);
            (affinity(product, &style.words).max(kinds), style)
        })
        .rev()
        .max_by_key(|(score, _)| *score);
    static PLAIN: OnceLock<Style> = OnceLock::new();
    match best {
        Some((_, style)) => style,
        None => PLAIN.get_or_init(plain),
    }
}

/// Paper and soft light: what is left when no style file can be read.
fn plain() -> Style {
    let paper = Backdrop {
        floor: Material::Paper,
        floor_colour: Hex([228, 224, 218]),
        wall: None,
        wall_colour: None,
    };
    Style {
        name: "plain".to_owned(),
        words: Vec::new(),
        light: StyleLight { altitude_deg: 52.0, radius_deg: 16.0, key: 0.5, window: 0.0 },
        fill: Fill { main: 0.88, scene: 0.55 },
        scenes: vec![paper.clone()],
        flats: vec![paper],
        kinds: Vec::new(),
    }
}

/// How well `words` fit the product: twice the length of the longest that occurs as
/// whole words, plus one when it is in the title; 0 = none occurs.
fn affinity(product: &Product, words: &[String]) -> usize {
    let (title, category) = (normal(&product.title), normal(&product.category));
    words
        .iter()
        .map(|word| {
            let padded = format!(" {word} ");
            if title.contains(&padded) {
                word.len() * 2 + 1
            } else if category.contains(&padded) {
                word.len() * 2
            } else {
                0
            }
        })
        .max()
        .unwrap_or(0)
}

/// Lower-case words in the singular, separated and framed by single spaces.
fn normal(text: &str) -> String {
    let mut out = String::from(" ");
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        let singular = match word {
            w if w.len() > 4 && w.ends_with("ies") => format!("{}y", &w[..w.len() - 3]),
            w if w.len() > 3 && w.ends_with('s') && !w.ends_with("ss") => w[..w.len() - 1].to_owned(),
            w => w.to_owned(),
        };
        out.push_str(&singular);
        out.push(' ');
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::generate::studio::testing::product;

    #[test]
    fn every_file_parses_and_is_complete() {
        for text in FILES {
            let style = Style::parse(text).unwrap();
            assert!(!style.scenes.is_empty() && !style.flats.is_empty(), "{}", style.name);
            assert!((0.8..=0.92).contains(&style.fill.main), "{}", style.name);
            for word in style.words.iter().chain(style.kinds.iter().flat_map(|k| &k.words)) {
                assert_eq!(normal(word).trim(), word, "{}: words are lower case and singular", style.name);
            }
        }
    }

    #[test]
    fn categories_choose_styles() {
        for (title, category, expected) in [
            ("Blue Plimsolls", "Sneakers", "fashion"),
            ("Apple Juice", "Juices", "food"),
            ("The Dash Cushion", "Homewares", "home"),
            ("Hairdryer", "hair/beauty", "beauty"),
            ("TrailSeeker GPS Watch", "Navigation", "jewellery"),
            ("Lounge Chair", "Living room", "furniture"),
            ("Wireless Headphones", "Audio", "tech"),
            ("", "", "home"),
            ("Zzz", "Qqq", "home"),
        ] {
            assert_eq!(style_for(&product(title, category)).name, expected, "{title} / {category}");
        }
    }
}
