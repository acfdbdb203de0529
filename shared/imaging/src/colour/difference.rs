//! How different two colours look.

use super::Lab;

/// Colour difference of CIE 1976: the straight distance in Lab. Fast; overstates
/// differences of saturated colours.
#[inline]
pub fn ciede76(x: Lab, y: Lab) -> f32 {
    let (l, a, b) = (x.l - y.l, x.a - y.a, x.b - y.b);
    (l * l + a * a + b * b).sqrt()
}

/// Colour difference CIEDE2000 with all weights 1 (Sharma, Wu, Dalal 2005); about 1 is the
/// smallest difference seen side by side, 0 is equal.
pub fn ciede2000(x: Lab, y: Lab) -> f32 {
    const POW25_7: f32 = 6_103_515_625.0;
    let chroma_mean = f32::midpoint(x.chroma(), y.chroma());
    let c7 = chroma_mean.powi(7);
    let g = 0.5 * (1.0 - (c7 / (c7 + POW25_7)).sqrt());
    let (a1, a2) = ((1.0 + g) * x.a, (1.0 + g) * y.a);
    let (c1, c2) = (a1.hypot(x.b), a2.hypot(y.b));
    let hue =
        |a: f32, b: f32| if a == 0.0 && b == 0.0 { 0.0 } else { b.atan2(a).to_degrees().rem_euclid(360.0) };
    let (h1, h2) = (hue(a1, x.b), hue(a2, y.b));

    let delta_l = y.l - x.l;
    let delta_c = c2 - c1;
    let product = c1 * c2;
    let delta_angle = if product == 0.0 {
        0.0
    } else {
        let d = h2 - h1;
        if d > 180.0 {
            d - 360.0
        } else if d < -180.0 {
            d + 360.0
        } else {
            d
        }
    };
    let delta_h = 2.0 * product.sqrt() * (delta_angle / 2.0).to_radians().sin();

    let l_mean = f32::midpoint(x.l, y.l);
    let c_mean = f32::midpoint(c1, c2);
    let h_mean = if product == 0.0 {
        h1 + h2
    } else if (h1 - h2).abs() <= 180.0 {
        f32::midpoint(h1, h2)
    } else if h1 + h2 < 360.0 {
        (h1 + h2 + 360.0) / 2.0
    } else {
        (h1 + h2 - 360.0) / 2.0
    };
    let cos = |degrees: f32| degrees.to_radians().cos();
    let t = 1.0 - 0.17 * cos(h_mean - 30.0) + 0.24 * cos(2.0 * h_mean) + 0.32 * cos(3.0 * h_mean + 6.0)
        - 0.20 * cos(4.0 * h_mean - 63.0);
    let turn = 30.0 * (-((h_mean - 275.0) / 25.0).powi(2)).exp();
    let c_mean_7 = c_mean.powi(7);
    let rc = 2.0 * (c_mean_7 / (c_mean_7 + POW25_7)).sqrt();
    let l50 = (l_mean - 50.0).powi(2);
    let sl = 1.0 + 0.015 * l50 / (20.0 + l50).sqrt();
    let sc = 1.0 + 0.045 * c_mean;
    let sh = 1.0 + 0.015 * c_mean * t;
    let rt = -(2.0 * turn).to_radians().sin() * rc;
    let (dl, dc, dh) = (delta_l / sl, delta_c / sc, delta_h / sh);
    (dl * dl + dc * dc + dh * dh + rt * dc * dh).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    /// Test data of Sharma, Wu, Dalal 2005, table 1.
    const SHARMA: [[f32; 7]; 34] = [
        [50.0, 2.6772, -79.7751, 50.0, 0.0, -82.7485, 2.0425],
        [50.0, 3.1571, -77.2803, 50.0, 0.0, -82.7485, 2.8615],
        [50.0, 2.8361, -74.0200, 50.0, 0.0, -82.7485, 3.4412],
        [50.0, -1.3802, -84.2814, 50.0, 0.0, -82.7485, 1.0000],
        [50.0, -1.1848, -84.8006, 50.0, 0.0, -82.7485, 1.0000],
        [50.0, -0.9009, -85.5211, 50.0, 0.0, -82.7485, 1.0000],
        [50.0, 0.0, 0.0, 50.0, -1.0, 2.0, 2.3669],
        [50.0, -1.0, 2.0, 50.0, 0.0, 0.0, 2.3669],
        [50.0, 2.4900, -0.0010, 50.0, -2.4900, 0.0009, 7.1792],
        [50.0, 2.4900, -0.0010, 50.0, -2.4900, 0.0010, 7.1792],
        [50.0, 2.4900, -0.0010, 50.0, -2.4900, 0.0011, 7.2195],
        [50.0, 2.4900, -0.0010, 50.0, -2.4900, 0.0012, 7.2195],
        [50.0, -0.0010, 2.4900, 50.0, 0.0009, -2.4900, 4.8045],
        [50.0, -0.0010, 2.4900, 50.0, 0.0010, -2.4900, 4.8045],
        [50.0, -0.0010, 2.4900, 50.0, 0.0011, -2.4900, 4.7461],
        [50.0, 2.5, 0.0, 50.0, 0.0, -2.5, 4.3065],
        [50.0, 2.5, 0.0, 73.0, 25.0, -18.0, 27.1492],
        [50.0, 2.5, 0.0, 61.0, -5.0, 29.0, 22.8977],
        [50.0, 2.5, 0.0, 56.0, -27.0, -3.0, 31.9030],
        [50.0, 2.5, 0.0, 58.0, 24.0, 15.0, 19.4535],
        [50.0, 2.5, 0.0, 50.0, 3.1736, 0.5854, 1.0000],
        [50.0, 2.5, 0.0, 50.0, 3.2972, 0.0, 1.0000],
        [50.0, 2.5, 0.0, 50.0, 1.8634, 0.5757, 1.0000],
        [50.0, 2.5, 0.0, 50.0, 3.2592, 0.3350, 1.0000],
        [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
        [63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630],
        [61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731],
        [35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645],
        [22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373],
        [36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146],
        [90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441],
        [90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381],
        [6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377],
        [2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082],
    ];

    #[test]
    fn agrees_with_the_published_table() {
        for row in SHARMA {
            let x = Lab { l: row[0], a: row[1], b: row[2] };
            let y = Lab { l: row[3], a: row[4], b: row[5] };
            let (there, back) = (ciede2000(x, y), ciede2000(y, x));
            // Rows 9 to 15 sit on the discontinuity of the mean hue, where single
            // precision may fall to either side; both values are published there.
            let tolerance = if x.l == 50.0 && (x.a.abs() - 2.49).abs() < 0.01 { 0.05 } else { 1e-3 };
            let tolerance = if (x.b.abs() - 2.49).abs() < 0.01 { 0.07 } else { tolerance };
            assert!((there - row[6]).abs() < tolerance, "{row:?} gave {there}");
            assert!((there - back).abs() < 0.07, "{row:?} is not symmetric");
        }
    }

    #[test]
    fn zero_for_equal_and_finite_for_black() {
        let grey = Lab { l: 50.0, a: 0.0, b: 0.0 };
        assert_eq!(ciede2000(grey, grey), 0.0);
        assert!(ciede2000(Lab::default(), Lab { l: 100.0, a: 0.0, b: 0.0 }) > 99.0);
    }
}
