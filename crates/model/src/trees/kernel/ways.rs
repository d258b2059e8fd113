//! What each feature of some rows adds to a tree's answer: down every edge once, and up again. Rows go eight at a time; the plain
//! loop is the truth, and on processors with wider registers the same loop is compiled for them.

#![allow(unsafe_code, reason = "the same code, compiled for other processors")]

use super::super::ir::{NONE, Rule};

/// Rows that go together.
pub(crate) const LANES: usize = 8;

/// A number of each of these rows.
pub(crate) type Lane = [f64; LANES];

/// A moment between 0 and 1 at which a feature may come, what is left then, and what the moment weighs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) at: f64,
    pub(crate) rest: f64,
    pub(crate) weight: f64,
}

/// From a split to one of its children.
#[derive(Debug)]
pub(crate) struct Edge {
    /// The place of the feature among those that any split looks at.
    pub(crate) slot: u32,
    pub(crate) set: u32,
    pub(crate) threshold: f64,
    pub(crate) missing_left: bool,
    /// Whether it leads to the left child.
    pub(crate) left: bool,
    /// How deep it leads; 1 from the root.
    pub(crate) depth: u32,
    /// The depth of the edge above of the same feature; 0 where there is none.
    pub(crate) before: u32,
    /// The part of the training rows that all edges of the feature let through, up to here and up to that one.
    pub(crate) share: f64,
    pub(crate) before_share: f64,
    /// The part that this one lets through.
    pub(crate) own: f64,
    /// Where the values of the leaf begin that it leads to, or `NONE`.
    pub(crate) values: u32,
}

/// A tree as a walk through all of its edges, parents before children.
#[derive(Debug)]
pub(crate) struct Ways {
    pub(crate) edges: Vec<Edge>,
    pub(crate) sets: Vec<Vec<u32>>,
    pub(crate) values: Vec<f64>,
    /// Values of one leaf, and the first output that they are added to.
    pub(crate) width: usize,
    pub(crate) offset: usize,
    /// How many moments are looked at.
    pub(crate) points: usize,
    pub(crate) depth: usize,
}

/// What an edge makes of a product: by whether the feature let the row through before, and whether it still does.
#[derive(Clone, Copy)]
struct Factor {
    none: f64,
    before: f64,
    still: f64,
    /// And what is added up when it is gone back.
    up_before: f64,
    up_still: f64,
}

impl Factor {
    fn new(edge: &Edge, point: &Point) -> Factor {
        let through = |share: f64| point.at + point.rest * share;
        let (open, shut) = (through(edge.share), point.rest * edge.share);
        let (before, weight) = (through(edge.before_share), point.weight);
        // What a feature adds that shuts the way: nothing but the loss of what would have passed.
        let lost = -weight / point.rest;
        let gained = (1.0 - edge.share) * weight / open;
        let gained_before = (1.0 - edge.before_share) * weight / before;
        Factor {
            none: edge.own,
            before: shut / before - edge.own,
            still: (open - shut) / before,
            up_before: lost - gained_before,
            up_still: gained - lost,
        }
    }
}

impl Ways {
    /// Numbers that are kept for a row while it is in the tree.
    pub(crate) fn open(&self) -> usize {
        (self.depth + 1) * (self.points * (1 + self.width) + 1)
    }

    /// Adds what the features add: `values` by slot and group, `added` by output, slot and group.
    #[expect(clippy::too_many_arguments, reason = "what a loop needs")]
    pub(crate) fn run(
        &self,
        rule: Rule,
        points: &[Point],
        values: &[Lane],
        groups: usize,
        open: &mut Vec<Lane>,
        added: &mut [Lane],
        slots: usize,
    ) {
        let walk = Walk { tree: self, rule, points, values, groups, slots };
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
                // SAFETY: the features are there.
                return unsafe { walk.run_avx512(open, added) };
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the feature is there.
                return unsafe { walk.run_avx2(open, added) };
            }
        }
        walk.run(open, added);
    }
}

/// A tree and the rows that go through it.
struct Walk<'a> {
    tree: &'a Ways,
    rule: Rule,
    points: &'a [Point],
    values: &'a [Lane],
    groups: usize,
    slots: usize,
}

