//! Numbers as people read them.

/// Four significant digits, thousands apart: `1,234`, `0.1522`, `3.2e-7`.
pub(crate) fn number(x: f64) -> String {
    if !x.is_finite() {
        return if x.is_nan() { "–".to_string() } else { format!("{}∞", minus(x < 0.0)) };
    }
    let size = x.abs();
    if size != 0.0 && !(1e-4..1e9).contains(&size) {
        let text = format!("{size:.2e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}{}e{exponent}", minus(x < 0.0), trim(digits));
    }
    let before = if size < 1.0 { 0 } else { size.log10() as usize + 1 };
    let decimals = if size < 1.0 && size > 0.0 { 4 + (-size.log10()) as usize } else { 4usize.saturating_sub(before) };
    fixed(x, decimals)
}

/// With at most this many decimals, thousands apart.
pub(crate) fn fixed(x: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", x.abs());
    let text = trim(&text);
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = minus(x < 0.0 && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte))).to_string();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

/// `15.2 %`, of a share.
pub(crate) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return number(share);
    }
    let percent = share * 100.0;
    let text =
        if percent.abs() >= 1e6 { number(percent) } else { fixed(percent, if percent.abs() < 1.0 { 2 } else { 1 }) };
    text + " %"
}

/// `1,234 rows`; weights need not be whole numbers.
pub fn count(many: f64, one: &str) -> String {
    let number = if many.fract() == 0.0 { fixed(many, 0) } else { number(many) };
    format!("{number} {one}{}", if many == 1.0 { "" } else { "s" })
}

fn minus(negative: bool) -> &'static str {
    if negative { "−" } else { "" }
}

/// Without the zeros behind the last digit of a fraction.
fn trim(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        let all = [0.0, 1.0, 0.152_234, 12.3456, 123.456, 1_234.56, 1_234_567.8, -0.05, -1234.5, 3.2e-7, 2.5e12];
        let shown: Vec<String> = all.into_iter().map(number).collect();
        let expected =
            ["0", "1", "0.1522", "12.35", "123.5", "1,235", "1,234,568", "−0.05", "−1,234", "3.2e-7", "2.5e12"];
        assert_eq!(shown, expected);
        assert_eq!(number(f64::NAN), "–");
    }

    #[test]
    fn shares_and_counts() {
        assert_eq!([0.1522, 0.001_234, 1.0, 0.0].map(percent), ["15.2 %", "0.12 %", "100 %", "0 %"]);
        assert_eq!(percent(4.5e15), "4.5e17 %");
        assert_eq!(count(1.0, "row"), "1 row");
        assert_eq!(count(12_345.0, "row"), "12,345 rows");
        assert_eq!(count(2.5, "row"), "2.5 rows");
        assert_eq!(fixed(-0.001, 1), "0");
    }
}
