//! Which part of a master becomes a channel's picture, and at which size. Pure geometry:
//! no pixel is touched here.

use image::{GrayImage, RgbImage};
use packshot_imaging::mask;
use packshot_imaging::photo::Rect;

use super::channel::{Fill, Ratio, SlotRules};

/// Coverage below this is no product: 3 % of a pixel cannot be told from its background.
pub const COVERED: u8 = 8;
/// Enlarging more than this is only done for a channel's hard minimum, and is always said.
pub const ENLARGE_MAX: f64 = 2.0;

/// Largest window, in pixels: a thin product in a square frame must not ask for gigabytes.
const WINDOW_PIXELS_MAX: f64 = 150e6;

/// A window of the master, in pixels of the master; it may reach beyond it on a plain
/// background.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Window {
    /// Left edge, may be negative.
    pub x: i64,
    /// Top edge, may be negative.
    pub y: i64,
    /// Width, at least 1.
    pub w: u32,
    /// Height, at least 1.
    pub h: u32,
}

/// What to cut out of a master and how large to make it.
#[derive(Clone, PartialEq, Debug)]
pub struct Framing {
    /// The part.
    pub window: Window,
    /// Width of the file in pixels.
    pub width: u32,
    /// Height of the file in pixels.
    pub height: u32,
    /// File pixels per master pixel; over 1 = enlarged.
    pub enlarged: f64,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Where the product is and what surrounds it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Subject {
    /// Size of the master.
    pub width: u32,
    /// Size of the master.
    pub height: u32,
    /// Bounding box of the product.
    pub product: Rect,
    /// The colour of the master's edge when it is one colour all around.
    pub plain: Option<[u8; 3]>,
}

impl Subject {
    /// Looks at a master; `None` when it is empty, its mask has another size or the mask
    /// holds no product.
    pub fn of(image: &RgbImage, product_mask: &GrayImage) -> Option<Self> {
        if image.dimensions() != product_mask.dimensions() || image.width() == 0 || image.height() == 0 {
            return None;
        }
        let product = mask::bounds(product_mask, 128).or_else(|| mask::bounds(product_mask, COVERED))?;
        Some(Self {
            width: image.width(),
            height: image.height(),
            product,
            plain: edge_colour(image, product_mask),
        })
    }

    /// Larger share of the frame's sides that the product's bounding box takes, 0 to 1.
    pub fn fill(&self) -> f64 {
        fill(self.product, self.width, self.height)
    }

    /// Whether the master itself already cuts the product, as close views do.
    fn is_cut(&self) -> bool {
        let p = self.product;
        p.x == 0 || p.y == 0 || p.x + p.w >= self.width || p.y + p.h >= self.height
    }

