//! LightGBM's model text (versions 2 to 4), without pickle; what is read becomes one [`Booster`].

mod objective;
mod predict;
mod text;
mod tree;

pub(crate) use predict::{OutputForm, Scorer};
pub(crate) use text::{Booster, Levels, read};
pub(crate) use tree::ZERO;

/// The name of the format, for reports and errors.
pub(crate) const FORMAT: &str = "LightGBM text";

/// Whether the bytes are a saved model: its first line is `tree`, and the version follows.
pub(crate) fn looks_like(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"tree") else { return false };
    let rest = rest.strip_prefix(b"\r").unwrap_or(rest);
    rest.starts_with(b"\nversion=")
}
