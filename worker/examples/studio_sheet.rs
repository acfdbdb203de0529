//! Renders every role of the built-in studio for a folder of photos, to look at.
//!
//! ```text
//! cargo run --release -p packshot-worker --example studio_sheet -- PHOTOS OUT [--catalog FILE] [--only WORD] [--roles a,b] [--attempt N]
//! ```
//!
//! `PHOTOS` is a folder; `--catalog` a CSV with columns `sku`, `title`, `image`,
//! `category`, optionally `width_mm` and `height_mm` (without it file names serve as
//! titles). `--attempt 2` shows what a second attempt would choose. Rows that share a SKU give the
//! second view. `OUT` gets `<photo>/<role>[-<frame>].jpg` at full size and `sheet.jpg`,
//! one row per photo. Times per role are printed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line example talks to its user")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use image::RgbImage;
use packshot_imaging::cutout::{CutoutOptions, cut_out};
use packshot_imaging::decode::{DecodeLimits, decode};
use packshot_imaging::encode::{Chroma, jpeg};
use packshot_imaging::photo::{Cutout, Photo};
use packshot_imaging::resize::resize_rgb;
use packshot_pipeline::catalog::{Dimensions, Product};
use packshot_pipeline::facts::{Facts, Silhouette, Texture};
use packshot_pipeline::finding::Region;
use packshot_pipeline::ids::{Digest, Sku};
use packshot_pipeline::role::Role;
use packshot_worker::generate::studio::{make, style::style_for};
use packshot_worker::generate::{Made, MakeRequest};

/// Height of a picture on the contact sheet, in pixels.
const CELL: u32 = 300;

struct Arguments {
    photos: PathBuf,
    out: PathBuf,
    catalog: Option<PathBuf>,
    only: String,
    roles: Vec<Role>,
    attempt: u32,
}

struct Row {
    product: Product,
    image: String,
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    std::fs::create_dir_all(&arguments.out)?;
    let rows = rows(&arguments)?;
    let mut loaded: BTreeMap<&str, (Digest, Photo, Cutout)> = BTreeMap::new();
    let wanted: Vec<&Row> = rows.iter().filter(|row| row.image.contains(&arguments.only)).collect();
    for row in &rows {
        let needed = wanted.iter().any(|w| w.product.sku == row.product.sku);
        if needed && !loaded.contains_key(row.image.as_str()) {
            match load(&arguments.photos.join(&row.image)) {
                Ok(item) => drop(loaded.insert(&row.image, item)),
                Err(error) => eprintln!("{}: {error:#}", row.image),
            }
        }
    }
    let mut strips = Vec::new();
    let mut times: BTreeMap<&str, Vec<u128>> = BTreeMap::new();
    for row in wanted {
        let Some((digest, photo, cutout)) = loaded.get(row.image.as_str()) else { continue };
        let second = rows
            .iter()
            .filter(|other| other.product.sku == row.product.sku && other.image != row.image)
            .find_map(|other| loaded.get(other.image.as_str()))
            .map(|(_, photo, cutout)| (photo, cutout));
        strips.push(render(&arguments, row, (*digest, photo, cutout), second, &mut times)?);
    }
    for (role, times) in times {
        let sum: u128 = times.iter().sum();
        println!("{role}: {} ms on average over {}", sum / times.len() as u128, times.len());
    }
    let height: u32 = strips.iter().map(RgbImage::height).sum();
    let width = strips.iter().map(RgbImage::width).max().unwrap_or(1);
    let mut sheet = RgbImage::from_pixel(width, height.max(1), image::Rgb([90, 90, 90]));
    let mut y = 0;
    for strip in &strips {
        image::imageops::replace(&mut sheet, strip, 0, i64::from(y));
        y += strip.height();
    }
    std::fs::write(arguments.out.join("sheet.jpg"), jpeg(&sheet, 90, Chroma::Half)?)?;
    Ok(())
}

