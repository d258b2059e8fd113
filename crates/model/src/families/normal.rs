//! The normal distribution.

/// The normal deviate of a share, by the rational approximations that Moshier's Cephes library publishes (relative
/// error below 1e-15): one around the middle, two for the tails.
pub(crate) fn deviate(share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return if share <= 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let upper = share > 1.0 - TAIL;
    let y = if upper { 1.0 - share } else { share };
    if y > TAIL {
        let y = y - 0.5;
        let square = y * y;
        let ratio = square * horner(square, 0.0, &MIDDLE.0) / horner(square, 1.0, &MIDDLE.1);
        return (y + y * ratio) * SQRT_2_PI;
    }
    let x = (-2.0 * y.ln()).sqrt();
    let z = 1.0 / x;
    let (above, below) = if x < 8.0 { &NEAR_TAIL } else { &FAR_TAIL };
    let x = (x - x.ln() / x) - z * horner(z, 0.0, above) / horner(z, 1.0, below);
    if upper { x } else { -x }
}

fn horner(x: f64, first: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().fold(first, |sum, coefficient| sum * x + coefficient)
}

/// exp(-2)
const TAIL: f64 = 0.1353352832366127;
const SQRT_2_PI: f64 = 2.506_628_274_631_000_7;
const MIDDLE: ([f64; 5], [f64; 8]) = (
    [-59.96335010141079, 98.00107541859997, -56.67628574690703, 13.931260938727968, -1.2391658386738125],
    [
        1.9544885833814176,
        4.676279128988815,
        86.36024213908905,
        -225.46268785411937,
        200.26021238006066,
        -82.03722561683334,
        15.90562251262117,
        -1.1833162112133,
    ],
);
const NEAR_TAIL: ([f64; 9], [f64; 8]) = (
    [
        4.0554489230596245,
        31.525109459989388,
        57.16281922464213,
        44.08050738932008,
        14.684956192885803,
        2.1866330685079025,
        -0.1402560791713545,
        -0.03504246268278482,
        -0.0008574567851546854,
    ],
    [
        15.779988325646675,
        45.39076351288792,
        41.3172038254672,
        15.04253856929075,
        2.504649462083094,
        -0.14218292285478779,
        -0.03808064076915783,
        -0.0009332594808954574,
    ],
);
const FAR_TAIL: ([f64; 9], [f64; 8]) = (
    [
        3.2377489177694603,
        6.915228890689842,
        3.9388102529247444,
        1.3330346081580755,
        0.20148538954917908,
        0.012371663481782003,
        0.00030158155350823543,
        2.6580697468673755e-06,
        6.239745391849833e-09,
    ],
    [
        6.02427039364742,
        3.6798356385616087,
        1.3770209948908132,
        0.21623699359449663,
        0.013420400608854318,
        0.00032801446468212774,
        2.8924786474538068e-06,
        6.790194080099813e-09,
    ],
);
