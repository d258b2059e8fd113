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

/// The share below a deviate, by the rational approximations of the same library.
pub(crate) fn share_below(deviate: f64) -> f64 {
    let x = deviate * std::f64::consts::FRAC_1_SQRT_2;
    if x.abs() < std::f64::consts::FRAC_1_SQRT_2 {
        return 0.5 + 0.5 * erf(x);
    }
    let tail = 0.5 * erfc(x.abs());
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// The error function.
pub(crate) fn error_function(x: f64) -> f64 {
    if x.abs() > 1.0 { (1.0 - erfc(x.abs())).copysign(x) } else { erf(x) }
}

/// The error function of what is not above 1.
fn erf(x: f64) -> f64 {
    let square = x * x;
    x * horner(square, 0.0, &ERF.0) / horner(square, 1.0, &ERF.1)
}

/// One minus the error function, of what is not below 0.
fn erfc(x: f64) -> f64 {
    if x < 1.0 {
        return 1.0 - erf(x);
    }
    let (above, below): (&[f64], &[f64]) = if x < 8.0 { (&ERFC.0, &ERFC.1) } else { (&FAR_ERFC.0, &FAR_ERFC.1) };
    (-x * x).exp() * horner(x, 0.0, above) / horner(x, 1.0, below)
}

fn horner(x: f64, first: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().fold(first, |sum, coefficient| sum * x + coefficient)
}

const ERF: ([f64; 5], [f64; 5]) = (
    [9.604973739870516, 90.02601972038427, 2232.005345946843, 7003.325141128051, 55592.30130103949],
    [33.56171416475031, 521.3579497801527, 4594.323829709801, 22629.000061389095, 49267.39426086359],
);
const ERFC: ([f64; 9], [f64; 8]) = (
    [
        2.461969814735305e-10,
        0.5641895648310689,
        7.463210564422699,
        48.63719709856814,
        196.5208329560771,
        526.4451949954773,
        934.5285271719576,
        1027.5518868951572,
        557.5353353693994,
    ],
    [
        13.228195115474499,
        86.70721408859897,
        354.9377788878199,
        975.7085017432055,
        1823.9091668790973,
        2246.3376081871097,
        1656.6630919416134,
        557.5353408177277,
    ],
);
const FAR_ERFC: ([f64; 6], [f64; 6]) = (
    [
        0.5641895835477551,
        1.275366707599781,
        5.019050422511805,
        6.160210979930536,
        7.4097426995044895,
        2.9788666537210022,
    ],
    [
        2.2605286322011726,
        9.396035249380015,
        12.048953980809666,
        17.08144507475659,
        9.608968090632859,
        3.369076451000815,
    ],
);
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