    fn whole(&self) -> Window {
        Window { x: 0, y: 0, w: self.width, h: self.height }
    }
}

/// Larger share of a frame's sides that a bounding box takes, 0 to 1.
pub fn fill(product: Rect, width: u32, height: u32) -> f64 {
    let across = f64::from(product.w) / f64::from(width.max(1));
    let down = f64::from(product.h) / f64::from(height.max(1));
    across.max(down)
}

/// The one colour of the outermost pixels that are not product; `None` when they differ
/// by more than 2 steps, or when nearly all of them are product.
fn edge_colour(image: &RgbImage, product_mask: &GrayImage) -> Option<[u8; 3]> {
    let (w, h) = image.dimensions();
    let ring = (0..w)
        .flat_map(|x| [(x, 0), (x, h - 1)])
        .chain((0..h).flat_map(|y| [(0, y), (w - 1, y)]))
        .filter(|&(x, y)| product_mask.get_pixel(x, y)[0] < COVERED);
    let (mut low, mut high, mut count) = ([255u8; 3], [0u8; 3], 0u32);
    for (x, y) in ring {
        let pixel = image.get_pixel(x, y).0;
        for c in 0..3 {
            low[c] = low[c].min(pixel[c]);
            high[c] = high[c].max(pixel[c]);
        }
        count += 1;
    }
    if count == 0 || (0..3).any(|c| high[c] - low[c] > 2) {
        return None;
    }
    Some(high)
}

/// Decides window and size for a slot.
///
/// The master's own frame is kept where it follows the rules. Otherwise the window is set
/// around the product (`fill`), widened on a plain background, or narrowed as long as the
/// product stays inside.
///
/// # Errors
/// A sentence why no frame follows the rules.
pub fn frame(subject: &Subject, rules: &SlotRules<'_>) -> Result<Framing, String> {
    let mut notes = Vec::new();
    let window = match rules.fill {
        Some(fill) => fill_window(subject, fill, rules)?,
        None => match rules.ratio {
            Some(ratio) => match ratio_window(subject, ratio, rules) {
                Ok(window) => window,
                Err(why) if ratio.firm => return Err(why),
                Err(why) => {
                    notes.push(format!("kept at its own ratio: {why}"));
                    subject.whole()
                }
            },
            None => subject.whole(),
        },
    };
    let kept_ratio = rules.ratio.filter(|_| notes.is_empty());
    size(window, kept_ratio, rules, notes)
}

/// Background that may be continued beyond the master: white by rule, or one colour.
fn may_widen(subject: &Subject, rules: &SlotRules<'_>) -> bool {
    subject.plain.is_some() || rules.white.is_some()
}

fn fill_window(subject: &Subject, fill: Fill, rules: &SlotRules<'_>) -> Result<Window, String> {
    let now = subject.fill();
    let has_ratio = rules.ratio.is_none_or(|r| is_ratio(subject.width, subject.height, r));
    let slack = 0.01;
    let kept = f64::from(fill.min) + slack..=f64::from(fill.max) - slack;
    if has_ratio && kept.contains(&now) {
        return Ok(subject.whole());
    }
    if !may_widen(subject, rules) {
        return Err(format!(
            "the product fills {:.0} % of the frame, asked are {:.0} to {:.0} %, and the background cannot be continued",
            now * 100.0,
            fill.min * 100.0,
            fill.max * 100.0
        ));
    }
    let (rw, rh) = match rules.ratio {
        Some(ratio) => (f64::from(ratio.width), f64::from(ratio.height)),
        None => (f64::from(subject.width), f64::from(subject.height)),
    };
    let p = subject.product;
    let aim = f64::from(fill.aim);
    let w = (f64::from(p.w) / aim).max(f64::from(p.h) / aim * rw / rh);
    Ok(around(p, w, w * rh / rw))
}

/// A window of this size with the box in its middle.
fn around(product: Rect, w: f64, h: f64) -> Window {
    let (w, h) = (w.round().clamp(1.0, 1e6), h.round().clamp(1.0, 1e6));
    let x = f64::from(product.x) + f64::from(product.w) / 2.0 - w / 2.0;
    let y = f64::from(product.y) + f64::from(product.h) / 2.0 - h / 2.0;
    Window { x: x.round() as i64, y: y.round() as i64, w: w as u32, h: h as u32 }
}

fn ratio_window(subject: &Subject, ratio: Ratio, rules: &SlotRules<'_>) -> Result<Window, String> {
    if is_ratio(subject.width, subject.height, ratio) {
        return Ok(subject.whole());
    }
    let (rw, rh) = (f64::from(ratio.width), f64::from(ratio.height));
    let (w, h) = (f64::from(subject.width), f64::from(subject.height));
    if may_widen(subject, rules) {
        // The smallest window of the ratio that holds the whole master, which stays where
        // it is within it.
        let wide = w.max(h * rw / rh);
        let whole = Rect { x: 0, y: 0, w: subject.width, h: subject.height };
        return Ok(around(whole, wide, wide * rh / rw));
    }
    let narrow = w.min(h * rw / rh);
    let (nw, nh) = (narrow.floor().max(1.0) as u32, (narrow * rh / rw).floor().max(1.0) as u32);
    let (nw, nh) = (nw.min(subject.width), nh.min(subject.height));
    let p = subject.product;
    let keeps_all = p.w <= nw && p.h <= nh;
    if !keeps_all && !subject.is_cut() {
        return Err(format!(
            "a crop to {}:{} would cut the product, which takes {} by {} of {} by {} px",
            ratio.width, ratio.height, p.w, p.h, subject.width, subject.height
        ));
    }
    let window = around(p, f64::from(nw), f64::from(nh));
    Ok(Window {
        x: window.x.clamp(0, i64::from(subject.width - nw)),
        y: window.y.clamp(0, i64::from(subject.height - nh)),
        ..window
    })
}

/// Whether a size has a ratio to within the rounding of one side to whole pixels.
pub fn is_ratio(width: u32, height: u32, ratio: Ratio) -> bool {
    let (w, h) = (i128::from(width), i128::from(height));
    let (rw, rh) = (i128::from(ratio.width), i128::from(ratio.height));
    (w * rh - h * rw).abs() < rw.max(rh)
}

fn size(
    window: Window,
    ratio: Option<Ratio>,
    rules: &SlotRules<'_>,
    mut notes: Vec<String>,
) -> Result<Framing, String> {
    let (w, h) = (f64::from(window.w), f64::from(window.h));
    if w * h > WINDOW_PIXELS_MAX {
        return Err(format!("a frame of {w} by {h} px around the product is too large to be made"));
    }
    let longest = w.max(h);
    let minimum = scale_minimum(w, h, rules);
    let zoom = f64::from(rules.target.enlarge_to) / longest;
    let aim = f64::from(rules.target.longest) / longest;
    // Down to the aim; else as it is, up to where zoom starts while that is honest, and
    // up to the hard minimum in any case.
    let scale = aim.min(1.0).max(zoom.min(ENLARGE_MAX)).max(minimum).min(scale_maximum(w, h, rules));
    if scale < minimum {
        return Err("the channel's smallest and largest sizes exclude each other for this ratio".to_owned());
    }
    let (width, height) = whole_pixels(w * scale, h * scale, ratio, scale <= minimum);
    if width > 30_000 || height > 30_000 {
        return Err(format!("a picture of {width} by {height} px is too large to be made"));
    }
    let enlarged = f64::from(width) / w;
    if enlarged > 1.001 {
        notes.push(format!("enlarged {enlarged:.2} times to reach the channel's size"));
    }
    Ok(Framing { window, width, height, enlarged, notes })
}

/// The smallest scale at which every lower limit is met.
fn scale_minimum(w: f64, h: f64, rules: &SlotRules<'_>) -> f64 {
    let p = rules.pixels;
    [(p.longest_min, w.max(h)), (p.shortest_min, w.min(h)), (p.width_min, w), (p.height_min, h)]
        .into_iter()
        .filter_map(|(limit, side)| limit.map(|limit| f64::from(limit) / side))
        .fold(0.0, f64::max)
}

/// The largest scale at which every upper limit is met.
fn scale_maximum(w: f64, h: f64, rules: &SlotRules<'_>) -> f64 {
    let side = rules.pixels.longest_max.map_or(f64::INFINITY, |limit| f64::from(limit) / w.max(h));
    let area = rules.pixels.area_max.map_or(f64::INFINITY, |limit| (limit as f64 / (w * h)).sqrt() * 0.999);
    side.min(area)
}

/// Rounds a size, the second side following the first by the ratio. At a lower limit the
/// rounding goes up.
fn whole_pixels(w: f64, h: f64, ratio: Option<Ratio>, up: bool) -> (u32, u32) {
    let round = |v: f64| if up { (v - 1e-6).ceil() } else { v.round() }.clamp(1.0, 4e9) as u32;
    let Some(ratio) = ratio else { return (round(w), round(h)) };
    let (rw, rh) = (f64::from(ratio.width), f64::from(ratio.height));
    if rw >= rh {
        let width = round(w);
        (width, round(f64::from(width) * rh / rw))
    } else {
        let height = round(h);
        (round(f64::from(height) * rw / rh), height)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::super::channel::Channel;
    use super::*;

    fn subject(width: u32, height: u32, product: [u32; 4], plain: bool) -> Subject {
        let [x, y, w, h] = product;
        Subject { width, height, product: Rect { x, y, w, h }, plain: plain.then_some([255; 3]) }
    }

    fn framed(channel: &str, slot: &str, subject: &Subject) -> Result<Framing, String> {
        let channel = Channel::by_name(channel).unwrap();
        let slot = channel.slots.iter().find(|s| s.name == slot).unwrap();
        frame(subject, &channel.rules_of(slot).unwrap())
    }

    #[test]
    fn a_frame_that_follows_the_rules_is_kept() {
        let s = subject(2400, 2400, [120, 600, 2160, 1200], true);
        let f = framed("amazon", "MAIN", &s).unwrap();
        assert_eq!(f.window, Window { x: 0, y: 0, w: 2400, h: 2400 });
        assert_eq!((f.width, f.height), (2000, 2000));
        assert!(f.notes.is_empty());
    }

    #[test]
    fn a_small_product_is_framed_closer_and_a_tight_one_wider() {
        for product in [[500, 700, 800, 400], [0, 100, 2000, 1500], [900, 0, 200, 2000]] {
            let s = subject(2000, 2000, product, true);
            for (channel, slot) in [("amazon", "MAIN"), ("google", "image_link"), ("walmart", "1")] {
                let f = framed(channel, slot, &s).unwrap();
                assert_eq!(f.width, f.height);
                let share = f64::from(product[2].max(product[3])) / f64::from(f.window.w);
                let rules = Channel::by_name(channel).unwrap();
                let fill = rules.rules_of(&rules.slots[0]).unwrap().fill.unwrap();
                assert!(share >= f64::from(fill.min) && share <= f64::from(fill.max), "{channel} {share}");
            }
        }
    }

    #[test]
    fn a_scene_is_cropped_around_the_product_or_refused() {
        let fits = subject(1500, 1000, [1100, 300, 300, 500], false);
        let f = framed("walmart", "5", &fits).unwrap();
        assert_eq!(f.window, Window { x: 500, y: 0, w: 1000, h: 1000 });
        let wide = subject(1500, 1000, [100, 300, 1300, 500], false);
        assert!(framed("walmart", "5", &wide).unwrap_err().contains("would cut the product"));
        let kept = framed("shopify", "5-lifestyle", &wide).unwrap();
        assert_eq!((kept.width, kept.height), (1500, 1000));
        assert!(kept.notes[0].starts_with("kept at its own ratio"));
    }

    #[test]
    fn a_close_view_may_be_cropped_further() {
        let close = subject(1500, 1000, [0, 0, 1500, 1000], false);
        assert_eq!(framed("walmart", "3", &close).unwrap().window, Window { x: 250, y: 0, w: 1000, h: 1000 });
    }

    #[test]
    fn enlarging_stops_at_twice_unless_the_minimum_asks() {
        let tiny = subject(400, 400, [20, 20, 360, 360], true);
        let f = framed("amazon", "MAIN", &tiny).unwrap();
        assert_eq!(f.width, 800, "zoom would need 1000, twice is the most");
        assert!(f.notes[0].contains("enlarged 2.00 times"), "{:?}", f.notes);
        let speck = subject(100, 100, [5, 5, 90, 90], true);
        assert_eq!(framed("amazon", "MAIN", &speck).unwrap().width, 500);
    }

    #[test]
    fn every_size_has_the_asked_ratio_and_limits() {
        for (w, h) in [(1, 1), (3, 700), (641, 1139), (1200, 628), (1913, 1001), (5000, 5000), (9999, 401)] {
            let s = subject(w, h, [0, 0, w, h], true);
            for channel in super::super::channel::all() {
                for slot in &channel.slots {
                    let rules = channel.rules_of(slot).unwrap();
                    let Ok(f) = frame(&s, &rules) else { continue };
                    if let Some(ratio) = rules.ratio.filter(|r| r.firm) {
                        assert!(is_ratio(f.width, f.height, ratio), "{} {} {f:?}", channel.name, slot.name);
                    }
                    let longest = f.width.max(f.height);
                    assert!(longest >= rules.pixels.longest_min.unwrap_or(0));
                    assert!(f.width.min(f.height) >= rules.pixels.shortest_min.unwrap_or(0));
                    assert!(longest <= rules.pixels.longest_max.unwrap_or(u32::MAX));
                }
            }
        }
    }

    #[test]
    fn an_empty_mask_or_another_size_is_no_subject() {
        assert_eq!(Subject::of(&RgbImage::new(5, 5), &GrayImage::new(5, 5)), None);
        assert_eq!(Subject::of(&RgbImage::new(5, 5), &GrayImage::new(4, 5)), None);
        assert_eq!(Subject::of(&RgbImage::new(0, 0), &GrayImage::new(0, 0)), None);
        let one = Subject::of(&RgbImage::new(1, 1), &GrayImage::from_pixel(1, 1, image::Luma([255])));
        assert_eq!(one.unwrap().product, Rect { x: 0, y: 0, w: 1, h: 1 });
    }
}
