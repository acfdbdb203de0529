//! Carries known values outwards, ring by ring.

/// Gives every pixel of `targets` within `rings` px of a known one the mean of its already
/// known 8-neighbours, ring by ring. `known` (row-major, 0 = unknown) is updated; values of
/// pixels that are neither known nor a target are never touched.
pub(crate) fn spread<const N: usize>(
    values: &mut [[u8; N]],
    known: &mut [u8],
    width: usize,
    mut targets: Vec<usize>,
    rings: u32,
) {
    if width == 0 || known.is_empty() {
        return;
    }
    let height = known.len() / width;
    targets.retain(|&at| known[at] == 0);
    let mut found = Vec::new();
    for _ in 0..rings {
        found.clear();
        targets.retain(|&at| match mean(values, known, at, width, height) {
            Some(value) => {
                found.push((at, value));
                false
            }
            None => true,
        });
        if found.is_empty() {
            break;
        }
        for &(at, value) in &found {
            values[at] = value;
            known[at] = 255;
        }
    }
}

fn mean<const N: usize>(
    values: &[[u8; N]],
    known: &[u8],
    at: usize,
    width: usize,
    height: usize,
) -> Option<[u8; N]> {
    let (mut sum, mut count) = ([0_u32; N], 0_u32);
    around(at, width, height, |near| {
        if known[near] > 0 {
            count += 1;
            for (sum, &value) in sum.iter_mut().zip(&values[near]) {
                *sum += u32::from(value);
            }
        }
    });
    (count > 0).then(|| sum.map(|sum| ((sum + count / 2) / count) as u8))
}

/// Visits the 8-neighbours of a pixel that lie inside the frame.
pub(crate) fn around(at: usize, width: usize, height: usize, mut visit: impl FnMut(usize)) {
    let (x, y) = (at % width, at / width);
    for ny in y.saturating_sub(1)..=(y + 1).min(height - 1) {
        for nx in x.saturating_sub(1)..=(x + 1).min(width - 1) {
            let near = ny * width + nx;
            if near != at {
                visit(near);
            }
        }
    }
}
