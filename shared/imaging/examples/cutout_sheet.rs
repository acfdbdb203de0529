//! Cuts out every photo of a folder, to look at.
//!
//! ```text
//! cargo run --release -p packshot-imaging --example cutout_sheet -- FOLDER OUT [--only WORD]
//! ```
//!
//! `OUT` gets one picture a photo: the photo, the cut-out on magenta, and the cut-out on
//! white, side by side at 700 px. Quality and time are printed, refusals with their reason.

#![allow(clippy::print_stdout, reason = "a command line tool's table goes to stdout")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use image::{Rgb, RgbImage, imageops};
use packshot_imaging::cutout::{CutoutOptions, cut_out, recompose};
use packshot_imaging::decode::{DecodeLimits, decode};
use packshot_imaging::resize::resize_rgb;

/// Longer side of a picture on the sheet, in pixels.
const CELL: u32 = 700;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let only = args.iter().position(|a| a == "--only").and_then(|i| args.get(i + 1));
    let (Some(folder), Some(out)) = (args.first().map(PathBuf::from), args.get(1).map(PathBuf::from)) else {
        return Err("usage: cutout_sheet FOLDER OUT [--only WORD]".into());
    };
    std::fs::create_dir_all(&out)?;
    let mut photos: Vec<PathBuf> = std::fs::read_dir(folder)?.filter_map(|e| Some(e.ok()?.path())).collect();
    photos.sort();
    for path in photos {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if only.is_some_and(|word| !name.contains(word.as_str())) {
            continue;
        }
        let Ok(photo) = std::fs::read(&path)
            .map_err(drop)
            .and_then(|bytes| decode(&bytes, &DecodeLimits::DEFAULT).map_err(drop))
        else {
            continue;
        };
        let started = Instant::now();
        let cut = cut_out(&photo, &CutoutOptions { agreement_min: 0.0 });
        let ms = started.elapsed().as_millis();
        match cut {
            Err(error) => println!("{name}: refused: {error}"),
            Ok(cutout) => {
                let on = |colour| recompose(&cutout, &RgbImage::from_pixel(1, 1, Rgb(colour)), false);
                sheet(&[&photo.rgb, &on([255, 0, 255]), &on([255; 3])])
                    .save(out.join(name.clone() + ".png"))?;
                println!("{name}: {ms} ms, {:?}", cutout.quality);
            }
        }
    }
    Ok(())
}

fn sheet(pictures: &[&RgbImage]) -> RgbImage {
    let mut sheet = RgbImage::from_pixel(CELL * pictures.len() as u32, CELL, Rgb([90; 3]));
    for (index, picture) in pictures.iter().enumerate() {
        let scale = CELL as f32 / picture.width().max(picture.height()) as f32;
        let side = |v: u32| ((v as f32 * scale) as u32).max(1);
        let small = resize_rgb(picture, side(picture.width()), side(picture.height()));
        imageops::replace(&mut sheet, &small, (index as u32 * CELL).into(), 0);
    }
    sheet
}