/// Makes all roles of one photo; returns its strip of the contact sheet.
fn render(
    arguments: &Arguments,
    row: &Row,
    (digest, photo, cutout): (Digest, &Photo, &Cutout),
    second_view: Option<(&Photo, &Cutout)>,
    times: &mut BTreeMap<&'static str, Vec<u128>>,
) -> Result<RgbImage> {
    let facts = bare_facts(digest, cutout);
    let folder = arguments.out.join(row.image.replace('.', "-"));
    std::fs::create_dir_all(&folder)?;
    let mut cells = vec![small(&photo.rgb)];
    for role in &arguments.roles {
        let request = MakeRequest {
            product: &row.product,
            facts: &facts,
            photo,
            cutout,
            second_view,
            role: *role,
            style: style_for(&row.product),
            accepted_main: None,
            accepted_lifestyle: None,
            attempt: arguments.attempt,
        };
        let start = Instant::now();
        let made = make(&request);
        times.entry(role.word()).or_default().push(start.elapsed().as_millis());
        match made {
            Made::Skipped { reason } => println!("{} {role}: skipped: {reason}", row.image),
            Made::Candidate(candidate) => {
                for note in &candidate.notes {
                    println!("{} {role}: {note}", row.image);
                }
                for frame in &candidate.frames {
                    let dash = if frame.name.is_empty() { "" } else { "-" };
                    let path = folder.join(format!("{role}{dash}{}.jpg", frame.name));
                    std::fs::write(path, jpeg(&frame.image, 93, Chroma::Full)?)?;
                    cells.push(small(&frame.image));
                }
            }
        }
    }
    let width = cells.iter().map(|c| c.width() + 6).sum();
    let mut strip = RgbImage::from_pixel(width, CELL + 6, image::Rgb([90, 90, 90]));
    let mut x = 3;
    for cell in &cells {
        image::imageops::replace(&mut strip, cell, x, 3);
        x += i64::from(cell.width()) + 6;
    }
    Ok(strip)
}

/// Facts without measurements: the studio gets along without, only less well informed.
fn bare_facts(reference: Digest, cutout: &Cutout) -> Facts {
    let (w, h) = cutout.alpha.dimensions();
    Facts {
        reference,
        colours: Vec::new(),
        silhouette: Silhouette {
            bounds: Region { x: 0, y: 0, w, h },
            aspect: 1.0,
            solidity: 1.0,
            holes: 0,
            parts: 1,
        },
        texture: Texture { band_energy: Vec::new(), highlight: 0.0, word: String::new() },
        protected: Vec::new(),
        dimensions: Dimensions::default(),
        stated: Vec::new(),
        contradictions: Vec::new(),
    }
}

fn small(image: &RgbImage) -> RgbImage {
    let width = (f64::from(image.width()) * f64::from(CELL) / f64::from(image.height().max(1))).round();
    resize_rgb(image, (width as u32).clamp(1, 4 * CELL), CELL)
}

fn load(path: &Path) -> Result<(Digest, Photo, Cutout)> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let photo = decode(&bytes, &DecodeLimits::DEFAULT)?;
    let cutout = cut_out(&photo, &CutoutOptions::DEFAULT)?;
    Ok((Digest::of(&bytes), photo, cutout))
}

fn arguments() -> Result<Arguments> {
    let usage = "usage: studio_sheet PHOTOS OUT [--catalog FILE] [--only WORD] [--roles a,b] [--attempt N]";
    let mut plain = Vec::new();
    let (mut catalog, mut only, mut roles, mut attempt) = (None, String::new(), Role::ALL.to_vec(), 1);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--catalog" => catalog = Some(PathBuf::from(words.next().context(usage)?)),
            "--only" => only = words.next().context(usage)?,
            "--attempt" => attempt = words.next().context(usage)?.parse()?,
            "--roles" => {
                roles = words.next().context(usage)?.split(',').filter_map(Role::parse).collect();
            }
            _ => plain.push(PathBuf::from(word)),
        }
    }
    let mut plain = plain.into_iter();
    let (photos, out) = (plain.next().context(usage)?, plain.next().context(usage)?);
    Ok(Arguments { photos, out, catalog, only, roles, attempt })
}

fn rows(arguments: &Arguments) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if let Some(path) = &arguments.catalog {
        let mut reader = csv::Reader::from_path(path)?;
        for record in reader.deserialize::<BTreeMap<String, String>>() {
            let record = record?;
            let get = |name: &str| record.get(name).cloned().unwrap_or_default();
            let mut row = row(&get("sku"), &get("title"), &get("category"), &get("image"))?;
            row.product.dimensions.width_mm = get("width_mm").parse().ok();
            row.product.dimensions.height_mm = get("height_mm").parse().ok();
            rows.push(row);
        }
    } else {
        let mut names: Vec<String> = std::fs::read_dir(&arguments.photos)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| {
                let extension = Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or_default();
                ["jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "bmp"]
                    .contains(&extension.to_lowercase().as_str())
            })
            .collect();
        names.sort();
        for name in names {
            let title =
                name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem).replace(['-', '_'], " ");
            rows.push(row(&name, &title, "", &name)?);
        }
    }
    Ok(rows)
}

fn row(sku: &str, title: &str, category: &str, image: &str) -> Result<Row> {
    let product = Product {
        sku: Sku::new(sku)?,
        title: title.to_owned(),
        description: String::new(),
        category: category.to_owned(),
        brand: String::new(),
        colour: String::new(),
        material: String::new(),
        dimensions: Dimensions::default(),
        accessories: Vec::new(),
        group: None,
        references: Vec::new(),
        codes: BTreeMap::new(),
        line: 1,
    };
    Ok(Row { product, image: image.to_owned() })
}
