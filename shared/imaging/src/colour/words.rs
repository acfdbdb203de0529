//! Plain colour words: naming a measured colour, and comparing a catalog's words with what
//! the pixels show.

use std::sync::LazyLock;

use super::{Lab, ciede2000, lab};

/// Prototype colours of each plain word: word, family, sRGB values a person would call so.
const WORDS: &[(&str, &str, &[u32])] = &[
    ("black", "black", &[0x00_0000, 0x12_1212, 0x1e_1d1d]),
    ("charcoal", "grey", &[0x36_373a, 0x2e_2f31, 0x40_4143]),
    ("dark grey", "grey", &[0x55_5556, 0x60_6060]),
    ("grey", "grey", &[0x80_8080, 0x70_7172, 0x96_9696]),
    ("light grey", "grey", &[0xb4_b4b4, 0xc8_c8c9, 0xd6_d6d7]),
    ("white", "white", &[0xff_ffff, 0xf6_f6f6, 0xea_ebec]),
    ("off-white", "white", &[0xf5_f1e8, 0xec_e7dc, 0xe4_dfd3]),
    ("cream", "white", &[0xff_f3d6, 0xf3_e6c4]),
    ("beige", "brown", &[0xdc_cbb0, 0xcd_b99b, 0xe3_d5c0, 0xc2_b096]),
    ("taupe", "brown", &[0x8b_7d6f, 0x9c_8f82, 0x6f_645a]),
    ("tan", "brown", &[0xc6_9c6d, 0xb9_8e5f, 0xd2_ae83]),
    ("brown", "brown", &[0x6b_4423, 0x7b_5335, 0x8a_5a3c, 0x5d_4030, 0x96_6a44]),
    ("dark brown", "brown", &[0x3b_2416, 0x2f_1f16, 0x42_2e22]),
    ("rust", "brown", &[0xb5_532a, 0xa0_461f]),
    ("khaki", "green", &[0xa3_9a6b, 0xb5_a77a, 0x8f_8760]),
    ("olive", "green", &[0x6b_6b2a, 0x55_582d, 0x80_8000, 0x47_4a26]),
    ("sage", "green", &[0x9c_af88, 0xb2_b9a0, 0x8a_9a80, 0xa7_b5a0]),
    ("mint", "green", &[0xa8_e0c4, 0xbd_f0d8]),
    ("lime", "green", &[0xa4_d324, 0x9a_cd32, 0xc6_f04a]),
    ("green", "green", &[0x2e_8b40, 0x3a_a655, 0x1f_7a35, 0x4c_af50, 0x00_ff00, 0x6f_9a4e]),
    ("dark green", "green", &[0x1b_4d2b, 0x0f_3d24, 0x1e_3b2a, 0x2c_4a35]),
    ("teal", "blue", &[0x0f_7f7f, 0x1f_6f70, 0x2a_8f8a, 0x0d_5558]),
    ("turquoise", "blue", &[0x40_d0c8, 0x30_b8b8, 0x7f_dcd8]),
    ("light blue", "blue", &[0xa8_cdea, 0xb9_d7ee, 0x87_ceeb, 0xc9_dceb]),
    ("blue", "blue", &[0x2f_6fbf, 0x1e_5fae, 0x3f_7fd0, 0x46_82b4, 0x5a_8fc0, 0x2a_5288]),
    ("royal blue", "blue", &[0x23_40b0, 0x1a_3fd0, 0x41_69e1, 0x00_00ff]),
    ("navy", "blue", &[0x14_213d, 0x1b_2a52, 0x0b_1a3a, 0x1f_2d4a, 0x00_0080, 0x26_3558]),
    ("lavender", "purple", &[0xc8_b6e2, 0xb9_a5d6]),
    ("purple", "purple", &[0x6a_2c91, 0x7d_3cb5, 0x5a_2a6e, 0x80_0080, 0x4a_2c66]),
    ("magenta", "pink", &[0xd0_208a, 0xe0_218a, 0xff_00ff]),
    ("pink", "pink", &[0xf4_a6bf, 0xf7_bfd0, 0xec_7fa5, 0xff_c0cb, 0xd9_94a4]),
    ("coral", "red", &[0xff_7f61, 0xf4_836c]),
    ("peach", "orange", &[0xff_cba4, 0xf6_c6a6]),
    ("red", "red", &[0xd0_1c1f, 0xc8_102e, 0xe0_3131, 0xb8_1c22, 0xff_0000, 0xa8_2028]),
    ("burgundy", "red", &[0x6b_1424, 0x7a_1f30, 0x58_1420, 0x40_121b]),
    ("orange", "orange", &[0xf2_8c28, 0xff_7f0e, 0xe9_771a]),
    ("mustard", "yellow", &[0xd2_a02a, 0xc9_951c, 0xe1_ad01]),
    ("gold", "yellow", &[0xc9_a24a, 0xb4_8b3c, 0xd4_af37, 0xd9_bd72]),
    ("yellow", "yellow", &[0xf5_dc2e, 0xff_e54a, 0xff_d400, 0xff_ff00]),
];

