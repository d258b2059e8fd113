//! The `.cbm` file: a mark, a FlatBuffer with features and trees, and behind it the tables of statistics.

use std::collections::HashMap;

use super::booster::{Booster, Borders, Feature, Kind, Node, OneHot, Trees};
use super::flat::{self, Buffer};
use super::info::Entries;
use super::statistic::{Combination, Counts, Ctr, Statistic, Table};
use crate::Error;

pub(super) const FORMAT: &str = "CatBoost binary";
pub(super) const MAGIC: &[u8] = b"CBM1";

/// What may follow the trees.
const STATISTICS: &str = "static_provider_v1";
/// Stands in for the hash of a place that is not used.
const UNUSED: u64 = u64::MAX;

/// Reads the whole file.
pub(super) fn read(bytes: &[u8]) -> Result<Booster, Error> {
    let mut rest = Rest { bytes, at: MAGIC.len() };
    let core = rest.sized()?;
    let buffer = Buffer::new(core, FORMAT);
    let root = buffer.root()?;
    if root.text(0)? != "FlabuffersModel_v1" {
        return Err(Error::unsupported(FORMAT, root.text(0)?, "FlabuffersModel_v1"));
    }
    let Some(trees) = root.table(1)? else { return Err(Error::state(FORMAT, "there are no trees")) };
    let mut entries = Entries::default();
    for entry in root.tables(2)? {
        entries.set(entry.text(0)?, entry.text(1)?);
    }
    let mut tables = Tables::default();
    for part in root.texts(3)? {
        if part != STATISTICS {
            return Err(Error::unsupported(FORMAT, part, "features that are numbers and categories"));
        }
        for _ in 0..rest.number()? {
            tables.add(rest.sized()?)?;
        }
    }
    booster(&trees, tables, entries)
}

/// What is not read yet of the file.
struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(count);
        let part = end.and_then(|end| self.bytes.get(self.at..end));
        let ends = || Error::Format { format: FORMAT, offset: self.at, message: "the file ends too early".to_string() };
        let part = part.ok_or_else(ends)?;
        self.at = self.at.saturating_add(count);
        Ok(part)
    }

    /// A length: 4 bytes, or where these are all set the 8 that follow.
    fn number(&mut self) -> Result<usize, Error> {
        let wide = |part: &[u8]| part.iter().rev().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let short = wide(self.take(4)?);
        let number = if short == u64::from(u32::MAX) { wide(self.take(8)?) } else { short };
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    fn sized(&mut self) -> Result<&'a [u8], Error> {
        let size = self.number()?;
        self.take(size)
    }
}

/// The tables of statistics, with what finds them.
#[derive(Default)]
struct Tables {
    all: Vec<Table>,
    /// The combination, the statistic and which borders of the target it is of.
    places: HashMap<(Combination, u8, i32), usize>,
}

impl Tables {
    fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let buffer = Buffer::new(bytes, FORMAT);
        let table = buffer.root()?;
        let base = table.table(0)?.ok_or_else(|| table.error("a table of statistics is of nothing"))?;
        let key = base_of(&base)?;
        let blob = table.bytes(2)?;
        let statistic = Statistic::of(key.1).ok_or_else(|| table.error("an unknown kind of statistic"))?;
        let classes = table.i32(4, 0)?;
        let whole = |blob: &[u8]| blob.as_chunks::<4>().0.iter().map(|four| i32::from_le_bytes(*four)).collect();
        let counts = match statistic {
            Statistic::Mean => {
                let sum = |eight: &[u8; 8]| {
                    let [a, b, c, d, e, f, g, h] = *eight;
                    (f32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h]))
                };
                Counts::Sums(blob.as_chunks::<8>().0.iter().map(sum).collect())
            }
            Statistic::Counter => Counts::Whole(1, whole(blob)),
            Statistic::Borders if classes <= 2 => Counts::Whole(2, whole(blob)),
            _ => Counts::Whole(usize::try_from(classes).unwrap_or(0), whole(blob)),
        };
        let mut places = HashMap::new();
        for [a, b, c, d, e, f, g, h, i, j, k, l] in table.bytes(1)?.as_chunks::<12>().0.iter().copied() {
            let hash = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            if hash != UNUSED {
                places.insert(hash, u32::from_le_bytes([i, j, k, l]));
            }
        }
        self.places.insert(key, self.all.len());
        self.all.push(Table { places, counts, denominator: table.i32(3, 0)? });
        Ok(())
    }
}

fn base_of(base: &flat::Table<'_, '_>) -> Result<(Combination, u8, i32), Error> {
    let combination = base.table(0)?.ok_or_else(|| base.error("a statistic of nothing"))?;
    Ok((combination_of(&combination)?, base.byte(1, 0)?, base.i32(2, 0)?))
}

