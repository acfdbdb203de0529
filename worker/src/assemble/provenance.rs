//! What each exported file says of how it was made: the IPTC digital source type a
//! channel wants, and the XMP packet that carries it.
//!
//! The maker states how the pixels came to be (reference pixels only:
//! `algorithmicallyEnhanced`; in a rendered scene: `compositeSynthetic`; with generated
//! surroundings or repairs: `compositeWithTrainedAlgorithmicMedia`; re-rendered by a
//! model: `trainedAlgorithmicMedia`). Nothing here ever makes that statement weaker.

use packshot_imaging::metadata::{DigitalSourceType, Xmp};
use packshot_pipeline::finding::EditOp;
use packshot_pipeline::role::Role;

use super::channel::Provenance;

/// The term that a file declares under a channel's rule: the maker's own, or the one term
/// the channel knows for generated pixels where there are any.
pub fn declared(made: DigitalSourceType, rule: Option<&Provenance>) -> DigitalSourceType {
    match rule.and_then(|rule| rule.generated_as) {
        Some(term) if made.is_generated() => term,
        Some(_) | None => made,
    }
}

/// The term of an image after `op` was used on it. A frame alone changes no pixel; what a
/// camera took and an algorithm corrected is enhanced; every other term already says more.
pub fn edited(made: DigitalSourceType, op: EditOp) -> DigitalSourceType {
    let taken = matches!(
        made,
        DigitalSourceType::DigitalCapture
            | DigitalSourceType::ComputationalCapture
            | DigitalSourceType::HumanEdits
    );
    if taken && op != EditOp::Crop { DigitalSourceType::AlgorithmicallyEnhanced } else { made }
}

/// Whether every pixel comes from a camera: nothing rendered, nothing generated.
pub fn is_photograph(made: DigitalSourceType) -> bool {
    match made {
        DigitalSourceType::DigitalCapture
        | DigitalSourceType::ComputationalCapture
        | DigitalSourceType::HumanEdits
        | DigitalSourceType::AlgorithmicallyEnhanced
        | DigitalSourceType::CompositeCapture => true,
        DigitalSourceType::CompositeSynthetic
        | DigitalSourceType::CompositeWithTrainedAlgorithmicMedia
        | DigitalSourceType::TrainedAlgorithmicMedia
        | DigitalSourceType::AlgorithmicMedia => false,
    }
}

/// The packet of a file. It names no product, brand or person: catalog text is data of
/// the seller and does not belong into a public file unasked.
pub fn xmp(declared: DigitalSourceType, role: Role) -> Xmp {
    Xmp {
        source_type: Some(declared),
        creator_tool: concat!("Packshot ", env!("CARGO_PKG_VERSION")).to_owned(),
        description: format!("product image, {role}"),
        ..Xmp::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_pixels_are_declared_in_the_channels_own_term() {
        use DigitalSourceType as T;
        let google = Provenance { generated_as: Some(T::TrainedAlgorithmicMedia) };
        let other = Provenance { generated_as: None };
        let table = [
            (T::AlgorithmicallyEnhanced, T::AlgorithmicallyEnhanced),
            (T::CompositeSynthetic, T::CompositeSynthetic),
            (T::CompositeWithTrainedAlgorithmicMedia, T::TrainedAlgorithmicMedia),
            (T::TrainedAlgorithmicMedia, T::TrainedAlgorithmicMedia),
        ];
        for (made, expected) in table {
            assert_eq!(declared(made, Some(&google)), expected);
            assert_eq!(declared(made, Some(&other)), made);
            assert_eq!(declared(made, None), made);
        }
    }

    #[test]
    fn an_edit_never_makes_the_statement_weaker() {
        use DigitalSourceType as T;
        assert_eq!(edited(T::DigitalCapture, EditOp::Harmonise), T::AlgorithmicallyEnhanced);
        assert_eq!(edited(T::DigitalCapture, EditOp::Crop), T::DigitalCapture);
        for made in DigitalSourceType::ALL {
            for op in EditOp::ALL {
                let after = edited(made, op);
                assert_eq!(after.is_generated(), made.is_generated(), "{made:?}");
                assert_eq!(is_photograph(after), is_photograph(made), "{made:?}");
            }
        }
    }

    #[test]
    fn what_is_generated_is_never_a_photograph() {
        for made in DigitalSourceType::ALL {
            assert!(!(made.is_generated() && is_photograph(made)), "{made:?}");
        }
    }
}
