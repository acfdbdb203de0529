//! A matting model of the user's own, as the third opinion on where the product is.
//!
//! The model is an ONNX file that the settings name; it is read, never fetched. It runs in
//! `rten`, which is Rust throughout, so that a broken file is an error and no broken process.
//! What its answer counts for is not decided here: that is
//! [`packshot_imaging::cutout::cut_out_asking`].
//!
//! A model is held to be the operator's, not an enemy's: its size, its input and its answer
//! are bounded and a panic inside is caught, but not the memory or time that a file made to do
//! harm could ask for within those bounds.

mod pixels;
mod settings;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use image::{GrayImage, RgbImage};
use packshot_imaging::cutout::Segmenter;
use packshot_pipeline::ids::Digest;
use rten::{DataType, Dimension, LoadErrorKind, Model, ModelOptions, NodeId, Value, ValueType, ValueView};
use rten_tensor::{AsView as _, Layout as _};

use pixels::{Feed, Layout};
pub use settings::{Channels, MattingSettings, Output, SIDE_MAX};

/// Version of what is done around a model; a new one makes everything with a model again.
const VERSION: &str = "1";
/// The largest file that is read: the format's own limit, 2 GiB.
const BYTES_MAX: u64 = 2 << 30;
/// Numbers of an answer that are looked at: four for each of the largest input's pixels.
const ANSWER_MAX: usize = 4 * (SIDE_MAX * SIDE_MAX) as usize;

/// Why there is no model to ask.
#[derive(Debug, thiserror::Error)]
pub enum MattingError {
    /// The settings contradict themselves.
    #[error("{}", .0.join("; "))]
    Settings(Vec<String>),
    /// The file cannot be read.
    #[error("the matting model {path} cannot be read; set `matting.model` to an .onnx file")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than the format allows.
    #[error("the matting model {path} has {bytes} bytes, at most {BYTES_MAX} are read")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// The file is something else.
    #[error("the matting model {path} is no ONNX model; set `matting.model` to an .onnx file")]
    NotOnnx {
        /// The file.
        path: String,
    },
    /// The weights are elsewhere.
    #[error("the matting model {path} keeps its weights in another file; save it as one file")]
    Outside {
        /// The file.
        path: String,
    },
    /// The runtime does not know an operator.
    #[error(
        "the matting model {path} uses what is not supported here: {why}; export it for opset 17 with standard operators in 32-bit floats, or use another model"
    )]
    Operator {
        /// The file.
        path: String,
        /// Which operator.
        why: String,
    },
    /// The model contradicts itself.
    #[error("the matting model {path} cannot be loaded: {why}; export it anew, or use another model")]
    Broken {
        /// The file.
        path: String,
        /// What the runtime says.
        why: String,
    },
    /// It does not take one picture.
    #[error(
        "the matting model {path} takes {seen}; one picture of 32-bit floats is given, 1 x 3 x height x width or 1 x height x width x 3, no side over {SIDE_MAX}"
    )]
    Input {
        /// The file.
        path: String,
        /// What it takes.
        seen: String,
    },
    /// It does not answer a trial picture with coverage.
    #[error(
        "the matting model {path} does not answer a trial picture of {width} x {height} px with coverage: {why}; `matting.size_px` may not suit it, or it is no matting model"
    )]
    Trial {
        /// The file.
        path: String,
        /// The picture's width in pixels.
        width: u32,
        /// The picture's height in pixels.
        height: u32,
        /// What came instead.
        why: String,
    },
}

/// A loaded model, for the life of the process.
#[derive(Debug)]
pub struct MattingModel {
    path: String,
    bytes: u64,
    model: Model,
    input: NodeId,
    output: NodeId,
    feed: Feed,
    meaning: Output,
    fingerprint: Digest,
}

impl MattingModel {
    /// Reads the model that `settings` name; `None` when they name none.
    ///
    /// # Errors
    /// [`MattingError`], whatever is wrong with settings or file.
    pub fn load(settings: &MattingSettings) -> Result<Option<Arc<Self>>, MattingError> {
        let problems = settings.problems();
        if !problems.is_empty() {
            return Err(MattingError::Settings(problems));
        }
        if settings.model.is_empty() {
            return Ok(None);
        }
        let path = settings.model.clone();
        let bytes = read(&path)?;
        let (size, digest) = (bytes.len() as u64, Digest::of(&bytes));
        let model = parse(&path, bytes)?;
        let (&[input], Some(&output)) = (model.input_ids(), model.output_ids().first()) else {
            let seen =
                format!("{} inputs and has {} outputs", model.input_ids().len(), model.output_ids().len());
            return Err(MattingError::Input { path, seen });
        };
        let feed =
            feed(&model, input, settings).map_err(|seen| MattingError::Input { path: path.clone(), seen })?;
        let fingerprint = fingerprint(&digest, &feed, settings.output);
        let meaning = settings.output;
        Ok(Some(Arc::new(Self { path, bytes: size, model, input, output, feed, meaning, fingerprint })))
    }

    /// [`Self::load`], and an answer to a picture without a product, so that a model which
    /// cannot work is known before the first photo.
    ///
    /// # Errors
    /// [`MattingError`], whatever is wrong with settings, file or answer.
    pub fn ready(settings: &MattingSettings) -> Result<Option<Arc<Self>>, MattingError> {
        let loaded = Self::load(settings)?;
        if let Some(model) = &loaded {
            model.try_out()?;
        }
        Ok(loaded)
    }

    /// What, of model and settings, determines its answers.
    pub fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// What it is, for a person.
    pub fn describe(&self) -> String {
        let Feed { width, height, .. } = self.feed;
        let mb = self.bytes as f64 / 1e6;
        format!("the matting model {} ({mb:.1} MB) sees photos at {width} x {height} px", self.path)
    }

