//! The two plane transforms of registration: the similarity that shape is judged under,
//! and the affine map whose excess over it is the measured stretch.
//!
//! Coordinates are continuous: pixel (i, j) covers [i, i+1) x [j, j+1) and has its centre at
//! (i + 0.5, j + 0.5), so rescaling an image is a pure multiplication.

use serde::{Deserialize, Serialize};

/// Uniform scale, rotation and shift: `p' = scale * R(angle) * p + (tx, ty)`.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Similarity {
    /// Candidate pixels per reference pixel, over 0.
    pub scale: f32,
    /// Rotation in radians, clockwise on screen (x right, y down).
    pub angle: f32,
    /// Shift in candidate pixels.
    pub tx: f32,
    /// Shift in candidate pixels.
    pub ty: f32,
}

impl Similarity {
    /// The transform that moves nothing.
    pub const IDENTITY: Similarity = Similarity { scale: 1.0, angle: 0.0, tx: 0.0, ty: 0.0 };

    /// Moves a point from the reference to the candidate.
    pub fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        let (sin, cos) = self.angle.sin_cos();
        (self.scale * (cos * x - sin * y) + self.tx, self.scale * (sin * x + cos * y) + self.ty)
    }

    /// The transform back from the candidate to the reference.
    pub fn inverse(&self) -> Similarity {
        let scale = 1.0 / self.scale.max(1e-9);
        let (sin, cos) = (-self.angle).sin_cos();
        Similarity {
            scale,
            angle: -self.angle,
            tx: -scale * (cos * self.tx - sin * self.ty),
            ty: -scale * (sin * self.tx + cos * self.ty),
        }
    }

    /// The same placement when the reference is resized by `reference` and the candidate by
    /// `candidate` (new pixels per old pixel, both over 0).
    pub fn resized(&self, reference: f32, candidate: f32) -> Similarity {
        Similarity {
            scale: self.scale * candidate / reference,
            angle: self.angle,
            tx: self.tx * candidate,
            ty: self.ty * candidate,
        }
    }

    /// Whether every number is finite and the scale is one that a photo can have.
    pub fn is_sane(&self) -> bool {
        self.scale.is_finite()
            && (1e-3..1e3).contains(&self.scale)
            && self.angle.is_finite()
            && self.tx.is_finite()
            && self.ty.is_finite()
    }

    /// As an affine map.
    pub fn to_affine(self) -> Affine {
        let (sin, cos) = self.angle.sin_cos();
        let s = self.scale;
        Affine { a: s * cos, b: -s * sin, c: s * sin, d: s * cos, tx: self.tx, ty: self.ty }
    }
}

/// `x' = a x + b y + tx`, `y' = c x + d y + ty`.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Affine {
    /// Row one.
    pub a: f32,
    /// Row one.
    pub b: f32,
    /// Row two.
    pub c: f32,
    /// Row two.
    pub d: f32,
    /// Shift.
    pub tx: f32,
    /// Shift.
    pub ty: f32,
}

