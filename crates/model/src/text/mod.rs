//! Texts become terms as scikit-learn's vectorizers find them in Python.

mod analyzer;
mod hash;
mod pattern;
mod stop_words;
mod words;

pub(crate) use analyzer::Analyzer;
pub(crate) use hash::{murmur3, place};
