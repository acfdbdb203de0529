//! Decode, resize and encode one large JPEG after another on one core, beside libvips'
//! `vipsthumbnail` and `vips resize` with one thread. `vipsthumbnail` decodes JPEG at a
//! fraction of its size where it can; `vips resize` decodes all pixels, as we do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use packshot_imaging::decode::{DecodeLimits, decode};
use packshot_imaging::encode::{Chroma, jpeg};
use packshot_imaging::resize::resize_rgb;

use crate::process::watch;

const FROM: u32 = 2400;
const TO: u32 = 1000;
const ROUNDS: usize = 5;

/// Compares and says the medians.
pub(crate) fn run(photos: &Path) -> anyhow::Result<String> {
    let dir = tempfile::tempdir()?;
    let files = references(photos, dir.path())?;
    let per_image = |seconds: f64| seconds * 1000.0 / files.len() as f64;
    let ours = median(|| {
        let started = Instant::now();
        for file in &files {
            let photo = decode(&std::fs::read(file)?, &DecodeLimits::DEFAULT)?;
            let small = resize_rgb(&photo.rgb, TO, TO);
            std::fs::write(file.with_extension("ours.jpg"), jpeg(&small, 85, Chroma::Half)?)?;
        }
        Ok(started.elapsed().as_secs_f64())
    })?;
    let mut text = format!(
        "resize: {} JPEG of {FROM} px to {TO} px, quality 85, one core: packshot {:.1} ms an image",
        files.len(),
        per_image(ours)
    );
    if Command::new("vips").arg("--version").output().is_err() {
        return Ok(text + "; libvips is not installed (Debian: libvips-tools)");
    }
    let start_up = median(|| Ok(watch(vips("vips").arg("--version"))?.wall.as_secs_f64()))?;
    let full = median(|| {
        let mut seconds = 0.0;
        for file in &files {
            let mut target = file.with_extension("vips.jpg").into_os_string();
            target.push("[Q=85]");
            let scale = f64::from(TO) / f64::from(FROM);
            let taken = watch(vips("vips").arg("resize").arg(file).arg(target).arg(scale.to_string()))?;
            seconds += (taken.wall.as_secs_f64() - start_up).max(0.0);
        }
        Ok(seconds)
    })?;
    let thumbnail = median(|| {
        let size = TO.to_string();
        Ok(watch(vips("vipsthumbnail").args(&files).args(["-s", &size, "-o", "%s.thumb.jpg[Q=85]"]))?
            .wall
            .as_secs_f64()
            - start_up)
    })?;
    text += &format!(
        "; vips resize {:.1} ms (ratio {:.2}); vipsthumbnail {:.1} ms (ratio {:.2}); start-up of {:.0} ms taken off",
        per_image(full),
        full / ours,
        per_image(thumbnail),
        thumbnail / ours,
        start_up * 1000.0
    );
    Ok(text)
}

fn vips(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("VIPS_CONCURRENCY", "1");
    command
}

/// Large JPEG files made from the photos.
fn references(photos: &Path, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in crate::photos(photos)? {
        let Ok(photo) = decode(&std::fs::read(&path)?, &DecodeLimits::DEFAULT) else { continue };
        let file = folder.join(format!("{}.jpg", files.len()));
        std::fs::write(&file, jpeg(&resize_rgb(&photo.rgb, FROM, FROM), 92, Chroma::Half)?)?;
        files.push(file);
    }
    anyhow::ensure!(!files.is_empty(), "no readable photo in {}", photos.display());
    Ok(files)
}

fn median(mut once: impl FnMut() -> anyhow::Result<f64>) -> anyhow::Result<f64> {
    let mut seconds = (0..ROUNDS).map(|_| once()).collect::<anyhow::Result<Vec<f64>>>()?;
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[ROUNDS / 2])
}
