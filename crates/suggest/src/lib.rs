//! Which name was probably meant?
//!
//! One answer for all misspelt names: columns, tables, functions, settings, topics. A crate of its own, since those who
//! ask (queries, components, the pipeline file) know nothing of each other.

/// The name most similar to `name` without regard to case, if any is similar; the first of several. A third of the
/// letters may be wrong; of a name of one or two letters, none.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let letters = name.chars().count();
    let most = if letters < 3 { 0 } else { letters.div_ceil(3) };
    names
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_third_of_the_letters_may_be_wrong() {
        assert_eq!(nearest("kafak", ["file", "kafka"]), Some("kafka"));
        assert_eq!(nearest("SQL", ["console", "sql"]), Some("sql"));
        assert_eq!(nearest("Pdate", ["Pdata", "utime", "_x"]), Some("Pdata"));
        assert_eq!(nearest("xyzzy", ["file", "kafka"]), None);
        assert_eq!(nearest("a", ["b", "A"]), Some("A"));
        assert_eq!(nearest("a", ["b"]), None);
    }
}
