//! `packshot run` on references of 2,000 to 3,000 pixels: inspect, cut out, make, review,
//! edit and export to two channels.

use std::path::Path;

use anyhow::Context as _;
use packshot_imaging::decode::{DecodeLimits, decode};

use crate::process::{packshot, watch};

/// Photos with a shorter side are no large references.
const SIDE_MIN: u32 = 2000;

/// The part of a photo's name that its product's other photos share.
fn product(name: &str) -> &str {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// Runs `skus` products and says how many images a minute came out.
pub(crate) fn run(photos: &Path, skus: usize) -> anyhow::Result<String> {
    let dir = tempfile::tempdir()?;
    let images = dir.path().join("images");
    std::fs::create_dir(&images)?;
    let mut large = Vec::new();
    for path in crate::photos(photos)? {
        let bytes = std::fs::read(&path)?;
        let Ok(photo) = decode(&bytes, &DecodeLimits::DEFAULT) else { continue };
        if photo.rgb.width().min(photo.rgb.height()) >= SIDE_MIN {
            let name = path.file_name().context("a photo has a name")?.to_string_lossy().into_owned();
            std::fs::copy(&path, images.join(&name))?;
            large.push(name);
        }
    }
    anyhow::ensure!(!large.is_empty(), "no photo of {SIDE_MIN} px or more in {}", photos.display());
    let mut catalog = "sku,title,image,image_2,width_mm,height_mm\n".to_owned();
    for index in 0..skus {
        let first = &large[index % large.len()];
        // Another view of the same product, where there is one.
        let second = large.iter().find(|other| *other != first && product(other) == product(first));
        let second = second.map_or("", String::as_str);
        catalog += &format!("sku-{index},Product {index},{first},{second},{},120\n", 100 + index);
    }
    std::fs::write(dir.path().join("catalog.csv"), catalog)?;
    let taken = watch(packshot()?.current_dir(dir.path()).args([
        "run",
        "catalog.csv",
        "--out",
        "out",
        "--channels",
        "amazon,google",
        "--jobs",
        "2",
    ]))?;
    let summary = std::fs::read(dir.path().join("out/summary.json"))
        .with_context(|| format!("packshot ended with {} and no summary", taken.code))?;
    let summary: serde_json::Value = serde_json::from_slice(&summary)?;
    let number = |name: &str| summary[name].as_u64().unwrap_or(0);
    let made = number("accepted") + number("needs_human");
    Ok(format!(
        "pipeline: {skus} SKUs of {} large photos, two channels, 2 jobs: {made} images in {:.1} s = {:.0} images a minute, {:.2} core seconds an image; \
         {} accepted, {} need a person, {} skipped, {} failed; peak {:.0} MiB",
        large.len(),
        taken.wall.as_secs_f64(),
        made as f64 * 60.0 / taken.wall.as_secs_f64(),
        taken.cpu.as_secs_f64() / (made as f64).max(1.0),
        number("accepted"),
        number("needs_human"),
        number("skipped"),
        number("failed"),
        taken.peak_bytes as f64 / f64::from(1 << 20),
    ))
}
