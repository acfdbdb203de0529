//! The product's surface: how much structure it has at which scale, and how it shines.

use packshot_imaging::blur::{Plane, gaussian};
use packshot_imaging::colour::LabImage;
use packshot_imaging::resize::resize_plane;
use packshot_pipeline::facts::Texture;

/// Octave bands measured, finest first.
const BANDS: usize = 5;
/// Coverage (0 to 1) from which a pixel belongs to the surface and not to its rim.
const INSIDE: f32 = 0.985;

/// Texture of the surface in `product`, which is scaled so that the product is about 1000 px
/// high (`scale` = 1) or less where the photo has less (`scale` < 1: finer bands stay
/// empty). `cover` is the coverage, 0 to 1, softened so that rim pixels fall below full.
pub(super) fn texture(product: &LabImage, cover: &Plane, scale: f32) -> Texture {
    let missing = (1.0 / scale.max(1e-3)).log2().round().clamp(0.0, BANDS as f32) as usize;
    let mut band_energy = vec![0.0; missing];
    let mut level = Plane { width: product.width, height: product.height, data: product.l.clone() };
    let mut inside = cover.clone();
    for _ in missing..BANDS {
        let band = gaussian(&level, 0.7).zip(&gaussian(&level, 1.4), |fine, coarse| fine - coarse);
        band_energy.push(deviation(&band, &inside));
        let (w, h) = ((level.width / 2).max(1), (level.height / 2).max(1));
        level = resize_plane(&level, w, h);
        inside = resize_plane(&inside, w, h);
    }
    let highlight = highlight(product, cover);
    let word = word(&band_energy, highlight).to_owned();
    Texture { band_energy, highlight, word }
}

fn deviation(band: &Plane, inside: &Plane) -> f32 {
    let (mut sum, mut square, mut count) = (0.0f64, 0.0f64, 0u32);
    for (&v, &c) in band.data.iter().zip(&inside.data) {
        if c >= INSIDE {
            sum += f64::from(v);
            square += f64::from(v) * f64::from(v);
            count += 1;
        }
    }
    if count < 16 {
        return 0.0;
    }
    let n = f64::from(count);
    ((square / n - (sum / n) * (sum / n)).max(0.0)).sqrt() as f32
}

/// 99th minus 50th percentile of lightness.
fn highlight(product: &LabImage, cover: &Plane) -> f32 {
    let mut histogram = [0u32; 256];
    let mut count = 0;
    for (&l, &c) in product.l.iter().zip(&cover.data) {
        if c >= INSIDE {
            histogram[(l * 2.55).clamp(0.0, 255.0) as usize] += 1;
            count += 1;
        }
    }
    if count == 0 {
        return 0.0;
    }
    let percentile = |share: f32| {
        let wanted = (count as f32 * share) as u32;
        let mut seen = 0;
        histogram
            .iter()
            .position(|&n| {
                seen += n;
                seen > wanted
            })
            .unwrap_or(255) as f32
            / 2.55
    };
    percentile(0.99) - percentile(0.5)
}

/// Plain words, from what the eye goes by: strong coarse contrast is a pattern, strong fine
/// contrast a texture; else the shine decides.
fn word(bands: &[f32], highlight: f32) -> &'static str {
    let fine = bands.iter().take(2).copied().fold(0.0, f32::max);
    let coarse = bands.iter().skip(2).copied().fold(0.0, f32::max);
    if coarse > 4.5 && coarse > 1.3 * fine {
        "patterned"
    } else if fine > 2.2 {
        "textured"
    } else if highlight > 38.0 {
        "glossy"
    } else if highlight > 22.0 {
        "satin"
    } else {
        "matte"
    }
}