impl Walk<'_> {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn run_avx512(&self, open: &mut Vec<Lane>, added: &mut [Lane]) {
        self.run(open, added);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2(&self, open: &mut Vec<Lane>, added: &mut [Lane]) {
        self.run(open, added);
    }

    /// What is open lies by depth: whether the feature lets the row through, by group; the products, by group and point; and
    /// the sums, by value, group and point.
    #[inline(always)]
    fn run(&self, open: &mut Vec<Lane>, added: &mut [Lane]) {
        let (groups, points, width) = (self.groups, self.points.len(), self.tree.width);
        let levels = self.tree.depth + 1;
        open.clear();
        open.resize(levels * groups * (1 + points * (1 + width)), [0.0; LANES]);
        let (opens, rest) = open.split_at_mut(levels * groups);
        let (products, sums) = rest.split_at_mut(levels * groups * points);
        opens[..groups].fill([1.0; LANES]);
        products[..groups * points].fill([1.0; LANES]);
        let mut way: Vec<usize> = Vec::with_capacity(levels);
        let mut factors =
            vec![Factor { none: 0.0, before: 0.0, still: 0.0, up_before: 0.0, up_still: 0.0 }; levels * points];
        for (at, edge) in self.tree.edges.iter().enumerate() {
            let depth = edge.depth as usize;
            while let Some(last) = way.pop_if(|last| self.tree.edges[*last].depth as usize >= depth) {
                self.up(&self.tree.edges[last], &factors, opens, sums, added);
            }
            let own = &mut factors[depth * points..][..points];
            own.iter_mut().zip(self.points).for_each(|(factor, point)| *factor = Factor::new(edge, point));
            self.down(edge, own, opens, products);
            let sums_here = &mut sums[depth * width * groups * points..][..width * groups * points];
            if edge.values == NONE {
                sums_here.fill([0.0; LANES]);
                way.push(at);
                continue;
            }
            let products = &products[depth * groups * points..][..groups * points];
            let values = &self.tree.values[edge.values as usize..][..width];
            for (value, sums) in values.iter().zip(sums_here.chunks_exact_mut(groups * points)) {
                for (sum, product) in sums.iter_mut().zip(products) {
                    *sum = product.map(|product| product * value);
                }
            }
            self.up(edge, &factors, opens, sums, added);
        }
        while let Some(last) = way.pop() {
            self.up(&self.tree.edges[last], &factors, opens, sums, added);
        }
    }

    #[inline(always)]
    fn down(&self, edge: &Edge, factors: &[Factor], opens: &mut [Lane], products: &mut [Lane]) {
        let (groups, points) = (self.groups, factors.len());
        let (depth, before) = (edge.depth as usize, edge.before as usize);
        let (above, here) = opens.split_at_mut(depth * groups);
        let before = &above[before * groups..][..groups];
        let values = &self.values[edge.slot as usize * groups..][..groups];
        let (up, down) = products.split_at_mut(depth * groups * points);
        let up = &up[(depth - 1) * groups * points..];
        for group in 0..groups {
            let open = self.open(edge, &values[group], &before[group]);
            here[group] = open;
            let before = &before[group];
            let range = group * points..(group + 1) * points;
            for ((product, above), factor) in down[range.clone()].iter_mut().zip(&up[range]).zip(factors) {
                for lane in 0..LANES {
                    let by = factor.none + before[lane] * factor.before + open[lane] * factor.still;
                    product[lane] = above[lane] * by;
                }
            }
        }
    }

    /// 1 for the rows that take the edge, of those that took the one of the feature before it.
    #[inline(always)]
    fn open(&self, edge: &Edge, values: &Lane, before: &Lane) -> Lane {
        let mut open = [0.0; LANES];
        if edge.set != NONE {
            let set = self.tree.sets.get(edge.set as usize).map_or(&[][..], Vec::as_slice);
            for lane in 0..LANES {
                let x = values[lane];
                let goes_left = match x.is_nan() {
                    true => edge.missing_left,
                    false => !contains(set, x),
                };
                open[lane] = if goes_left == edge.left { before[lane] } else { 0.0 };
            }
            return open;
        }
        let missing = if edge.missing_left == edge.left { 1.0 } else { 0.0 };
        let (left, right) = if edge.left { (1.0, 0.0) } else { (0.0, 1.0) };
        for lane in 0..LANES {
            let x = values[lane];
            let goes_left = match self.rule {
                Rule::Less => x < edge.threshold,
                Rule::LessEqual => x <= edge.threshold,
            };
            let taken = if goes_left { left } else { right };
            open[lane] = before[lane] * if x.is_nan() { missing } else { taken };
        }
        open
    }

    #[inline(always)]
    fn up(&self, edge: &Edge, factors: &[Factor], opens: &[Lane], sums: &mut [Lane], added: &mut [Lane]) {
        let (groups, points, width) = (self.groups, self.points.len(), self.tree.width);
        let (depth, before) = (edge.depth as usize, edge.before as usize);
        let (before, open) = (&opens[before * groups..][..groups], &opens[depth * groups..][..groups]);
        let factors = &factors[depth * points..][..points];
        let (above, here) = sums.split_at_mut(depth * width * groups * points);
        let above = &mut above[(depth - 1) * width * groups * points..];
        for value in 0..width {
            let output = self.tree.offset + value;
            let added = &mut added[(output * self.slots + edge.slot as usize) * groups..][..groups];
            for group in 0..groups {
                let (before, open) = (&before[group], &open[group]);
                let range = (value * groups + group) * points..(value * groups + group + 1) * points;
                let mut sum = added[group];
                for ((here, above), factor) in here[range.clone()].iter().zip(&mut above[range]).zip(factors) {
                    for lane in 0..LANES {
                        let by = before[lane] * factor.up_before + open[lane] * factor.up_still;
                        sum[lane] += here[lane] * by;
                        above[lane] += here[lane];
                    }
                }
                added[group] = sum;
            }
        }
    }
}