fn combination_of(table: &flat::Table<'_, '_>) -> Result<Combination, Error> {
    let place = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
    let categories = table.u32s(0)?.into_iter().map(place).collect();
    let borders = table.u32_pairs(1)?.into_iter().map(|(index, bits)| (place(index), bits)).collect();
    let values = table.u32_pairs(2)?.into_iter().map(|(index, value)| (place(index), value.cast_signed())).collect();
    Ok(Combination { categories, borders, values })
}

fn booster(trees: &flat::Table<'_, '_>, tables: Tables, entries: Entries) -> Result<Booster, Error> {
    for (field, what) in
        [(12, "text features"), (18, "embedding features"), (13, "features made of texts or embeddings")]
    {
        if !trees.tables(field)?.is_empty() {
            return Err(Error::unsupported(FORMAT, what, "features that are numbers and categories"));
        }
    }
    let dimensions = trees.index(0)?;
    let (mut features, mut borders) = (Vec::new(), Vec::new());
    for one in trees.tables(5)? {
        let index = one.index(1)?;
        features.push(Feature { kind: Kind::Number, index, column: one.index(2)?, name: one.text(4)?.to_string() });
        let of_feature = one.f32s(3)?;
        if !of_feature.is_empty() {
            let missing_above = one.byte(0, 0)? != 0 && one.byte(5, 0)? == 2;
            borders.push(Borders { feature: index, borders: of_feature, missing_above });
        }
    }
    for one in trees.tables(4)? {
        let (index, column) = (one.index(0)?, one.index(1)?);
        features.push(Feature { kind: Kind::Category, index, column, name: one.text(2)?.to_string() });
    }
    let one_hot = |one: flat::Table<'_, '_>| Ok(OneHot { feature: one.index(0)?, values: one.i32s(1)? });
    let one_hot = trees.tables(6)?.into_iter().map(one_hot).collect::<Result<_, Error>>()?;
    let ctr = |one: flat::Table<'_, '_>| ctr(&one, &tables);
    let ctrs = trees.tables(7)?.into_iter().map(ctr).collect::<Result<_, Error>>()?;
    let several = trees.f64s(16)?;
    let bias = if several.is_empty() { vec![trees.f64(15, 0.0)?] } else { several };
    let bias = match bias.as_slice() {
        // Models of before 0.26 have one bias, which is that of a single output.
        [one] if dimensions > 1 && *one == 0.0 => vec![0.0; dimensions.min(trees.f64s(8)?.len())],
        _ => bias,
    };
    Ok(Booster {
        features,
        borders,
        one_hot,
        ctrs,
        tables: tables.all,
        trees: shapes(trees)?,
        leaves: trees.f64s(8)?,
        weights: trees.f64s(9)?,
        dimensions,
        scale: trees.f64(14, 1.0)?,
        bias,
        info: entries.info(FORMAT)?,
    })
}

fn ctr(feature: &flat::Table<'_, '_>, tables: &Tables) -> Result<Ctr, Error> {
    let ctr = feature.table(0)?.ok_or_else(|| feature.error("a statistic of nothing"))?;
    let base = ctr.table(0)?.ok_or_else(|| ctr.error("a statistic of nothing"))?;
    let key = base_of(&base)?;
    let statistic = Statistic::of(key.1).ok_or_else(|| base.error("an unknown kind of statistic"))?;
    let table = *tables.places.get(&key).ok_or_else(|| base.error("a statistic without its table"))?;
    let target_border = ctr.i32(1, 0)?;
    Ok(Ctr {
        combination: key.0,
        table,
        statistic,
        target_border: usize::try_from(target_border).map_err(|_| ctr.error("a border below 0"))?,
        prior: (ctr.f32(2, 0.0)?, ctr.f32(3, 1.0)?),
        shift: ctr.f32(4, 0.0)?,
        scale: ctr.f32(5, 1.0)?,
        borders: feature.f32s(1)?,
    })
}

/// The trees, each as its splits or its nodes.
fn shapes(trees: &flat::Table<'_, '_>) -> Result<Trees, Error> {
    let splits = trees.u32s(1)?;
    let sizes = trees.u32s(2)?;
    let steps = trees.u16_pairs(10)?;
    if steps.is_empty() {
        let mut rest = splits.as_slice();
        let mut all = Vec::with_capacity(sizes.len());
        for size in sizes {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let (own, after) = rest.split_at_checked(size).ok_or_else(|| trees.error("trees without their splits"))?;
            all.push(own.to_vec());
            rest = after;
        }
        return Ok(Trees::Symmetric(all));
    }
    let leaves = trees.u32s(11)?;
    if splits.len() != steps.len() || leaves.len() != steps.len() {
        return Err(trees.error("nodes without their splits or leaves"));
    }
    let node = |((split, (left, right)), leaf): ((u32, (u16, u16)), u32)| Node {
        split,
        left: left.into(),
        right: right.into(),
        leaf,
    };
    Ok(Trees::Free { nodes: splits.into_iter().zip(steps).zip(leaves).map(node).collect(), roots: trees.u32s(3)? })
}