    fn try_out(&self) -> Result<(), MattingError> {
        let (width, height) = (self.feed.width, self.feed.height);
        let ramp = |x: u32, y: u32| ((x + y) * 255 / (width + height)) as u8;
        let picture = RgbImage::from_fn(width, height, |x, y| image::Rgb([ramp(x, y); 3]));
        let trial = |why| MattingError::Trial { path: self.path.clone(), width, height, why };
        self.coverage(&picture).map(|_| ()).map_err(trial)
    }

    fn answer(&self, numbers: &[f32]) -> Result<Value, String> {
        let picture = ValueView::from_shape(self.feed.shape(), numbers).map_err(|error| error.to_string())?;
        let run = || self.model.run_n(vec![(self.input, picture.into())], [self.output], None);
        let [answer] = guarded(run)?.map_err(|error| error.to_string())?;
        Ok(answer)
    }
}

impl Segmenter for MattingModel {
    fn coverage(&self, rgb: &RgbImage) -> Result<GrayImage, String> {
        if rgb.width() == 0 || rgb.height() == 0 {
            return Err("the photo has no pixels".to_owned());
        }
        let answer = self.answer(&self.feed.numbers(rgb))?;
        let Some(tensor) = answer.as_tensor_view::<f32>() else {
            return Err(format!("its answer is of {:?}, 32-bit floats are needed", answer.dtype()));
        };
        let size = plane(tensor.shape())?;
        pixels::coverage(&tensor.to_vec(), size, self.meaning)
    }
}

/// Width and height of an answer that is one plane: of its dimensions all but two are 1.
fn plane(shape: &[usize]) -> Result<(u32, u32), String> {
    let wrong = || format!("its answer has the shape {shape:?}, 1 x 1 x height x width is needed");
    let all = shape.iter().try_fold(1_usize, |all, &side| all.checked_mul(side));
    if all.is_none_or(|all| all == 0 || all > ANSWER_MAX) {
        return Err(wrong());
    }
    match shape.iter().filter(|&&side| side != 1).copied().collect::<Vec<_>>()[..] {
        [height, width] => Ok((width as u32, height as u32)),
        _ => Err(wrong()),
    }
}

fn read(path: &str) -> Result<Vec<u8>, MattingError> {
    let unreadable = |source| MattingError::Unreadable { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > BYTES_MAX {
        return Err(MattingError::TooLarge { path: path.to_owned(), bytes });
    }
    std::fs::read(path).map_err(unreadable)
}

fn parse(path: &str, bytes: Vec<u8>) -> Result<Model, MattingError> {
    let path = path.to_owned();
    let loaded = match guarded(|| ModelOptions::with_all_ops().load(bytes)) {
        Ok(loaded) => loaded,
        Err(why) => return Err(MattingError::Broken { path, why }),
    };
    loaded.map_err(|error| match error.kind() {
        LoadErrorKind::UnknownFileType | LoadErrorKind::FormatNotEnabled | LoadErrorKind::ParseError => {
            MattingError::NotOnnx { path }
        }
        LoadErrorKind::ExternalDataError => MattingError::Outside { path },
        LoadErrorKind::OperatorInvalid => MattingError::Operator { path, why: error.to_string() },
        LoadErrorKind::IoError
        | LoadErrorKind::GraphError
        | LoadErrorKind::OptimizeError
        | LoadErrorKind::ShapeInferenceFailed
        | _ => MattingError::Broken { path, why: error.to_string() },
    })
}

/// What the model takes, where it says so; where it leaves a side free, the settings' size.
/// `Err` is what it takes instead of a picture.
fn feed(model: &Model, input: NodeId, settings: &MattingSettings) -> Result<Feed, String> {
    let info = model.node_info(input);
    if let Some(kind) = info.as_ref().and_then(rten::NodeInfo::dtype)
        && kind != ValueType::Tensor(DataType::Float)
    {
        return Err(format!("{kind:?}"));
    }
    let free = || Dimension::Symbolic(String::new());
    let shape = info.and_then(|info| info.shape()).unwrap_or_else(|| vec![free(), free(), free(), free()]);
    let sides: Vec<Option<usize>> = shape
        .iter()
        .map(|side| match side {
            Dimension::Fixed(side) => Some(*side),
            Dimension::Symbolic(_) => None,
        })
        .collect();
    let seen = || {
        let side = |side: &Option<usize>| side.map_or_else(|| "?".to_owned(), |side| side.to_string());
        sides.iter().map(side).collect::<Vec<_>>().join(" x ")
    };
    let (layout, height, width) = match sides[..] {
        [None | Some(1), Some(3), height, width] => (Layout::Planes, height, width),
        [None | Some(1), height, width, Some(3)] => (Layout::Pixels, height, width),
        [None | Some(1), None, height, width] => (Layout::Planes, height, width),
        _ => return Err(seen()),
    };
    let side = |side: Option<usize>| side.map_or(Some(settings.size_px), |side| u32::try_from(side).ok());
    match (side(width), side(height)) {
        (Some(width @ 1..=SIDE_MAX), Some(height @ 1..=SIDE_MAX)) => {
            let (mean, std, channels) = (settings.mean, settings.std, settings.channels);
            Ok(Feed { layout, width, height, mean, std, channels })
        }
        _ => Err(seen()),
    }
}

fn fingerprint(file: &Digest, feed: &Feed, meaning: Output) -> Digest {
    // `Debug` of plain data is one text for one value.
    Digest::of(format!("packshot matting {VERSION}\n{}\n{feed:?}\n{meaning:?}", file.to_hex()).as_bytes())
}

/// Runs foreign code; a panic in it is an error.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("the runtime broke off: {}", said.unwrap_or("no reason was given"))
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tiny;
