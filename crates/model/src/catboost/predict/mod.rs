//! Scoring a booster: a block of rows at a time, every feature as the number of borders that it is above.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "the model was checked before")]

mod reasons;

use std::collections::HashMap;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, downcast_integer_array};
use arrow_schema::DataType;

use super::booster::{Booster, Feature, Kind, Node, Trees};
use super::city;
use super::exponential::exponentials;
use super::statistic::{Ctr, Table, combined};
use crate::Method;
use crate::categories::texts;
use crate::math::scores;
use crate::matrix::{Matrix, read};
use crate::step::{Answer, Predict, Run};
use crate::types::is_text;

pub(crate) use reasons::Reasoned;

/// What `predict` and `predict_proba` make of the raw scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Form {
    /// The scores as they are.
    Value,
    /// Their exponentials.
    Exponential,
    /// A mean, and the exponential of twice the logarithm of a deviation.
    Uncertainty,
    /// The second of two classes, where the score is above the number.
    Two(f64),
    /// The class of the largest score.
    Largest,
    /// The same; each class has a probability of its own.
    LargestOfEach,
    /// A yes or no for each score.
    Each,
}

/// Rows that are scored at once.
const BLOCK: usize = 128;

/// A condition: the column of ranks that it looks at, and the least rank, or the only one, that it holds for.
#[derive(Debug, Clone, Copy)]
struct Condition {
    column: u32,
    rank: u16,
    is_equal: bool,
}

/// What makes a column of ranks.
#[derive(Debug)]
enum Column {
    Number { slot: usize, borders: Vec<f32> },
    OneHot { slot: usize, ranks: HashMap<i32, u16> },
    Ctr { combination: usize, ctr: Ctr },
}

/// A combination of features by their slots.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
struct Combination {
    categories: Vec<usize>,
    borders: Vec<(usize, u32)>,
    values: Vec<(usize, i32)>,
}

#[derive(Debug)]
enum Shape {
    /// By tree the conditions of its levels and where its leaves begin.
    Symmetric(Vec<(Vec<Condition>, usize)>),
    Free {
        nodes: Vec<(Condition, Node)>,
        roots: Vec<u32>,
    },
}

/// A booster, ready to be scored.
#[derive(Debug)]
pub(crate) struct Scorer {
    /// By slot, the column of a number, and whether a missing one is above all borders.
    numbers: Vec<(usize, bool)>,
    /// By slot, the column of a category, and its name.
    categories: Vec<(usize, String)>,
    columns: Vec<Column>,
    combinations: Vec<Combination>,
    tables: Vec<Table>,
    shape: Shape,
    leaves: Vec<f64>,
    dimensions: usize,
    scale: f64,
    bias: Vec<f64>,
    form: Form,
}

