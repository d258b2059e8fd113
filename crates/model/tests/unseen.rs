//! Values that an encoder did not know and let pass are counted by column.

use foretell_fixtures::Case;
use foretell_model::{Columns, LoadOptions, Method, Model};

/// What a fixture's own rows have of unknown values, by column.
fn unseen(name: &str) -> Vec<(String, usize)> {
    let case = Case::named(name);
    let model = Model::load(&std::fs::read(case.model()).unwrap(), &LoadOptions::default()).unwrap();
    let columns: Vec<_> = case.columns().iter().map(|(_, array)| array.clone()).collect();
    let want = if model.signature().transform.is_empty() { Method::Predict } else { Method::Transform };
    model.score(&Columns::new(&columns, case.rows()), want).unseen
}

#[test]
fn unknown_levels_are_counted_by_column_and_the_known_are_not() {
    // Of the texts five are unknown, of the numbers those that `sklearn_preprocessing.py` writes there.
    let ignored = unseen("sklearn-1.9/prepare-one-hot-ignore");
    assert_eq!(ignored.iter().map(|(column, _)| column.as_str()).collect::<Vec<_>>(), ["code", "dose", "ward"]);
    assert_eq!(ignored.iter().find(|(column, _)| column == "ward").unwrap().1, 5);
    assert_eq!(unseen("sklearn-1.9/prepare-ordinal-unknown").iter().find(|one| one.0 == "ward").unwrap().1, 5);
    // Who refuses an unknown value counts none.
    assert_eq!(unseen("sklearn-1.9/prepare-ordinal-strict"), []);
    // Text that no step looks up has no levels.
    assert_eq!(unseen("sklearn-1.9/prepare-power"), []);
}
