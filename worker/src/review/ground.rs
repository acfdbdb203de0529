//! The background carried smoothly under the product, from fine to coarse, at a quarter of
//! the frame's resolution: what would be seen where the product is not.

use image::GrayImage;
use packshot_imaging::blur;
use packshot_imaging::colour::LabImage;
use packshot_imaging::mask;

use super::channel::quantile;

/// The background's L, a and b at every pixel of the frame. `outside` says where `lab` shows
/// background; `size` is the product's size in pixels.
pub(super) fn carried(lab: &LabImage, outside: &[bool], size: f32) -> [Vec<f32>; 3] {
    const STEP: usize = 4;
    let (w, h) = (lab.width as usize, lab.height as usize);
    let (sw, sh) = (w.div_ceil(STEP), h.div_ceil(STEP));
    let mut sums = [vec![0f32; sw * sh], vec![0f32; sw * sh], vec![0f32; sw * sh], vec![0f32; sw * sh]];
    for y in 0..h {
        for x in 0..w {
            let (i, cell) = (y * w + x, (y / STEP) * sw + x / STEP);
            if outside[i] {
                for (sum, v) in sums.iter_mut().zip([lab.l[i], lab.a[i], lab.b[i], 1.0]) {
                    sum[cell] += v;
                }
            }
        }
    }
    let planes = sums.map(|data| blur::Plane { width: sw as u32, height: sh as u32, data });
    let mut filled = vec![0f32; sw * sh];
    let mut out = [vec![0f32; sw * sh], vec![0f32; sw * sh], vec![0f32; sw * sh]];
    for sigma in [0.02, 0.05, 0.12, 0.3] {
        let soft: Vec<_> =
            planes.iter().map(|p| blur::gaussian(p, (sigma * size / STEP as f32).max(0.5))).collect();
        for i in 0..filled.len() {
            let weight = soft[3].data[i] / (STEP * STEP) as f32;
            if weight > 1e-3 {
                let believed = (4.0 * weight).min(1.0) * (1.0 - filled[i]);
                for (o, s) in out.iter_mut().zip(&soft) {
                    o[i] += believed * s.data[i] / soft[3].data[i];
                }
                filled[i] += believed;
            }
        }
    }
    out.map(|small| {
        (0..w * h)
            .map(|i| {
                let cell = (i / w / STEP) * sw + (i % w) / STEP;
                // nothing known of the background: infinitely far from every colour
                if filled[cell] > 1e-3 { small[cell] / filled[cell] } else { 1e6 }
            })
            .collect()
    })
}

/// How near a pixel is to its background, and how far two backgrounds are apart, for it to be
/// a hole rather than a surface, in Lab units.
const NEAR: f32 = 7.0;
const APART: f32 = 12.0;
/// Smallest gap, in frame pixels: a slit may be narrow, but it is longer than a speck.
const GAP_MIN: u64 = 12;