impl Scorer {
    /// `places` says where each of the booster's features is among the columns that are given, and what it is called.
    /// Some trees may be left out.
    pub(crate) fn new(booster: Booster, places: &[(usize, String)], trees: Option<Range<usize>>, form: Form) -> Self {
        let mut slots = HashMap::new();
        let (mut numbers, mut categories) = (Vec::new(), Vec::new());
        for (Feature { kind, index, .. }, (place, label)) in booster.features.iter().zip(places) {
            match kind {
                Kind::Number => {
                    slots.insert((Kind::Number, *index), numbers.len());
                    numbers.push((*place, false));
                }
                Kind::Category => {
                    slots.insert((Kind::Category, *index), categories.len());
                    categories.push((*place, label.clone()));
                }
            }
        }
        let slot = |kind: Kind, index: usize| slots.get(&(kind, index)).copied().unwrap_or(0);
        let (mut columns, mut conditions) = (Vec::new(), Vec::new());
        let mut column = |made: Column, count: usize, is_equal: bool| {
            let column = columns.len() as u32;
            conditions.extend((1..=count).map(|rank| Condition { column, rank: rank as u16, is_equal }));
            columns.push(made);
        };
        for one in booster.borders {
            let slot = slot(Kind::Number, one.feature);
            numbers[slot].1 = one.missing_above;
            let count = one.borders.len();
            column(Column::Number { slot, borders: one.borders }, count, false);
        }
        for one in booster.one_hot {
            let mut ranks = HashMap::new();
            for (rank, value) in (1..).zip(&one.values) {
                ranks.entry(*value).or_insert(rank);
            }
            column(Column::OneHot { slot: slot(Kind::Category, one.feature), ranks }, one.values.len(), true);
        }
        let mut combinations: Vec<Combination> = Vec::new();
        let mut known: HashMap<Combination, usize> = HashMap::new();
        for ctr in booster.ctrs {
            let of = &ctr.combination;
            let combination = Combination {
                categories: of.categories.iter().map(|index| slot(Kind::Category, *index)).collect(),
                borders: of.borders.iter().map(|(index, bits)| (slot(Kind::Number, *index), *bits)).collect(),
                values: of.values.iter().map(|(index, value)| (slot(Kind::Category, *index), *value)).collect(),
            };
            let place = *known.entry(combination.clone()).or_insert_with(|| {
                combinations.push(combination);
                combinations.len() - 1
            });
            let count = ctr.borders.len();
            column(Column::Ctr { combination: place, ctr }, count, false);
        }
        let condition = |split: u32| conditions.get(split as usize).copied();
        let kept = trees.unwrap_or(0..usize::MAX);
        let shape = match booster.trees {
            Trees::Symmetric(trees) => {
                let mut start = 0;
                let mut all = Vec::with_capacity(trees.len());
                for (index, tree) in trees.into_iter().enumerate() {
                    let own: Vec<Condition> = tree.iter().filter_map(|split| condition(*split)).collect();
                    let begin = start;
                    start += (1 << own.len()) * booster.dimensions;
                    if kept.contains(&index) {
                        all.push((own, begin));
                    }
                }
                Shape::Symmetric(all)
            }
            Trees::Free { nodes, roots } => {
                // A node that asks for nothing has no condition, and none is looked at.
                let nothing = Condition { column: 0, rank: 0, is_equal: false };
                let node = |node: Node| (condition(node.split).unwrap_or(nothing), node);
                let roots =
                    roots.into_iter().enumerate().filter(|(index, _)| kept.contains(index)).map(|(_, root)| root);
                Shape::Free { nodes: nodes.into_iter().map(node).collect(), roots: roots.collect() }
            }
        };
        // Trees from the middle on have no bias.
        let bias = if kept.start > 0 { vec![0.0; booster.dimensions] } else { booster.bias };
        Scorer {
            numbers,
            categories,
            columns,
            combinations,
            tables: booster.tables,
            shape,
            leaves: booster.leaves,
            dimensions: booster.dimensions,
            scale: booster.scale,
            bias,
            form,
        }
    }

