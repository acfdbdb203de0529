//! Carries known values outwards, ring by ring.

/// Grows `values` from the pixels where `known` > 0 into their surroundings, `rings` px far;
/// each new pixel is the mean of its known 8-neighbours. Returns the values and the grown
/// `known` (255 = defined).
pub(crate) fn spread<const N: usize>(
    mut values: Vec<[u8; N]>,
    known: &[u8],
    width: usize,
    rings: u32,
) -> (Vec<[u8; N]>, Vec<u8>) {
    let mut state: Vec<u8> = known.iter().map(|&k| if k > 0 { 255 } else { 0 }).collect();
    if width == 0 || state.is_empty() {
        return (values, state);
    }
    let height = state.len() / width;
    let mut front: Vec<usize> = (0..state.len()).filter(|&at| state[at] > 0).collect();
    for _ in 0..rings {
        let mut next = Vec::new();
        for &at in &front {
            around(at, width, height, |near| {
                if state[near] == 0 {
                    state[near] = 1;
                    next.push(near);
                }
            });
        }
        let means: Vec<[u8; N]> = next.iter().map(|&at| mean(&values, &state, at, width, height)).collect();
        for (&at, mean) in next.iter().zip(means) {
            values[at] = mean;
            state[at] = 255;
        }
        front = next;
        if front.is_empty() {
            break;
        }
    }
    (values, state)
}

fn mean<const N: usize>(values: &[[u8; N]], state: &[u8], at: usize, width: usize, height: usize) -> [u8; N] {
    let (mut sum, mut count) = ([0_u32; N], 0);
    around(at, width, height, |near| {
        if state[near] == 255 {
            count += 1;
            for (sum, &value) in sum.iter_mut().zip(&values[near]) {
                *sum += u32::from(value);
            }
        }
    });
    sum.map(|sum| ((sum + count / 2).checked_div(count).unwrap_or(0)) as u8)
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
