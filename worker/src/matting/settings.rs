//! Which model sees the product in a photo, and what it is fed: the section `matting` of the
//! settings, shared by `packshot` and `packshot-worker`.

use serde::{Deserialize, Serialize};

/// Longest side of a model's input in pixels: what bounds the time and memory of one answer.
pub const SIDE_MAX: u32 = 2048;
/// Every model in common use takes a multiple of this; others lose or gain rows on the way.
const SIDE_STEP: u32 = 32;

/// A matting model of the user's own. Nothing is ever downloaded.
///
/// What the freely available models need:
///
/// | model | input | mean | std | output |
/// |---|---|---|---|---|
/// | U²-Net (Qin et al. 2020) | 320, fixed | `ImageNet` | `ImageNet` | coverage, then six finer and coarser ones |
/// | IS-Net, DIS (Qin et al. 2022) | 1024, fixed | 0.5 | 1 | coverage |
/// | `MODNet` (Ke et al. 2022) | free, made for 512 | 0.5 | 0.5 | coverage |
/// | RMBG 1.4 (IS-Net's design) | 1024 | 0.5 | 1 | coverage |
/// | `BiRefNet` (Zheng et al. 2024) | 1024, fixed | `ImageNet` | `ImageNet` | logits |
/// | RMBG 2.0 (`BiRefNet`'s design) | 1024 | `ImageNet` | `ImageNet` | coverage |
///
/// `ImageNet` is mean 0.485, 0.456, 0.406 and std 0.229, 0.224, 0.225. From the authors' own
/// inference code: `xuebinqin/DIS` `IS-Net/Inference.py`, `ZHKKKe/MODNet` `onnx/inference_onnx.py`
/// and `onnx/export_onnx.py`, the model card of briaai/RMBG-1.4; and for the ONNX files that
/// danielgatis/rembg hands out, its `rembg/sessions`. All are fed the whole photo squeezed
/// into their input, red first, on a scale of 0 to 1. The answers are not stretched to their
/// own least and greatest, as some of that code does: where nothing was seen, that would make
/// a product of noise.
///
/// `BiRefNet` has a file whose deformable convolutions are written out in plain operators, and
/// one with `DeformConv`, which the runtime does not know.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MattingSettings {
    /// An ONNX file with its weights inside; empty: no model.
    pub model: String,
    /// Width and height in pixels that the photo is brought to where the model leaves them
    /// free, a multiple of 32 up to [`SIDE_MAX`].
    pub size_px: u32,
    /// What is taken from red, green and blue, on a scale of 0 to 1.
    pub mean: [f64; 3],
    /// What they are divided by afterwards, each above 0.
    pub std: [f64; 3],
    /// Which colour comes first.
    pub channels: Channels,
    /// What the numbers that come back mean.
    pub output: Output,
}

/// Order of the colours in a model's input; mean and std are always red first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// What a model's output means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Coverage while every number of an answer is within 0 to 1, else logits.
    Auto,
    /// 0 to 1.
    Coverage,
    /// Any number; coverage is 1 / (1 + exp(−x)).
    Logits,
}

impl MattingSettings {
    /// No model; a model that is named is fed as most of them want it.
    pub fn standard() -> Self {
        Self {
            model: String::new(),
            size_px: 1024,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            channels: Channels::Rgb,
            output: Output::Auto,
        }
    }

    /// Everything that is wrong with them, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(SIDE_STEP..=SIDE_MAX).contains(&self.size_px) || !self.size_px.is_multiple_of(SIDE_STEP) {
            problems.push(format!(
                "`matting.size_px` is {}; it is a multiple of {SIDE_STEP} from {SIDE_STEP} to {SIDE_MAX}",
                self.size_px
            ));
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            problems.push(format!("`matting.mean` is {:?}; it is three numbers", self.mean));
        }
        if !self.std.iter().all(|std| std.is_finite() && *std > 0.0) {
            problems.push(format!("`matting.std` is {:?}; each of the three is above 0", self.std));
        }
        problems
    }
}
