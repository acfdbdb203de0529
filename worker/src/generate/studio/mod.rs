//! The built-in maker: store-ready pictures out of the reference's own pixels.
//!
//! The product is moved and resampled, never repainted. Only what is around it is made:
//! white, a cleaned backdrop, or a rendered surface lit like the product itself.

use async_trait::async_trait;
use image::{GrayImage, RgbImage};
use packshot_imaging::colour::lab;
use packshot_imaging::composite::mix;
use packshot_pipeline::role::Role;

use super::{Capabilities, Made, MakeError, MakeRequest, Maker};

mod ad;
mod angle;
mod cleanup;
mod comparison;
mod detail;
mod feature;
mod lifestyle;
mod main;
mod pose;
mod scene;
mod stage;
pub mod style;
mod subject;
#[cfg(test)]
pub(crate) mod testing;

/// The studio's name among makers.
pub const NAME: &str = "studio";
/// Version of its pictures: a new one makes every image again.
pub const VERSION: &str = "1";

/// The built-in maker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Studio;

#[async_trait]
impl Maker for Studio {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: NAME.to_owned(),
            roles: Role::ALL.into_iter().filter(|role| *role != Role::OnModel).collect(),
            mask: true,
            seed: true,
            references_max: 2,
            side_px_max: subject::MASTER_SIDE_MAX,
            transparency: true,
            price_micro_usd: 0,
            batch_lane: false,
            retires_on: None,
        }
    }

    /// Computes on the calling thread for some hundred milliseconds: call it from a pool
    /// of threads for pixels, not from the async runtime's own workers.
    async fn generate(&self, request: &MakeRequest<'_>) -> Result<Made, MakeError> {
        Ok(make(request))
    }
}

/// Makes the request's role. Pure: the same request gives the same pixels.
pub fn make(request: &MakeRequest<'_>) -> Made {
    match request.role {
        Role::Main => main::make(request),
        Role::Cleanup => cleanup::make(request),
        Role::Detail => detail::make(request),
        Role::Angle => angle::make(request),
        Role::Lifestyle => lifestyle::make(request),
        Role::Feature => feature::make(request),
        Role::Comparison => comparison::make(request),
        Role::Ad => ad::make(request),
        Role::OnModel => Made::skipped(
            "a product worn or held cannot be made from its own pixels; configure a provider and human review",
        ),
    }
}

/// Seed of everything that looks random in a picture: from the reference, the role and
/// the attempt, never from a clock.
fn seed(request: &MakeRequest<'_>) -> u64 {
    let digest = request.facts.reference.to_hex();
    let start = u64::from_str_radix(digest.get(..16).unwrap_or_default(), 16).unwrap_or_default();
    let role = Role::ALL.iter().position(|role| *role == request.role).unwrap_or_default() as u64;
    mix(start ^ mix(role.wrapping_mul(977).wrapping_add(u64::from(request.attempt))))
}

/// How much darker than white the product's rim is, in Lab L: the median over pixels that
/// are product and near the outline.
fn contrast_with_white(image: &RgbImage, product: &GrayImage) -> f32 {
    let (w, h) = image.dimensions();
    let reach = (w.max(h) / 250).max(2);
    let mut levels = Vec::new();
    for y in (0..h).step_by(3) {
        let mut inside = false;
        for x in 0..w {
            let now = product.get_pixel(x, y).0[0] >= 250;
            if now && !inside && x + reach < w {
                levels.push(100.0 - lab(image.get_pixel(x + reach, y).0).l);
            }
            inside = now;
        }
    }
    levels.sort_by(f32::total_cmp);
    levels.get(levels.len() / 2).copied().unwrap_or(100.0)
}
