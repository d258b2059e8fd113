//! `OneHotEncoder`: each category its own column of zeros and ones, sparse unless told otherwise.

use foretell_pickle::View;

use crate::Error;
use crate::attributes::{feature_names, flag, is_float32, is_small, some_attr, version};
use crate::categories::Categories;
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;

pub(crate) const FAMILY: Family = Family {
    name: "OneHotEncoder",
    classes: &[("sklearn.preprocessing._encoders", "OneHotEncoder")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    if flag(view, "_legacy_mode", false)? {
        return super::one_hot_of_integers::load(loader, view, given);
    }
    let categories: Vec<Categories> =
        view.attr("categories_")?.items()?.iter().map(Categories::read).collect::<Result<_, _>>()?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, categories.len(), names)?;
    let version = version(view)?;
    let handling = view.attr("handle_unknown")?;
    let handling = handling.as_str()?;
    if !matches!(handling, "error" | "ignore" | "infrequent_if_exist" | "warn") {
        let what = format!("handle_unknown={handling}");
        return Err(Error::unsupported(view.path(), what, "error, ignore, infrequent_if_exist, warn"));
    }
    // `sparse_output` from 1.2 on, `sparse` before; in between the old one is there too, and says `deprecated`.
    let old = view.get_attr("sparse_output")?.is_none();
    let sparse = flag(view, if old { "sparse" } else { "sparse_output" }, true)?;
    let narrow = is_float32(view)?;
    let groups = crate::categories::groups(view, categories.len())?;
    let dropped = dropped(view, categories.len())?;

    let mut columns = Vec::with_capacity(categories.len());
    let mut out = Vec::new();
    let parts = sources.iter().zip(categories).zip(groups).zip(dropped);
    for (((source, categories), group), drop) in parts {
        loader.demand(source, categories.kind());
        loader.hold(categories.bytes());
        let first = out.len();
        let group = group.filter(|_| !matches!(handling, "never"));
        let count = group.as_ref().map_or(categories.len(), crate::categories::Group::count);
        let place = |index: usize| -> Option<u32> {
            let index = match drop {
                Some(drop) if index == drop => return None,
                Some(drop) if index > drop => index.saturating_sub(1),
                _ => index,
            };
            u32::try_from(first.saturating_add(index)).ok()
        };
        let to = |code: usize| group.as_ref().map_or(code, |group| group.of(code));
        let places: Vec<Option<u32>> = (0..categories.len()).map(|code| place(to(code))).collect();
        let infrequent = group.as_ref().and_then(|group| place(group.infrequent()));
        let unseen = match handling {
            "error" => run::Unseen::Refuse,
            "infrequent_if_exist" => run::Unseen::Place(infrequent),
            // 1.6 and 1.7 warned, and went on as if they ignored it.
            "warn" => run::Unseen::Place(infrequent.filter(|_| version.is_none_or(|version| version >= (1, 8)))),
            _ => run::Unseen::Place(None),
        };
        let width = if drop.is_some() { count.saturating_sub(1) } else { count };
        if places.iter().flatten().any(|place| *place as usize >= first.saturating_add(width)) {
            return Err(Error::out_of_range(view.path(), "a category's column"));
        }
        out.extend((0..width).map(|index| Source::made(format!("{}_{index}", source.label))));
        columns.push(run::Column { categories, places, unseen, label: source.label.clone() });
    }
    let refuses_missing = version.is_none_or(|version| version < (0, 24));
    let small = is_small(view)?;
    let step = run::OneHot { columns, width: out.len(), sparse, narrow, small, refuses_missing };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// For each column the category (after grouping) that has no column of its own.
fn dropped(view: &View<'_>, count: usize) -> Result<Vec<Option<usize>>, Error> {
    let grouped = some_attr(view, "_drop_idx_after_grouping")?;
    let Some(drop) = (if grouped.is_some() { grouped } else { some_attr(view, "drop_idx_")? }) else {
        return Ok(vec![None; count]);
    };
    let array = drop.array()?;
    let all: Vec<Option<usize>> = if array.dtype().kind == foretell_pickle::Kind::Object {
        let each = array.objects()?.into_iter().map(|one| one.some().map(|one| one.as_usize()).transpose());
        each.collect::<Result<_, _>>()?
    } else {
        array.u64s()?.into_iter().map(|index| usize::try_from(index).ok()).collect()
    };
    if all.len() != count {
        return Err(Error::counts(drop.path(), (all.len(), "dropped categories"), (count, "columns")));
    }
    Ok(all)
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::categories::{self, Categories, MISSING, UNSEEN};
    use crate::matrix::{Csr, Matrix};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct OneHot {
        pub(super) columns: Vec<Column>,
        pub(super) width: usize,
        pub(super) sparse: bool,
        pub(super) narrow: bool,
        pub(super) small: bool,
        /// Before 0.24 a missing value was an error whatever `handle_unknown` said.
        pub(super) refuses_missing: bool,
    }

    #[derive(Debug)]
    pub(super) struct Column {
        pub(super) categories: Categories,
        /// The output column of each category; `None` where it is dropped.
        pub(super) places: Vec<Option<u32>>,
        pub(super) unseen: Unseen,
        pub(super) label: String,
    }

    #[derive(Debug, Clone, Copy)]
    pub(super) enum Unseen {
        Refuse,
        /// An output column, or zeros everywhere.
        Place(Option<u32>),
    }

    impl Transform for OneHot {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let mut places = vec![None; rows * self.columns.len()];
            for (index, column) in self.columns.iter().enumerate() {
                let codes =
                    categories::column_codes(&x, index, &column.categories, "OneHotEncoder", &column.label, run);
                if matches!(column.unseen, Unseen::Place(_)) {
                    run.unseen(&column.label, categories::unseen(&codes));
                }
                for (row, code) in codes.into_iter().enumerate() {
                    let missing = code == MISSING;
                    places[row * self.columns.len() + index] = match column.places.get(code as usize) {
                        Some(place) => *place,
                        None if missing && self.refuses_missing => {
                            run.refuse(row, "OneHotEncoder", Some(&column.label), "missing value");
                            None
                        }
                        None => match column.unseen {
                            Unseen::Place(place) => place,
                            Unseen::Refuse => {
                                debug_assert!(missing || code == UNSEEN);
                                let reason = if missing { "missing value" } else { "unseen category" };
                                run.refuse(row, "OneHotEncoder", Some(&column.label), reason);
                                None
                            }
                        },
                    };
                }
            }
            let mut csr = Csr {
                starts: Vec::with_capacity(rows + 1),
                indices: Vec::with_capacity(places.len()),
                data: Vec::new(),
                cols: self.width,
                narrow: self.narrow,
            };
            csr.starts.push(0);
            for row in 0..rows {
                let of_row = &places[row * self.columns.len()..(row + 1) * self.columns.len()];
                csr.indices.extend(of_row.iter().flatten());
                csr.starts.push(csr.indices.len());
            }
            csr.data = vec![1.0; csr.indices.len()];
            if self.sparse { Matrix::Csr(csr) } else { Matrix::Dense(csr.to_dense()) }
        }

        fn gives_small(&self) -> bool {
            self.small
        }
    }
}