/// Where both pictures show their background although the mask says product, 255: a gap that
/// the cut-out closed. Only told where the two backgrounds differ. `beside` says where both
/// surely show background.
pub(super) fn seen_through(
    reference: (&LabImage, &[Vec<f32>; 3]),
    candidate: (&LabImage, &[Vec<f32>; 3]),
    beside: &[bool],
) -> GrayImage {
    let distance = |a: [f32; 3], b: [f32; 3]| {
        ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)).sqrt()
    };
    let pixel = |lab: &LabImage, i: usize| [lab.l[i], lab.a[i], lab.b[i]];
    let ground = |g: &[Vec<f32>; 3], i: usize| [g[0][i], g[1][i], g[2][i]];
    let off = |(lab, carried): (&LabImage, &[Vec<f32>; 3]), i| distance(pixel(lab, i), ground(carried, i));
    // A grained background strays from what is carried of it.
    let near = |of: (&LabImage, &[Vec<f32>; 3])| {
        let mut strays: Vec<f32> =
            (0..beside.len()).filter(|&i| beside[i]).step_by(7).map(|i| off(of, i)).collect();
        quantile(&mut strays, 0.8).clamp(NEAR, 2.0 * APART)
    };
    let (near_reference, near_candidate) = (near(reference), near(candidate));
    let mut out = GrayImage::new(reference.0.width, reference.0.height);
    for (i, v) in out.as_mut().iter_mut().enumerate() {
        let apart = distance(ground(reference.1, i), ground(candidate.1, i));
        let hole = apart > APART.max(near_candidate)
            && off(reference, i) < near_reference
            && off(candidate, i) < near_candidate;
        *v = if hole { 255 } else { 0 };
    }
    let labels = mask::label(&out);
    // A gap strays to all sides from what is carried of the background, a surface to one.
    let middle = |(lab, carried): (&LabImage, &[Vec<f32>; 3])| {
        let mut sums = vec![[0f32; 4]; labels.components.len() + 1];
        for (i, &label) in labels.map.iter().enumerate().filter(|(_, label)| **label > 0) {
            let (shown, behind) = (pixel(lab, i), ground(carried, i));
            let off = [shown[0] - behind[0], shown[1] - behind[1], shown[2] - behind[2], 1.0];
            for (sum, v) in sums[label as usize].iter_mut().zip(off) {
                *sum += v;
            }
        }
        let length = |[l, a, b, n]: [f32; 4]| (l * l + a * a + b * b).sqrt() / n.max(1.0);
        sums.into_iter().map(length).collect::<Vec<f32>>()
    };
    let (of_reference, of_candidate) = (middle(reference), middle(candidate));
    let open = |gap: &mask::Component| {
        let at = gap.label as usize;
        gap.area >= GAP_MIN && of_reference[at] < NEAR && of_candidate[at] < NEAR
    };
    mask::dilate(&labels.select(open), 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 60;

    /// A grey square with a slit two pixels wide, before a ground of this lightness and grain;
    /// what shows in the slit is `lighter` than the ground and without its grain.
    fn picture(ground: f32, grain: f32, slit: usize, lighter: f32) -> LabImage {
        let product = |x: usize, y: usize| (10..50).contains(&x) && (10..50).contains(&y);
        let open = |x: usize, y: usize| (30..32).contains(&x) && (20..20 + slit).contains(&y);
        let shown = |(x, y): (usize, usize)| match (product(x, y), open(x, y)) {
            (true, false) => 50.0,
            (true, true) => ground + lighter,
            (false, _) => ground + if (x + y) % 2 == 0 { grain } else { -grain },
        };
        let l = (0..SIDE * SIDE).map(|i| shown((i % SIDE, i / SIDE))).collect();
        let nothing = vec![0.0; SIDE * SIDE];
        LabImage { width: SIDE as u32, height: SIDE as u32, l, a: nothing.clone(), b: nothing }
    }

    /// Pixels within the square that are called a gap.
    fn gap(reference: &LabImage, candidate: &LabImage) -> usize {
        let beside: Vec<bool> = (0..SIDE * SIDE)
            .map(|i| !(6..54).contains(&(i % SIDE)) || !(6..54).contains(&(i / SIDE)))
            .collect();
        let carried = |lab| carried(lab, &beside, 40.0);
        let through =
            seen_through((reference, &carried(reference)), (candidate, &carried(candidate)), &beside);
        let well_inside =
            through.enumerate_pixels().filter(|(x, y, _)| (14..46).contains(x) && (14..46).contains(y));
        well_inside.filter(|(_, _, p)| p.0[0] > 0).count()
    }

    #[test]
    fn a_narrow_gap_is_seen_through_and_a_speck_is_not() {
        let plain = |ground, slit| picture(ground, 0.0, slit, 0.0);
        assert!(gap(&plain(95.0, 20), &plain(20.0, 20)) >= 40);
        assert_eq!(gap(&plain(95.0, 3), &plain(20.0, 3)), 0);
        assert_eq!(gap(&plain(95.0, 20), &plain(90.0, 20)), 0, "two grounds alike tell nothing");
    }

    #[test]
    fn a_mark_in_the_colours_of_grained_cloth_is_no_gap() {
        let (reference, cloth) = (picture(95.0, 0.0, 20, 0.0), |lighter| picture(25.0, 13.0, 20, lighter));
        assert!(gap(&reference, &cloth(2.0)) >= 40);
        assert_eq!(gap(&reference, &cloth(11.0)), 0);
    }
}
