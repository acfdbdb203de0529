//! Angle: another real view on white. With one reference only there is nothing honest to
//! show: the unseen side of a product is never invented here.

use super::main::packshot;
use crate::generate::{Made, MakeRequest};

pub(super) fn make(request: &MakeRequest<'_>) -> Made {
    match request.second_view {
        Some((_, cutout)) => packshot(request, cutout),
        None => Made::skipped("only one usable reference; another view needs a second photo of the product"),
    }
}