    /// How the trees are scored, for reports.
    pub(crate) fn kernel(&self) -> &'static str {
        match self.shape {
            Shape::Symmetric(_) => "levels (f32)",
            Shape::Free { .. } => "walk over ranks (f32)",
        }
    }

    /// Trees, nodes, depth of the deepest and bytes in memory.
    pub(crate) fn size(&self) -> (usize, usize, usize, usize) {
        let counts: usize = self.tables.iter().map(|table| table.places.len() * 32).sum();
        let bytes = counts + self.leaves.len() * 8 + self.columns.len() * size_of::<Column>();
        match &self.shape {
            Shape::Symmetric(trees) => {
                let nodes = trees.iter().map(|(levels, _)| (2usize << levels.len()) - 1).sum();
                let depth = trees.iter().map(|(levels, _)| levels.len()).max().unwrap_or(0);
                (trees.len(), nodes, depth, bytes)
            }
            Shape::Free { nodes, roots } => {
                let mut depths = vec![0usize; nodes.len()];
                for (at, (_, node)) in nodes.iter().enumerate() {
                    let depth = depths[at] + 1;
                    for ahead in [node.left, node.right].into_iter().filter(|ahead| *ahead > 0) {
                        let below = &mut depths[at + ahead as usize];
                        *below = depth.max(*below);
                    }
                }
                let depth = depths.into_iter().max().unwrap_or(0);
                (roots.len(), nodes.len(), depth, bytes + nodes.len() * size_of::<(Condition, Node)>())
            }
        }
    }

    /// How many splits look at each of the given columns.
    pub(crate) fn uses(&self, width: usize) -> Vec<usize> {
        let mut by_column = vec![0usize; self.columns.len()];
        let mut see = |condition: &Condition| by_column[condition.column as usize] += 1;
        match &self.shape {
            Shape::Symmetric(trees) => trees.iter().flat_map(|(levels, _)| levels).for_each(&mut see),
            Shape::Free { nodes, .. } => {
                let asks = |node: &Node| node.left > 0 || node.right > 0;
                nodes.iter().filter(|(_, node)| asks(node)).for_each(|(condition, _)| see(condition));
            }
        }
        let mut uses = vec![0usize; width];
        for (column, count) in self.columns.iter().zip(by_column) {
            let mut of = |place: usize| uses[place] += count;
            match column {
                Column::Number { slot, .. } => of(self.numbers[*slot].0),
                Column::OneHot { slot, .. } => of(self.categories[*slot].0),
                Column::Ctr { combination, .. } => {
                    let of_several = &self.combinations[*combination];
                    let numbers = of_several.borders.iter().map(|(slot, _)| self.numbers[*slot].0);
                    let values = of_several.values.iter().map(|(slot, _)| self.categories[*slot].0);
                    let mut all: Vec<usize> = of_several
                        .categories
                        .iter()
                        .map(|slot| self.categories[*slot].0)
                        .chain(numbers)
                        .chain(values)
                        .collect();
                    all.sort_unstable();
                    all.dedup();
                    all.into_iter().for_each(of);
                }
            }
        }
        uses
    }

    /// The numbers of all rows, by slot.
    fn numbers(&self, x: &Matrix, rows: usize) -> Vec<Vec<f32>> {
        let column = |(place, missing_above): &(usize, bool)| {
            let mut values = vec![0f32; rows];
            let is_read = match x {
                Matrix::Frame(frame) => read(&frame.columns[*place], 0..rows, &mut values),
                other => other.numbers(*place).is_some_and(|wide| {
                    values.iter_mut().zip(wide).for_each(|(value, wide)| *value = wide as f32);
                    true
                }),
            };
            if !is_read {
                values.fill(f32::NAN);
            }
            if *missing_above {
                values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = f32::INFINITY);
            }
            values
        };
        self.numbers.iter().map(column).collect()
    }

    /// The hashes of all rows' categories, by slot.
    fn hashes(&self, x: &Matrix, rows: usize, run: &mut Run) -> Vec<Vec<i32>> {
        let column = |(place, label): &(usize, String)| match x {
            Matrix::Frame(frame) => hashes(&frame.columns[*place], label, run),
            _ => {
                run.refuse_all(rows, STEP, Some(label), FRACTION);
                vec![0; rows]
            }
        };
        self.categories.iter().map(column).collect()
    }

    /// The raw scores, one vector a dimension.
    fn scores(&self, x: Matrix, run: &mut Run) -> Vec<Vec<f64>> {
        let x = dense(x);
        let rows = x.rows();
        let mut out = vec![vec![0.0; rows]; self.dimensions];
        self.by_block(&x, run, |ranks, block| self.add(ranks, block, &mut out));
        if self.scale != 1.0 || self.bias.iter().any(|bias| *bias != 0.0) {
            for (column, bias) in out.iter_mut().zip(&self.bias) {
                column.iter_mut().for_each(|score| *score = *score * self.scale + bias);
            }
        }
        out
    }

    /// Calls `each` with the ranks of some rows at a time.
    fn by_block(&self, x: &Matrix, run: &mut Run, mut each: impl FnMut(&[[u16; BLOCK]], Range<usize>)) {
        let rows = x.rows();
        let (numbers, hashes) = (self.numbers(x, rows), self.hashes(x, rows, run));
        let mut ranks = vec![[0u16; BLOCK]; self.columns.len()];
        let mut keys = vec![[0u64; BLOCK]; self.combinations.len()];
        for start in (0..rows).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(rows);
            for (combination, keys) in self.combinations.iter().zip(&mut keys) {
                for (key, row) in keys.iter_mut().zip(block.clone()) {
                    *key = key_of(combination, &numbers, &hashes, row);
                }
            }
            for (column, ranks) in self.columns.iter().zip(&mut ranks) {
                let above = |borders: &[f32], value: f32| borders.partition_point(|border| *border < value) as u16;
                match column {
                    Column::Number { slot, borders } => {
                        let values = &numbers[*slot][block.clone()];
                        ranks.iter_mut().zip(values).for_each(|(rank, value)| *rank = above(borders, *value));
                    }
                    Column::OneHot { slot, ranks: known } => {
                        let values = &hashes[*slot][block.clone()];
                        let known = |value: &i32| known.get(value).copied().unwrap_or(0);
                        ranks.iter_mut().zip(values).for_each(|(rank, value)| *rank = known(value));
                    }
                    Column::Ctr { combination, ctr } => {
                        let table = &self.tables[ctr.table];
                        for (rank, key) in ranks.iter_mut().zip(&keys[*combination]).take(block.len()) {
                            *rank = above(&ctr.borders, ctr.value(table, *key));
                        }
                    }
                }
            }
            each(&ranks, block);
        }
    }

    /// Adds what the trees give for a block of rows.
    fn add(&self, ranks: &[[u16; BLOCK]], block: Range<usize>, out: &mut [Vec<f64>]) {
        let mut put = |leaves: &[u32; BLOCK]| {
            for (dimension, column) in out.iter_mut().enumerate() {
                for (score, leaf) in column[block.clone()].iter_mut().zip(leaves) {
                    *score += self.leaves[*leaf as usize + dimension];
                }
            }
        };
        match &self.shape {
            Shape::Symmetric(trees) => {
                for (levels, start) in trees {
                    let mut places = [0u32; BLOCK];
                    for (level, condition) in levels.iter().enumerate() {
                        let ranks = &ranks[condition.column as usize];
                        let least = condition.rank;
                        if condition.is_equal {
                            places
                                .iter_mut()
                                .zip(ranks)
                                .for_each(|(at, rank)| *at |= u32::from(*rank == least) << level);
                        } else {
                            places
                                .iter_mut()
                                .zip(ranks)
                                .for_each(|(at, rank)| *at |= u32::from(*rank >= least) << level);
                        }
                    }
                    let dimensions = self.dimensions as u32;
                    places.iter_mut().for_each(|at| *at = *start as u32 + *at * dimensions);
                    put(&places);
                }
            }
            Shape::Free { nodes, roots } => {
                for root in roots {
                    let mut leaves = [0u32; BLOCK];
                    for (row, leaf) in leaves.iter_mut().enumerate().take(block.len()) {
                        *leaf = walk(nodes, *root as usize, ranks, row);
                    }
                    put(&leaves);
                }
            }
        }
    }
}

