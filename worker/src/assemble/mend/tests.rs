//! An outlier is edited, reviewed and measured again, and stays as it was where that fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use packshot_imaging::metadata::DigitalSourceType;
use packshot_imaging::photo::{Cutout, Photo};
use packshot_pipeline::catalog::Reference;
use packshot_pipeline::facts::Facts;
use packshot_pipeline::ids::Digest;

use super::super::testing::{Stage, cast, five, photo, product, relit, staged};
use super::*;
use crate::inspect::facts;

struct Shop {
    photo: Photo,
    cutout: Cutout,
    facts: Facts,
}

impl Shop {
    fn with(name: &str) -> Shop {
        let (photo, cutout) = photo(name);
        let reference =
            Reference { digest: Digest::of(b"photo"), extension: "png".to_owned(), name: name.to_owned() };
        let facts = facts(&product("SKU-1"), &reference, &photo, &cutout);
        Shop { photo, cutout, facts }
    }

    fn mended(&self, members: &[Member]) -> Compared {
        mend(Compared::as_they_are(members.to_vec()), |_| {
            Some(Truth { photo: &self.photo, cutout: &self.cutout, facts: &self.facts })
        })
    }
}

const LIFESTYLE: usize = 2;

fn pixels_of(members: &[Member]) -> Vec<&[u8]> {
    members.iter().map(|member| member.image.as_raw().as_slice()).collect()
}

