//! CatBoost's models, `.cbm` and JSON, without pickle; what is read becomes one checked [`Booster`].

mod binary;
mod booster;
mod check;
mod city;
mod exponential;
mod flat;
mod info;
mod json;
mod predict;
mod statistic;

pub(crate) use booster::{Booster, Kind};
pub(crate) use info::{Classes, Label};
pub(crate) use predict::{Form, Reasoned, Scorer};

use crate::Error;

/// The two forms of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Binary,
    Json,
}

impl Format {
    /// What the format is called, for reports and errors.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Format::Binary => binary::FORMAT,
            Format::Json => json::FORMAT,
        }
    }

    /// The form that the bytes begin with.
    pub(crate) fn sniff(bytes: &[u8]) -> Option<Format> {
        if bytes.starts_with(binary::MAGIC) {
            return Some(Format::Binary);
        }
        json::looks_like(bytes).then_some(Format::Json)
    }
}

/// Reads and checks a model.
pub(crate) fn read(bytes: &[u8], format: Format) -> Result<Booster, Error> {
    let booster = match format {
        Format::Binary => binary::read(bytes)?,
        Format::Json => json::read(bytes)?,
    };
    check::check(&booster, format.name())?;
    Ok(booster)
}
