//! The product-truth list of one SKU: catalog statements and measured pixels side by side,
//! with what contradicts what.

use image::GrayImage;
use packshot_imaging::blur::{Plane, gaussian};
use packshot_imaging::colour::{Lab, lab_image, word_matches};
use packshot_imaging::mask;
use packshot_imaging::photo::{Cutout, Photo, Rect};
use packshot_imaging::resize::{crop_gray, crop_rgb, resize_gray, resize_rgb};
use packshot_pipeline::catalog::{Product, Reference};
use packshot_pipeline::facts::{ColourFact, Facts, Silhouette, Source, Stated};
use packshot_pipeline::finding::{Axis, Finding, Region, Severity};

use super::{colours, protected, surface};

/// Height in pixels at which surfaces are compared.
const SURFACE_HEIGHT: f32 = 1_000.0;
/// Longest side at which labels and details are looked for.
const DETAIL_SIDE: f32 = 520.0;
/// Longest side at which holes are counted.
const OUTLINE_SIDE: u32 = 700;
/// Smallest hole that counts, as a share of the product's area.
const HOLE_SHARE_MIN: f64 = 0.001;

/// Writes the facts down. `reference`, `photo` and `cutout` are those of the chosen
/// reference.
pub fn facts(product: &Product, reference: &Reference, photo: &Photo, cutout: &Cutout) -> Facts {
    let (w, h) = cutout.alpha.dimensions();
    let bounds = mask::bounds(&cutout.alpha, 128).unwrap_or(Rect { x: 0, y: 0, w: w.max(1), h: h.max(1) });
    let colours = colours::colours(&photo.rgb, &cutout.alpha, bounds);
    let (texture, protected) = measured_surface(cutout, bounds);
    Facts {
        reference: reference.digest,
        contradictions: contradictions(product, &colours, bounds),
        silhouette: silhouette(cutout, bounds),
        colours,
        texture,
        protected,
        dimensions: product.dimensions,
        stated: stated(product),
    }
}

fn measured_surface(
    cutout: &Cutout,
    bounds: Rect,
) -> (packshot_pipeline::facts::Texture, Vec<packshot_pipeline::facts::ProtectedRegion>) {
    let rgb = crop_rgb(&cutout.foreground, bounds);
    let alpha = crop_gray(&cutout.alpha, bounds);
    let scaled = |scale: f32| {
        let size = |v: u32| ((v as f32 * scale).round() as u32).max(1);
        let (w, h) = (size(bounds.w), size(bounds.h));
        (lab_image(&resize_rgb(&rgb, w, h)), coverage(&resize_gray(&alpha, w, h)))
    };
    let surface_scale =
        (SURFACE_HEIGHT / bounds.h as f32).min(SURFACE_HEIGHT / bounds.w as f32 * 2.0).min(1.0);
    let (product, cover) = scaled(surface_scale);
    // The rim mixes product and background; a soft coverage falls below full there.
    let cover = gaussian(&cover, 3.0);
    let texture = surface::texture(&product, &cover, bounds.h as f32 * surface_scale / SURFACE_HEIGHT);
    let detail_scale = (DETAIL_SIDE / bounds.w.max(bounds.h) as f32).min(1.0);
    let (product, cover) = scaled(detail_scale);
    let regions = protected::protected(&product, &cover, (bounds.x, bounds.y), detail_scale);
    (texture, regions)
}

fn coverage(alpha: &GrayImage) -> Plane {
    Plane {
        width: alpha.width(),
        height: alpha.height(),
        data: alpha.as_raw().iter().map(|&v| f32::from(v) / 255.0).collect(),
    }
}

fn silhouette(cutout: &Cutout, bounds: Rect) -> Silhouette {
    let alpha = crop_gray(&cutout.alpha, bounds);
    let (w, h) = alpha.dimensions();
    let scale = (OUTLINE_SIDE as f32 / w.max(h) as f32).min(1.0);
    let size = |v: u32| ((v as f32 * scale).round() as u32).max(1);
    let small = mask::threshold(&resize_gray(&alpha, size(w), size(h)), 128);
    let area = mask::area(&small);
    let hole_min = (area as f64 * HOLE_SHARE_MIN) as u64 + 6;
    Silhouette {
        bounds: Region { x: bounds.x, y: bounds.y, w: bounds.w, h: bounds.h },
        aspect: bounds.w as f32 / bounds.h.max(1) as f32,
        solidity: area as f32 / (small.width() as f32 * small.height() as f32).max(1.0),
        holes: mask::components(&mask::holes(&small), hole_min).len() as u32,
        parts: cutout.quality.parts.max(1),
    }
}

fn stated(product: &Product) -> Vec<Stated> {
    let fields = [
        ("title", &product.title),
        ("colour", &product.colour),
        ("material", &product.material),
        ("brand", &product.brand),
        ("category", &product.category),
    ];
    let columns = fields.into_iter().map(|(name, value)| (name, value.trim()));
    let accessories = product.accessories.iter().map(|value| ("accessory", value.trim()));
    columns
        .chain(accessories)
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| Stated {
            name: name.to_owned(),
            value: value.to_owned(),
            source: Source::Catalog,
        })
        .collect()
}

fn contradictions(product: &Product, colours: &[ColourFact], bounds: Rect) -> Vec<Finding> {
    let measured: Vec<(Lab, f32)> =
        colours.iter().map(|c| (Lab { l: c.lab[0], a: c.lab[1], b: c.lab[2] }, c.share)).collect();
    let seen = |count: usize| {
        colours
            .iter()
            .take(count)
            .map(|c| format!("{} {} {:.0} %", c.word, c.hex, 100.0 * c.share))
            .collect::<Vec<_>>()
            .join(", ")
    };
    word_matches(&product.colour, &measured)
        .map(|c| Finding {
            axis: Axis::Colour,
            severity: Severity::Warning,
            region: Some(Region { x: bounds.x, y: bounds.y, w: bounds.w, h: bounds.h }),
            evidence: format!("the catalog says {} but the photo shows {}", c.stated, seen(3)),
            value: f64::from(c.distance),
            threshold: f64::from(c.threshold),
        })
        .into_iter()
        .collect()
}
