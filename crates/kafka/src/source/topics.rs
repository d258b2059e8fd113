//! Which topics a source reads.

use std::sync::Arc;

use foretell_connect::kind::SettingsError;
use foretell_flow::{StageError, Topics};
use regex::Regex;

use crate::inspect::Inspector;
use crate::sink::DEFAULT_PROGRESS_TOPIC;

/// Longer lists of names are cut off in messages.
const NAMED: usize = 3;

/// What the pipeline file says.
#[derive(Debug, Clone)]
pub(super) enum Interest {
    /// These topics.
    Named(Vec<Arc<str>>),
    /// Topics whose whole name matches, those that come later, too.
    Pattern(String, Regex),
}

impl Interest {
    /// Reads the three settings, of which one must be there.
    pub(super) fn new(
        topic: Option<&str>,
        topics: Option<&[String]>,
        pattern: Option<&str>,
    ) -> Result<Interest, SettingsError> {
        let wrong = |key: &str, message: &str| Err(SettingsError { path: vec![key.into()], message: message.into() });
        match (topic, topics, pattern) {
            (Some(topic), None, None) => Ok(Interest::Named(vec![topic.into()])),
            (None, Some([]), None) => wrong("topics", "the list is empty; name at least one topic"),
            (None, Some(topics), None) => {
                let mut named: Vec<Arc<str>> = Vec::with_capacity(topics.len());
                for topic in topics {
                    if named.iter().any(|known| **known == **topic) {
                        return wrong("topics", &format!("`{topic}` is there twice"));
                    }
                    named.push(topic.as_str().into());
                }
                if named.len() >= Topics::MOST {
                    return wrong("topics", &format!("{} topics are more than one pipeline reads", named.len()));
                }
                Ok(Interest::Named(named))
            }
            (None, None, Some(pattern)) => match Regex::new(&format!("^(?:{pattern})$")) {
                Ok(regex) => Ok(Interest::Pattern(pattern.into(), regex)),
                Err(_) => wrong("pattern", "this is not a regular expression; an example is `orders\\..*`"),
            },
            (None, None, None) => Err(SettingsError {
                path: Vec::new(),
                message: "name a `topic`, several `topics` as a list, or a `pattern` that their names match".into(),
            }),
            _ => wrong(
                if pattern.is_some() { "pattern" } else { "topics" },
                "`topic`, `topics` and `pattern` exclude each other; leave one",
            ),
        }
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        match self {
            Interest::Named(names) => match names.as_slice() {
                [one] => format!("topic {one}"),
                several => format!("topics {}", several.join(", ")),
            },
            Interest::Pattern(pattern, _) => format!("topics that match `{pattern}`"),
        }
    }

    /// The names of the topics now.
    pub(super) fn names(&self, inspector: &Inspector) -> Result<Vec<String>, StageError> {
        match self {
            Interest::Named(names) => Ok(names.iter().map(|name| name.to_string()).collect()),
            Interest::Pattern(_, regex) => {
                let mut names = inspector.names()?;
                // What brokers and sinks keep for themselves is nobody's data.
                names.retain(|name| !name.starts_with("__") && name != DEFAULT_PROGRESS_TOPIC && regex.is_match(name));
                names.sort();
                Ok(names)
            }
        }
    }

    /// The topics that a source begins with.
    pub(super) fn begin(&self, inspector: &Inspector) -> Result<Topics, StageError> {
        let names = self.names(inspector)?;
        if let (Interest::Pattern(pattern, _), []) = (self, names.as_slice()) {
            let error = StageError::settings(format!("no topic matches the pattern `{pattern}`"));
            return Err(error.remedy("create a topic first, or correct the pattern: the whole name must match"));
        }
        if names.len() >= Topics::MOST {
            let error = StageError::settings(format!("{} topics are more than one pipeline reads", names.len()));
            return Err(error.remedy(format!("narrow the pattern to fewer than {} topics", Topics::MOST)));
        }
        Ok(names.iter().fold(Topics::default(), |topics, name| topics.with(name)))
    }
}

/// The topics, as a message begins.
pub(super) fn named(topics: &Topics) -> String {
    let names = topics.names();
    let first: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    match (names.len(), names.len().saturating_sub(NAMED)) {
        (1, _) => format!("topic {}", first.join(", ")),
        (_, 0) => format!("topics {}", first.join(", ")),
        (_, more) => format!("topics {} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_three_settings_is_there() {
        let list = ["a".to_string(), "b".to_string()];
        let twice = ["a".to_string(), "a".to_string()];
        let error = |topic, topics, pattern| Interest::new(topic, topics, pattern).unwrap_err();
        assert!(error(None, None, None).message.starts_with("name a `topic`"));
        assert_eq!(error(Some("a"), Some(&list), None).path, ["topics"]);
        assert_eq!(error(None, Some(&list), Some("a")).path, ["pattern"]);
        assert_eq!(error(None, Some(&[]), None).message, "the list is empty; name at least one topic");
        assert_eq!(error(None, Some(&twice), None).message, "`a` is there twice");
        assert!(error(None, None, Some("(")).message.contains("not a regular expression"));
        assert_eq!(Interest::new(None, Some(&list), None).unwrap().describe(), "topics a, b");
        assert_eq!(Interest::new(Some("a"), None, None).unwrap().describe(), "topic a");
    }

    #[test]
    fn long_lists_are_cut_off() {
        let topics = |names: &[&str]| names.iter().fold(Topics::default(), |topics, name| topics.with(name));
        assert_eq!(named(&topics(&["a"])), "topic `a`");
        assert_eq!(named(&topics(&["a", "b", "c"])), "topics `a`, `b`, `c`");
        assert_eq!(named(&topics(&["a", "b", "c", "d", "e"])), "topics `a`, `b`, `c` and 2 more");
    }
}
