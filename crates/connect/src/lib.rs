//! What is a component?
//!
//! The seam between the run loop and everything that it reads from and writes to. A component is its settings (what the
//! pipeline file says), `open()` (which resolves them against the real service) and the stage trait of `foretell-flow`
//! that it implements; its [`kind::Kind`] stands in a list where all components meet. This crate knows no service, no
//! client library, no SQL, no model and no command line.

pub mod console;
pub mod human;
pub mod key_type;
pub mod kind;
pub mod machine;
pub mod schemas;
pub mod secret;
pub mod storage;
pub mod table;
pub mod text;