/// What is sparse has no categories; its absent numbers are 0.
fn dense(x: Matrix) -> Matrix {
    match x {
        Matrix::Csr(csr) => Matrix::Dense(csr.to_dense()),
        other => other,
    }
}

const STEP: &str = "CatBoost";
const FRACTION: &str = "a fraction or missing value where a category is: text or a whole number";

/// A float as the whole number that it is, where it is one and its neighbours are others.
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i128)
}

/// The hash of each row's category. What the library raises on is refused, but for floats that are whole numbers.
fn hashes(column: &ArrayRef, label: &str, run: &mut Run) -> Vec<i32> {
    let of_text = |text: &str| (city::hash(text.as_bytes()) as u32).cast_signed();
    let mut out = vec![0; column.len()];
    if is_text(column.data_type()) {
        texts(column, |row, text| match text {
            Some(text) => out[row] = of_text(text),
            None => run.refuse(row, STEP, Some(label), "missing value"),
        });
        return out;
    }
    let numbers: Vec<Option<i128>> = downcast_integer_array!(
        column => column.iter().map(|number| number.map(i128::from)).collect(),
        DataType::Boolean => column.as_boolean().iter().map(|yes| yes.map(i128::from)).collect(),
        // Texts of numbers (CSV) come as floats: a whole one is the number that was written.
        DataType::Float32 => column.as_primitive::<Float32Type>().iter().map(|number| whole(number?.into())).collect(),
        DataType::Float64 => column.as_primitive::<Float64Type>().iter().map(|number| whole(number?)).collect(),
        _ => {
            run.refuse_all(column.len(), STEP, Some(label), FRACTION);
            return out;
        }
    );
    let why = if column.data_type().is_floating() { FRACTION } else { "missing value" };
    let mut known: HashMap<i128, i32> = HashMap::new();
    for (row, number) in numbers.into_iter().enumerate() {
        match number {
            Some(number) => out[row] = *known.entry(number).or_insert_with(|| of_text(&number.to_string())),
            None => run.refuse(row, STEP, Some(label), why),
        }
    }
    out
}

