//! The topics of a source, by number.
//!
//! Columns say where each row comes from by one number, its *ordinal*: the partition's number where a source reads one topic,
//! and with the topic's number in the upper bits where it reads several. Ordinals live as long as a source: what is stored
//! names topic and partition.

use std::sync::Arc;

use crate::Partition;

/// An ordinal's lower bits hold the partition's number.
const PARTITION_BITS: u32 = 20;

/// The topics that the records of a source come from. A source adds topics and never takes one away, so that an ordinal stays
/// what it is; of one source's lists the longer one says all that a shorter one does. The default is one topic without a
/// name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topics(Arc<[Arc<str>]>);

impl Topics {
    /// More than a source can have.
    pub const MOST: usize = 1 << (31 - PARTITION_BITS);

    /// One topic.
    pub fn one(name: Arc<str>) -> Topics {
        Topics(Arc::new([name]))
    }

    /// These topics, and one more; the same where it is there already, or where there are as many as can be.
    #[must_use]
    pub fn with(&self, name: &str) -> Topics {
        if self.0.iter().any(|known| **known == *name) || self.0.len() + 1 >= Topics::MOST {
            return self.clone();
        }
        Topics(self.0.iter().cloned().chain([Arc::from(name)]).collect())
    }

    /// Their names, by number.
    pub fn names(&self) -> &[Arc<str>] {
        &self.0
    }

    /// A partition's ordinal; `None` where its topic is none of these.
    pub fn ordinal(&self, partition: &Partition) -> Option<i32> {
        if self.0.len() < 2 {
            return Some(partition.index);
        }
        let number = self.0.iter().position(|name| *name == partition.topic)?;
        let number = i32::try_from(number).ok()?.checked_shl(PARTITION_BITS)?;
        (0..1 << PARTITION_BITS).contains(&partition.index).then_some(number | partition.index)
    }

    /// The topic of an ordinal.
    pub fn topic(&self, ordinal: i32) -> Arc<str> {
        let number = if self.0.len() < 2 { 0 } else { ordinal >> PARTITION_BITS };
        let name = usize::try_from(number).ok().and_then(|number| self.0.get(number));
        name.cloned().unwrap_or_else(|| Arc::from(""))
    }

    /// The partition's number within its topic.
    pub fn index(&self, ordinal: i32) -> i32 {
        if self.0.len() < 2 { ordinal } else { ordinal & ((1 << PARTITION_BITS) - 1) }
    }

    /// The partition of an ordinal.
    pub fn partition(&self, ordinal: i32) -> Partition {
        Partition { topic: self.topic(ordinal), index: self.index(ordinal) }
    }

    /// The longer one of two lists of one source.
    #[must_use]
    pub fn or_longer<'a>(&'a self, other: &'a Topics) -> &'a Topics {
        if other.0.len() > self.0.len() { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinal_is_the_partition_of_one_topic_and_names_both_of_several() {
        let partition = |topic: &str, index| Partition { topic: topic.into(), index };
        let one = Topics::one("a".into());
        assert_eq!(one.ordinal(&partition("a", 7)), Some(7));
        assert_eq!(one.partition(7), partition("a", 7));
        let two = one.with("b").with("b");
        assert_eq!(two.names().len(), 2);
        let ordinals: Vec<i32> =
            [("a", 7), ("b", 0), ("b", 7)].iter().filter_map(|(t, i)| two.ordinal(&partition(t, *i))).collect();
        assert_eq!(ordinals, [7, 1 << 20, (1 << 20) | 7]);
        assert_eq!(two.partition(ordinals[2]), partition("b", 7));
        assert_eq!(two.ordinal(&partition("c", 0)), None);
        assert_eq!(Topics::default().ordinal(&partition("x", 3)), Some(3));
        assert_eq!(one.or_longer(&two), &two);
    }

    #[test]
    fn no_ordinal_is_below_zero() {
        let mut topics = Topics::default();
        for number in 0..Topics::MOST + 3 {
            topics = topics.with(&number.to_string());
        }
        let last = topics.names().last().unwrap().clone();
        let highest = Partition { topic: last, index: (1 << PARTITION_BITS) - 1 };
        assert!(topics.ordinal(&highest).is_some_and(|ordinal| ordinal > 0 && topics.partition(ordinal) == highest));
    }
}