/// Catalog words and phrases, and the plain words whose pixels do not contradict them. A
/// basic word takes in its neighbours, because light and lenses move colours.
const CATALOG: &[(&str, &[&str])] = &[
    ("black", &["black", "charcoal"]),
    ("jet", &["black"]),
    ("onyx", &["black", "charcoal"]),
    ("ebony", &["black", "charcoal", "dark brown"]),
    ("charcoal", &["charcoal", "dark grey", "black"]),
    ("anthracite", &["charcoal", "dark grey", "black"]),
    ("graphite", &["charcoal", "dark grey", "grey"]),
    ("slate", &["charcoal", "dark grey", "grey", "blue"]),
    ("gunmetal", &["charcoal", "dark grey", "grey"]),
    ("dark grey", &["dark grey", "charcoal", "grey"]),
    ("light grey", &["light grey", "grey", "white", "off-white"]),
    ("grey", &["grey", "light grey", "dark grey", "charcoal", "taupe"]),
    ("silver", &["grey", "light grey", "dark grey", "charcoal", "white"]),
    ("chrome", &["grey", "light grey", "dark grey", "charcoal", "white", "black"]),
    ("steel", &["grey", "light grey", "dark grey", "charcoal"]),
    ("white", &["white", "off-white", "cream", "light grey"]),
    ("off white", &["off-white", "white", "cream", "light grey", "beige"]),
    ("ivory", &["off-white", "cream", "white", "beige"]),
    ("cream", &["cream", "off-white", "beige", "white"]),
    ("ecru", &["cream", "off-white", "beige"]),
    ("beige", &["beige", "tan", "cream", "off-white", "taupe", "khaki"]),
    ("sand", &["beige", "tan", "cream", "khaki"]),
    ("taupe", &["taupe", "beige", "grey", "brown"]),
    ("camel", &["tan", "brown", "beige", "gold"]),
    ("tan", &["tan", "beige", "brown", "gold"]),
    ("cognac", &["brown", "rust", "tan"]),
    ("brown", &["brown", "dark brown", "tan", "rust", "taupe"]),
    ("chocolate", &["brown", "dark brown"]),
    ("espresso", &["dark brown", "black", "brown"]),
    ("walnut", &["brown", "dark brown", "taupe"]),
    ("rust", &["rust", "brown", "orange", "red"]),
    ("terracotta", &["rust", "brown", "coral", "orange"]),
    ("copper", &["rust", "brown", "tan", "orange", "gold"]),
    ("bronze", &["brown", "tan", "gold", "dark brown", "rust", "olive"]),
    ("khaki", &["khaki", "beige", "tan", "olive", "taupe"]),
    ("olive", &["olive", "khaki", "green", "dark green"]),
    ("sage", &["sage", "mint", "khaki"]),
    ("mint", &["mint", "sage", "turquoise"]),
    ("lime", &["lime", "green", "yellow"]),
    ("emerald", &["green", "dark green", "teal"]),
    ("forest green", &["dark green", "green", "olive"]),
    ("dark green", &["dark green", "green", "olive", "teal"]),
    ("green", &["green", "dark green", "lime", "sage", "mint", "olive", "teal", "khaki"]),
    ("teal", &["teal", "turquoise", "dark green", "blue"]),
    ("turquoise", &["turquoise", "teal", "mint", "light blue"]),
    ("aqua", &["turquoise", "teal", "light blue", "mint"]),
    ("cyan", &["turquoise", "light blue", "blue"]),
    ("sky blue", &["light blue", "blue", "turquoise"]),
    ("light blue", &["light blue", "blue", "turquoise"]),
    ("baby blue", &["light blue", "blue"]),
    ("royal blue", &["royal blue", "blue", "navy"]),
    ("cobalt", &["royal blue", "blue", "navy"]),
    ("dark blue", &["navy", "blue", "royal blue"]),
    ("navy", &["navy"]),
    ("midnight", &["navy", "black"]),
    ("indigo", &["navy", "purple", "royal blue", "blue"]),
    ("denim", &["blue", "navy", "light blue"]),
    ("blue", &["blue", "light blue", "royal blue", "navy", "teal", "turquoise"]),
    ("lavender", &["lavender", "purple", "light blue", "pink"]),
    ("lilac", &["lavender", "purple", "pink"]),
    ("violet", &["purple", "lavender", "magenta"]),
    ("purple", &["purple", "lavender", "magenta", "burgundy"]),
    ("plum", &["purple", "burgundy"]),
    ("magenta", &["magenta", "pink", "purple"]),
    ("fuchsia", &["magenta", "pink", "purple"]),
    ("pink", &["pink", "magenta", "coral", "peach", "lavender"]),
    ("rose gold", &["pink", "peach", "tan", "rust", "gold", "beige", "coral"]),
    ("rose", &["pink", "coral", "red", "magenta"]),
    ("blush", &["pink", "peach", "beige"]),
    ("coral", &["coral", "pink", "orange", "red"]),
    ("salmon", &["coral", "pink", "peach"]),
    ("peach", &["peach", "coral", "pink", "beige"]),
    ("crimson", &["red", "burgundy"]),
    ("scarlet", &["red", "orange"]),
    ("red", &["red", "burgundy", "coral", "rust"]),
    ("burgundy", &["burgundy", "red", "purple"]),
    ("maroon", &["burgundy", "red", "dark brown"]),
    ("wine", &["burgundy", "red", "purple"]),
    ("orange", &["orange", "rust", "coral", "peach", "mustard"]),
    ("mustard", &["mustard", "gold", "yellow", "tan"]),
    ("gold", &["gold", "mustard", "yellow", "tan", "brown", "beige"]),
    ("brass", &["gold", "mustard", "tan", "brown"]),
    ("yellow", &["yellow", "mustard", "gold", "lime", "cream"]),
    ("lemon", &["yellow", "cream", "lime"]),
];