fn key_of(combination: &Combination, numbers: &[Vec<f32>], hashes: &[Vec<i32>], row: usize) -> u64 {
    let mut key = 0;
    for slot in &combination.categories {
        key = combined(key, i64::from(hashes[*slot][row]).cast_unsigned());
    }
    for (slot, border) in &combination.borders {
        key = combined(key, u64::from(numbers[*slot][row] > f32::from_bits(*border)));
    }
    for (slot, value) in &combination.values {
        key = combined(key, u64::from(hashes[*slot][row] == *value));
    }
    key
}

/// The place of the values that a row comes to.
fn walk(nodes: &[(Condition, Node)], root: usize, ranks: &[[u16; BLOCK]], row: usize) -> u32 {
    let mut at = root;
    loop {
        let (condition, node) = &nodes[at];
        if node.left == 0 && node.right == 0 {
            return node.leaf;
        }
        let rank = ranks[condition.column as usize][row];
        let right = if condition.is_equal { rank == condition.rank } else { rank >= condition.rank };
        let ahead = if right { node.right } else { node.left };
        if ahead == 0 {
            return node.leaf;
        }
        at += ahead as usize;
    }
}

impl Predict for Scorer {
    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
        let mut scores = self.scores(x, run);
        let rows = scores.first().map_or(0, Vec::len);
        if want == Method::Decision {
            return Answer::F64(scores);
        }
        match (self.form, want) {
            (Form::Exponential, _) => scores.iter_mut().for_each(|column| exponentials(column)),
            (Form::Uncertainty, _) => {
                if let Some(deviations) = scores.get_mut(1) {
                    deviations.iter_mut().for_each(|score| *score *= 2.0);
                    exponentials(deviations);
                }
            }
            (Form::Two(border), Method::Predict) => {
                let above = |column: &Vec<f64>| column.iter().map(|score| u32::from(*score > border)).collect();
                return Answer::Class(scores.iter().take(1).map(above).collect());
            }
            (Form::Two(_), _) => {
                let yes: Vec<f64> = scores.iter().take(1).flatten().map(|score| scores::expit(*score)).collect();
                let no = yes.iter().map(|yes| 1.0 - yes).collect();
                scores = vec![no, yes];
            }
            (Form::Largest | Form::LargestOfEach, Method::Predict) => {
                return Answer::Class(vec![scores::first_largest(&scores, rows)]);
            }
            (Form::Largest, _) => softmax(&mut scores, rows),
            (Form::Each, Method::Predict) => {
                let above = |column: &Vec<f64>| column.iter().map(|score| u32::from(*score > 0.0)).collect();
                return Answer::Class(scores.iter().map(above).collect());
            }
            (Form::Each | Form::LargestOfEach, _) => {
                scores.iter_mut().flatten().for_each(|score| *score = scores::expit(*score));
            }
            (Form::Value, _) => {}
        }
        Answer::F64(scores)
    }
}

/// Scores become shares of one, row by row.
fn softmax(scores: &mut [Vec<f64>], rows: usize) {
    let mut shares = vec![0.0; scores.len()];
    for row in 0..rows {
        let largest = scores.iter().map(|column| column[row]).fold(f64::NEG_INFINITY, f64::max);
        shares.iter_mut().zip(scores.iter()).for_each(|(share, column)| *share = column[row] - largest);
        exponentials(&mut shares);
        let sum: f64 = shares.iter().sum();
        scores.iter_mut().zip(&shares).for_each(|(column, share)| column[row] = share / sum);
    }
}
