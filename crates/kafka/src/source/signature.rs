//! Who commits a group's offsets: beside the note that goes with each stand the worker's name and its process's life. So a
//! worker that was sent away sees that another process is at work under its name.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A note of more bytes than this is not kept by Kafka (`offset.metadata.max.bytes`).
const LONGEST: usize = 4096;

/// A worker's name in its group, and a process that ran under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Signature {
    pub(super) member: String,
    /// Of one process alone.
    pub(super) life: String,
}

impl Signature {
    /// A new life of this member.
    pub(super) fn new(member: &str) -> Signature {
        Signature { member: member.into(), life: uuid::Uuid::new_v4().simple().to_string() }
    }

    /// A note with the signature in it; as it was where it is not an object of JSON, or would be too long.
    pub(super) fn sign(&self, note: &str) -> String {
        let object = match note {
            "" => Ok(Map::new()),
            note => serde_json::from_str(note),
        };
        let Ok(mut object) = object else { return note.into() };
        object.insert("member".into(), Value::String(self.member.clone()));
        object.insert("life".into(), Value::String(self.life.clone()));
        let signed = Value::Object(object).to_string();
        if signed.len() <= LONGEST { signed } else { note.into() }
    }

    /// The signature in a note.
    pub(super) fn of(note: &str) -> Option<Signature> {
        serde_json::from_str(note).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_found_again_and_the_note_stays() {
        let signature = Signature::new("orders-1");
        assert_ne!(signature, Signature::new("orders-1"), "another life");
        for note in ["", "{}", r#"{"sinks":{"m":"host"},"state":"s"}"#] {
            let signed = signature.sign(note);
            assert_eq!(Signature::of(&signed), Some(signature.clone()));
            assert!(note.len() < 3 || signed.contains(r#""sinks":{"m":"host"}"#), "{signed}");
        }
    }

    #[test]
    fn a_note_of_another_program_or_without_room_stays_as_it_is() {
        let long = format!(r#"{{"sinks":"{}"}}"#, "x".repeat(LONGEST - 20));
        for note in ["who", "[1]", long.as_str()] {
            assert_eq!(Signature::new("orders-1").sign(note), note);
            assert_eq!(Signature::of(note), None);
        }
    }
}