/// Whether a value is a category of the set.
fn contains(set: &[u32], x: f64) -> bool {
    let bit = if x > -1.0 && x < 2_147_483_648.0 { x as usize } else { usize::MAX };
    set.get(bit / 32).is_some_and(|word| word >> (bit % 32) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_processors_say_the_same() {
        let edge = |depth: u32, slot: u32, left: bool, before: u32, own: f64, values: u32| Edge {
            slot,
            set: NONE,
            threshold: 0.5,
            missing_left: slot == 0,
            left,
            depth,
            before,
            share: own * if before > 0 { 0.25 } else { 1.0 },
            before_share: if before > 0 { 0.25 } else { 1.0 },
            own,
            values,
        };
        let edges = vec![
            edge(1, 0, true, 0, 0.25, NONE),
            edge(2, 1, true, 0, 0.7, 0),
            edge(2, 1, false, 0, 0.3, NONE),
            edge(3, 0, true, 1, 0.1, 2),
            edge(3, 0, false, 1, 0.9, 4),
            edge(1, 0, false, 0, 0.75, 6),
        ];
        let values = vec![1.0, -2.0, 3.5, 4.25, -5.0, 6.0, 0.1, 0.7];
        let tree = Ways { edges, sets: vec![], values, width: 2, offset: 0, points: 2, depth: 3 };
        let points = [
            Point { at: 0.2113248654051871, rest: 0.7886751345948129, weight: 0.5 },
            Point { at: 0.7886751345948129, rest: 0.2113248654051871, weight: 0.5 },
        ];
        let groups = 3;
        let value = |at: usize| if at % 7 == 6 { f64::NAN } else { (at * 37 % 100) as f64 / 100.0 };
        let rows: Vec<Lane> = (0..2 * groups).map(|at| std::array::from_fn(|lane| value(at * LANES + lane))).collect();
        let walk = Walk { tree: &tree, rule: Rule::LessEqual, points: &points, values: &rows, groups, slots: 2 };
        let (mut plain, mut other) = (vec![[0.0; LANES]; 4 * groups], vec![[0.0; LANES]; 4 * groups]);
        walk.run(&mut Vec::new(), &mut plain);
        tree.run(Rule::LessEqual, &points, &rows, groups, &mut Vec::new(), &mut other, 2);
        let bits = |all: &[Lane]| all.as_flattened().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&plain), bits(&other));
        assert!(plain.as_flattened().iter().any(|x| *x != 0.0));
    }
}