/// Smallest share of the product that counts as showing a named colour.
const SHARE_MIN: f32 = 0.03;
/// Distance (CIEDE2000) from a word's nearest prototype within which pixels never
/// contradict it.
const DISTANCE_MAX: f32 = 9.0;
/// How much nearer another word must be before the catalog's word is doubted.
const LEAD_MIN: f32 = 4.0;

struct Prototype {
    word: &'static str,
    lab: Lab,
}

static PROTOTYPES: LazyLock<Vec<Prototype>> = LazyLock::new(|| {
    WORDS
        .iter()
        .flat_map(|&(word, _, values)| {
            values
                .iter()
                .map(move |&v| Prototype { word, lab: lab([(v >> 16) as u8, (v >> 8) as u8, v as u8]) })
        })
        .collect()
});

/// A catalog's colour word that no measured colour supports.
#[derive(Clone, PartialEq, Debug)]
pub struct Contradiction {
    /// The catalog's word or phrase, lower case.
    pub stated: String,
    /// The plain word of the measured colour with the largest share.
    pub measured: &'static str,
    /// CIEDE2000 distance from the nearest measured colour to the nearest colour that the
    /// stated word allows.
    pub distance: f32,
    /// The distance from which a word is doubted.
    pub threshold: f32,
}

/// The plain word nearest to a colour by CIEDE2000, for example `navy` or `off-white`.
pub fn nearest_word(colour: Lab) -> &'static str {
    nearest(colour).0
}

/// The basic family of a plain word (`navy` is `blue`); words that are not plain words are
/// their own family.
pub fn family(word: &str) -> &str {
    WORDS.iter().find(|(name, ..)| *name == word).map_or(word, |(_, family, _)| family)
}

fn nearest(colour: Lab) -> (&'static str, f32) {
    distance_to(colour, |_| true)
}

/// The nearest prototype among the words that `allowed` lets through.
fn distance_to(colour: Lab, allowed: impl Fn(&str) -> bool) -> (&'static str, f32) {
    PROTOTYPES
        .iter()
        .filter(|p| allowed(p.word))
        .map(|p| (p.word, ciede2000(colour, p.lab)))
        .min_by(|x, y| x.1.total_cmp(&y.1))
        .unwrap_or(("grey", f32::MAX))
}

