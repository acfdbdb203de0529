//! Peak memory of a long catalog whose rows share a few photos, beside a short one: it must
//! not grow with the number of SKUs.

use std::path::Path;

use crate::process::{Taken, packshot, watch};

/// Runs a tenth of `rows` and then all of them.
pub(crate) fn run(photos: &Path, rows: usize) -> anyhow::Result<String> {
    let names: Vec<_> = crate::photos(photos)?;
    let mut text = String::new();
    for rows in [rows / 10, rows] {
        let taken = catalog_of(&names, rows)?;
        text += &format!(
            "memory: {rows} rows sharing {} photos, main image, one channel, 2 jobs: peak {:.0} MiB, {:.0} s, exit code {}\n",
            names.len(),
            taken.peak_bytes as f64 / f64::from(1 << 20),
            taken.wall.as_secs_f64(),
            taken.code,
        );
    }
    Ok(text)
}

fn catalog_of(photos: &[std::path::PathBuf], rows: usize) -> anyhow::Result<Taken> {
    let dir = tempfile::tempdir()?;
    let mut catalog = "sku,title,image\n".to_owned();
    for row in 0..rows {
        let photo = &photos[row % photos.len()];
        let name = photo.file_name().unwrap_or_default().to_string_lossy();
        catalog += &format!("row-{row},Product,{name}\n");
    }
    std::fs::write(dir.path().join("catalog.csv"), catalog)?;
    let folder = photos[0].parent().unwrap_or(Path::new("."));
    let folder = std::fs::canonicalize(folder)?;
    watch(
        packshot()?.current_dir(dir.path()).arg("run").arg("catalog.csv").arg("--images").arg(folder).args([
            "--out",
            "out",
            "--channels",
            "google",
            "--roles",
            "main",
            "--jobs",
            "2",
        ]),
    )
}