#[test]
fn a_cast_is_taken_out_against_the_reference_and_recorded() {
    for name in ["saleor-apple-drink.png", "boutique-mug.jpg", "saleor-blue-plimsolls-4.png"] {
        let shop = Shop::with(name);
        let mut members = five(&shop.cutout);
        members[LIFESTYLE].source_type = DigitalSourceType::DigitalCapture;
        let truth = members[LIFESTYLE].image.clone();
        relit(&mut members[LIFESTYLE], |_| cast(2.0, 9.0));
        let before = Compared::as_they_are(members.clone());
        assert!(before.is_curable(), "{name}: {:?}", before.findings);
        let mended = shop.mended(&members);
        assert_eq!(mended.findings, vec![], "{name}: {:?}", mended.edits);
        let edit = mended.edits.iter().find(|edit| edit.used).unwrap();
        assert_eq!((edit.role, edit.op), (Role::Lifestyle, EditOp::Harmonise));
        assert_eq!(edit.against, "the reference");
        assert!(edit.after.unwrap() < edit.limit && edit.before > edit.limit, "{edit:?}");
        assert!(edit.said.contains("warmer light taken out"), "{edit:?}");
        assert!(edit.remark().evidence.contains("harmonise against the reference"), "{edit:?}");
        assert_eq!(mended.members[LIFESTYLE].source_type, DigitalSourceType::AlgorithmicallyEnhanced);
        let off = |image: &image::RgbImage| -> u64 {
            image.iter().zip(truth.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
        };
        assert!(off(&mended.members[LIFESTYLE].image) * 3 < off(&members[LIFESTYLE].image), "{name}");
        for (at, (was, now)) in members.iter().zip(&mended.members).enumerate() {
            assert!(at == LIFESTYLE || was.image == now.image);
        }
        let again = shop.mended(&members);
        assert_eq!(
            pixels_of(&again.members),
            pixels_of(&mended.members),
            "the same set gives the same bytes"
        );
        assert_eq!(again.edits, mended.edits);
    }
}

#[test]
fn a_packshot_with_too_much_room_is_cropped() {
    let shop = Shop::with("boutique-mug.jpg");
    let mut members = five(&shop.cutout);
    members[1] = staged(&shop.cutout, Role::Angle, Stage { fill: 0.6, stretch: 1.0, ground: [255; 3] });
    let mended = shop.mended(&members);
    assert_eq!(mended.findings, vec![], "{:?}", mended.edits);
    assert_eq!((mended.edits.len(), mended.edits[0].op), (1, EditOp::Crop));
    let (was, now) = (&members[1], &mended.members[1]);
    assert!(now.image.width() < was.image.width());
    assert_eq!(now.image.dimensions(), now.product_mask.dimensions());
    assert_eq!(now.scale_factor.to_bits(), was.scale_factor.to_bits());
}

#[test]
fn another_colour_is_not_painted_over_and_the_finding_says_so() {
    let shop = Shop::with("saleor-blue-plimsolls-4.png");
    let mut members = five(&shop.cutout);
    let lifestyle = &mut members[LIFESTYLE];
    for (pixel, cover) in lifestyle.image.pixels_mut().zip(lifestyle.product_mask.pixels()) {
        let [r, g, b] = pixel.0;
        if cover.0[0] > 0 && b > r.saturating_add(12) {
            pixel.0 = [r, b, g];
        }
    }
    let mended = shop.mended(&members);
    assert_eq!(pixels_of(&mended.members), pixels_of(&members));
    assert!(!mended.edits.is_empty() && mended.edits.iter().all(|edit| !edit.used), "{:?}", mended.edits);
    assert!(mended.edits.len() <= EDITS_MAX);
    let finding = mended.findings.iter().find(|finding| finding.edit == Some(EditOp::Harmonise)).unwrap();
    let evidence = &finding.finding.evidence;
    assert!(evidence.contains("harmonise against the reference was not used: "), "{evidence}");
    assert!(evidence.contains(" image was not used: "), "{evidence}");
}

#[test]
fn what_the_review_does_not_accept_stays_out() {
    let shop = Shop::with("saleor-apple-drink.png");
    let mut members = five(&shop.cutout);
    let stage = Stage { fill: 0.55, stretch: 1.1, ground: [196, 178, 152] };
    members[LIFESTYLE] = staged(&shop.cutout, Role::Lifestyle, stage);
    relit(&mut members[LIFESTYLE], |_| cast(2.0, 9.0));
    let mended = shop.mended(&members);
    assert_eq!(pixels_of(&mended.members), pixels_of(&members), "{:?}", mended.edits);
    let tried = &mended.edits[0];
    assert!(tried.said.contains("the review of the edited image says"), "{tried:?}");
}

#[test]
fn softness_is_restored_only_as_far_as_it_helps() {
    let shop = Shop::with("saleor-apple-drink.png");
    let mut members = five(&shop.cutout);
    members[LIFESTYLE].image = imageproc::filter::gaussian_blur_f32(&members[LIFESTYLE].image, 1.6);
    let before = Compared::as_they_are(members.clone());
    let soft = before.findings.iter().find(|finding| finding.property == "sharpness").expect("it is soft");
    let mended = shop.mended(&members);
    let tried = mended.edits.iter().find(|edit| edit.op == EditOp::Restore).unwrap();
    assert_eq!(tried.before.to_bits(), soft.finding.value.to_bits());
    if tried.used {
        assert!(tried.after.unwrap() <= tried.limit.max(KEPT_MAX * tried.before), "{tried:?}");
    } else {
        assert_eq!(pixels_of(&mended.members), pixels_of(&members));
    }
}

#[test]
fn without_a_reference_nothing_is_edited_and_agreeing_sets_are_left_alone() {
    let shop = Shop::with("boutique-mug.jpg");
    let members = five(&shop.cutout);
    assert!(!Compared::as_they_are(members.clone()).is_curable());
    let mended = shop.mended(&members);
    assert!(mended.edits.is_empty() && mended.findings.is_empty());
    let mut lit = members;
    relit(&mut lit[LIFESTYLE], |_| cast(2.0, 9.0));
    let left = mend(Compared::as_they_are(lit.clone()), |_| None);
    assert_eq!(pixels_of(&left.members), pixels_of(&lit));
    assert!(left.edits.is_empty() && !left.findings.is_empty());
}