/// Compares a catalog's colour words ("Navy / White", "dark-green") with measured colours
/// and their shares of the product (0 to 1). Every known word must be supported by some
/// colour with a share of 3 % or more; unknown words ("multi", "dune") are ignored. Returns
/// the strongest contradiction, `None` when nothing known is contradicted.
pub fn word_matches(catalog_words: &str, colours: &[(Lab, f32)]) -> Option<Contradiction> {
    let main = colours.iter().max_by(|x, y| x.1.total_cmp(&y.1))?;
    let measured = nearest_word(main.0);
    stated_words(catalog_words)
        .into_iter()
        .filter_map(|(stated, allowed)| {
            let (distance, lead) = colours
                .iter()
                .filter(|(_, share)| *share >= SHARE_MIN)
                .map(|&(colour, _)| {
                    let own = distance_to(colour, |word| allowed.contains(&word)).1;
                    (own, own - nearest(colour).1)
                })
                .min_by(|x, y| x.1.total_cmp(&y.1))?;
            (distance > DISTANCE_MAX && lead > LEAD_MIN).then(|| Contradiction {
                stated: stated.to_owned(),
                measured,
                distance,
                threshold: DISTANCE_MAX,
            })
        })
        .max_by(|x, y| x.distance.total_cmp(&y.distance))
}

/// The known colour words of a catalog's text, longest phrase first, each with the plain
/// words it allows.
fn stated_words(text: &str) -> Vec<(&'static str, &'static [&'static str])> {
    let lower = text.chars().take(500).collect::<String>().to_lowercase().replace("gray", "grey");
    let tokens: Vec<&str> = lower.split(|c: char| !c.is_alphabetic()).filter(|t| !t.is_empty()).collect();
    let mut found: Vec<(&str, &[&str])> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let pair = tokens.get(i + 1).map(|next| format!("{} {next}", tokens[i]));
        let phrase = pair.as_deref().and_then(|p| CATALOG.iter().find(|(word, _)| *word == p));
        let single = CATALOG.iter().find(|(word, _)| *word == tokens[i]);
        if let Some(&(word, allowed)) = phrase.or(single) {
            let qualified = phrase.is_none()
                && tokens.get(i + 1).is_some_and(|next| {
                    allowed.iter().any(|a| family(a) == *next) && CATALOG.iter().any(|(w, _)| w == next)
                });
            if !found.iter().any(|(seen, _)| *seen == word) {
                found.push((word, allowed));
            }
            // "navy blue" is one colour: the second word only says the family.
            i += if phrase.is_some() || qualified { 2 } else { 1 };
        } else {
            i += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn words_of_colours() {
        let check = |rgb: [u8; 3], word: &str| assert_eq!(nearest_word(lab(rgb)), word, "{rgb:?}");
        check([8, 8, 9], "black");
        check([254, 254, 254], "white");
        check([128, 128, 128], "grey");
        check([20, 30, 62], "navy");
        check([200, 20, 30], "red");
        check([156, 173, 140], "sage");
        check([212, 162, 40], "mustard");
        check([90, 60, 40], "brown");
        check([250, 245, 235], "off-white");
        check([60, 100, 220], "royal blue");
    }

    #[test]
    fn families() {
        assert_eq!(family("navy"), "blue");
        assert_eq!(family("sage"), "green");
        assert_eq!(family("dune"), "dune");
        for (phrase, allowed) in CATALOG {
            for word in *allowed {
                assert!(WORDS.iter().any(|(w, ..)| w == word), "{phrase}: {word} is not a plain word");
            }
        }
    }

    fn contradicts(words: &str, colours: &[([u8; 3], f32)]) -> Option<String> {
        let measured: Vec<(Lab, f32)> = colours.iter().map(|&(rgb, share)| (lab(rgb), share)).collect();
        word_matches(words, &measured).map(|c| c.stated)
    }

    #[test]
    fn navy_against_black_is_a_contradiction() {
        let black = [([14, 14, 15], 0.8), ([40, 40, 42], 0.2)];
        assert_eq!(contradicts("Navy", &black), Some("navy".into()));
        assert_eq!(contradicts("Navy blue", &black), Some("navy".into()));
        assert_eq!(contradicts("black", &black), None);
        assert_eq!(contradicts("Charcoal", &black), None);
        assert_eq!(contradicts("navy", &[([24, 34, 66], 0.9)]), None);
    }

    #[test]
    fn sets_of_words_and_unknown_words() {
        let set = [([190, 24, 30], 0.5), ([20, 20, 20], 0.5)];
        assert_eq!(contradicts("red/black", &set), None);
        assert_eq!(contradicts("red, green", &set), Some("green".into()));
        assert_eq!(contradicts("multi dune 42", &set), None);
        assert_eq!(contradicts("", &set), None);
        assert_eq!(contradicts("red", &[]), None);
        assert_eq!(contradicts("GRAY", &[([130, 130, 130], 1.0)]), None);
        assert_eq!(contradicts("sage green", &[([156, 173, 140], 1.0)]), None);
        assert_eq!(contradicts("sage", &[([140, 140, 140], 1.0)]), Some("sage".into()));
        assert_eq!(contradicts("gold", &[([140, 140, 140], 1.0)]), Some("gold".into()));
    }
}
