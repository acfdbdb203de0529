//! What `packshot submit` takes: its memory for a short and a long catalog, which must be the
//! same, and what an open SKU takes in Redis.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::Options;
use crate::process::watch;
use crate::stage::Stage;
use crate::table::{Goal, Line};

/// The catalogs' rows.
const ROWS: [usize; 2] = [5_000, 50_000];
/// How much more the longer one may take: buffers and the allocator, but nothing per row.
const GROWTH_MAX_MIB: f64 = 16.0;
/// Every role that needs no provider.
const ROLES: &str = "main,cleanup,detail,angle,lifestyle,feature,comparison,ad";

pub(crate) async fn run(options: &Options) -> Result<Vec<Line>> {
    let mut lines: Vec<Line> = ROWS
        .iter()
        .map(|rows| Line::new(format!("peak memory of submitting {rows} SKUs"), Goal::None, "MiB"))
        .collect();
    let mut growth = Line::new("of which more for the longer catalog", Goal::AtMost(GROWTH_MAX_MIB), "MiB");
    let mut rate = Line::new("SKUs submitted", Goal::None, "/s");
    let mut bytes = Line::new("Redis memory per open SKU of 8 roles", Goal::None, "bytes");
    let mut peaks = Vec::new();
    for (line, rows) in lines.iter_mut().zip(ROWS) {
        let stage = Stage::open(&options.objects).await?;
        let photo = catalog(&stage.path("catalog.csv"), rows)?;
        std::fs::copy(&photo, stage.path(&name(&photo)))?;
        let empty = stage.redis_bytes()?;
        let mut command = stage.command("packshot")?;
        command.args(["submit", "catalog.csv", "--channels", "google", "--roles", ROLES]);
        let taken = tokio::task::spawn_blocking(move || watch(&mut command)).await??;
        ensure!(taken.code == 0, "submit ended with {}", taken.code);
        let peak = taken.peak_bytes as f64 / f64::from(1 << 20);
        line.values.push(peak);
        peaks.push(peak);
        rate.values.push(rows as f64 / taken.wall.as_secs_f64());
        bytes.values.push(stage.redis_bytes()?.saturating_sub(empty) as f64 / rows as f64);
    }
    growth.values.push(peaks[1] - peaks[0]);
    lines.extend([growth, rate, bytes]);
    Ok(lines)
}

/// Writes a catalog whose rows share one photo of the sample, and says where that is.
fn catalog(path: &Path, rows: usize) -> Result<std::path::PathBuf> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/sample/images");
    let photos = std::fs::read_dir(&sample)?.filter_map(|entry| Some(entry.ok()?.path()));
    let photo = photos.min().context("the sample has no photos")?;
    let mut text = "sku,title,image,description\n".to_owned();
    for row in 0..rows {
        text += &format!("row-{row},Product {row},{},A product like many others\n", name(&photo));
    }
    std::fs::write(path, text)?;
    Ok(photo)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
