//! Whether another worker of the group keeps on another machine what earlier batches were made with. Each member of the
//! group says where it keeps that by its client's id, which the group tells everybody.

use crate::raw::Member;

/// Begins each client's id.
const CLIENT: &str = "foretell";

/// The id of a client whose worker keeps it there: with the checksum that such a [home] begins with. Where it is shared,
/// or never changes, there is no home to tell.
///
/// [home]: foretell_connect::machine::home
pub(super) fn client(home: &str) -> String {
    match home.split(' ').next() {
        None | Some("") => CLIENT.into(),
        Some(sum) => format!("{CLIENT}-{sum}"),
    }
}

/// How many members keep it elsewhere than the one whose client has this id.
pub(super) fn count(members: &[Member], own: &str) -> usize {
    let of = |client: &str| client.strip_prefix(CLIENT).is_some_and(|rest| rest.starts_with('-'));
    if !of(own) {
        return 0;
    }
    members.iter().filter(|member| of(&member.client) && member.client != own).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_home_counts_and_no_home_does_not() {
        let of = |homes: &[&str]| -> Vec<Member> {
            homes.iter().map(|home| Member { id: "pipeline-0".into(), client: client(home) }).collect()
        };
        let own = client("12ab34cd host-a:/state");
        assert_eq!(own, "foretell-12ab34cd");
        let members = of(&["12ab34cd host-a:/state", "", "56ef7890 host-b:/state", "12ab34cd host-a:/state"]);
        assert_eq!(count(&members, &own), 1);
        assert_eq!(count(&members, &client("")), 0, "what is shared, or never changes, is the same everywhere");
        let others = [Member { id: "tool-1".into(), client: "rdkafka".into() }];
        assert_eq!(count(&others, &own), 0, "another program in the group");
    }
}