impl Affine {
    /// Moves a point.
    pub fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        (self.a * x + self.b * y + self.tx, self.c * x + self.d * y + self.ty)
    }

    /// How far from `to` the map moves `from`.
    pub fn miss(&self, from: (f32, f32), to: (f32, f32)) -> f32 {
        let (x, y) = self.apply(from.0, from.1);
        (x - to.0).hypot(y - to.1)
    }

    /// How many times larger areas become; under 0 when the map mirrors.
    pub fn determinant(&self) -> f32 {
        self.a * self.d - self.b * self.c
    }

    /// The map that moves by `first` and then by this one.
    pub fn after(&self, first: &Affine) -> Affine {
        let (tx, ty) = self.apply(first.tx, first.ty);
        Affine {
            a: self.a * first.a + self.b * first.c,
            b: self.a * first.b + self.b * first.d,
            c: self.c * first.a + self.d * first.c,
            d: self.c * first.b + self.d * first.d,
            tx,
            ty,
        }
    }

    /// The map back; `None` for a map onto a line.
    pub fn inverse(&self) -> Option<Affine> {
        let det = self.determinant();
        if !det.is_finite() || det.abs() < 1e-9 {
            return None;
        }
        let (a, b, c, d) = (self.d / det, -self.b / det, -self.c / det, self.a / det);
        Some(Affine { a, b, c, d, tx: -(a * self.tx + b * self.ty), ty: -(c * self.tx + d * self.ty) })
    }

    /// The similarity nearest to the map that moves `(x, y)` to the same place.
    pub fn nearest_similarity(&self, (x, y): (f32, f32)) -> Similarity {
        let (cos, sin) = ((self.a + self.d) / 2.0, (self.c - self.b) / 2.0);
        let turned = Similarity { scale: cos.hypot(sin).max(1e-9), angle: sin.atan2(cos), tx: 0.0, ty: 0.0 };
        let ((u, v), (p, q)) = (self.apply(x, y), turned.apply(x, y));
        Similarity { tx: u - p, ty: v - q, ..turned }
    }

    /// Logarithm of the ratio of the larger to the smaller singular value: 0 = no stretch,
    /// 0.06 = about 6 % longer one way than the other.
    pub fn anisotropy(&self) -> f32 {
        let e = (self.a + self.d) / 2.0;
        let f = (self.a - self.d) / 2.0;
        let g = (self.c + self.b) / 2.0;
        let h = (self.c - self.b) / 2.0;
        let (q, r) = (e.hypot(h), f.hypot(g));
        let (large, small) = (q + r, (q - r).abs());
        (large.max(1e-9) / small.max(1e-9)).ln()
    }

    /// How much longer the horizontal axis of the reference became than its vertical one,
    /// as a logarithm: over 0 = wider, under 0 = taller.
    pub fn widening(&self) -> f32 {
        let x = self.a.hypot(self.c).max(1e-9);
        let y = self.b.hypot(self.d).max(1e-9);
        (x / y).ln()
    }

    /// The same map when the source is resized by `reference` and the target by `candidate`.
    pub fn resized(&self, reference: f32, candidate: f32) -> Affine {
        let k = candidate / reference;
        Affine {
            a: self.a * k,
            b: self.b * k,
            c: self.c * k,
            d: self.d * k,
            tx: self.tx * candidate,
            ty: self.ty * candidate,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn a_similarity_and_its_inverse_cancel() {
        let s = Similarity { scale: 1.7, angle: 0.4, tx: 30.0, ty: -12.0 };
        let (x, y) = s.apply(100.0, 50.0);
        let (x, y) = s.inverse().apply(x, y);
        assert!((x - 100.0).abs() < 1e-3 && (y - 50.0).abs() < 1e-3);
    }

    #[test]
    fn resizing_both_images_keeps_the_correspondence() {
        let s = Similarity { scale: 0.8, angle: -0.2, tx: 5.0, ty: 9.0 };
        let (x, y) = s.apply(40.0, 60.0);
        let (u, v) = s.resized(0.5, 2.0).apply(20.0, 30.0);
        assert!((u - 2.0 * x).abs() < 1e-3 && (v - 2.0 * y).abs() < 1e-3);
    }

    #[test]
    fn an_affine_map_and_its_inverse_cancel() {
        let map = Affine { a: 1.2, b: 0.3, c: -0.2, d: 0.7, tx: 12.0, ty: -5.0 };
        let back = map.inverse().expect("a map of full rank").after(&map);
        let (x, y) = back.apply(40.0, 70.0);
        assert!((x - 40.0).abs() < 1e-3 && (y - 70.0).abs() < 1e-3);
        assert!(Affine { a: 1.0, b: 2.0, c: 2.0, d: 4.0, tx: 0.0, ty: 0.0 }.inverse().is_none());
        let turned = Similarity { scale: 1.5, angle: 0.4, tx: 3.0, ty: 4.0 };
        let near = turned.to_affine().nearest_similarity((10.0, 20.0));
        assert!((near.scale - 1.5).abs() < 1e-4 && (near.tx - 3.0).abs() < 1e-3);
    }

    #[test]
    fn anisotropy_is_the_log_ratio_of_the_axes() {
        let stretch = Affine { a: 1.06, b: 0.0, c: 0.0, d: 1.0, tx: 0.0, ty: 0.0 };
        assert!((stretch.anisotropy() - 1.06_f32.ln()).abs() < 1e-4);
        assert!(stretch.widening() > 0.05);
        let turned = Similarity { scale: 2.0, angle: 1.0, tx: 0.0, ty: 0.0 }.to_affine();
        assert!(turned.anisotropy() < 1e-3);
    }
}
