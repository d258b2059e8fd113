//! Every fixture gives what its library gave, bit for bit or within what its answer allows. A new fixture is a new
//! folder below `fixtures/`.

use arrow_array::ArrayRef;
use arrow_schema::Field;
use foretell_fixtures::Case;
use foretell_model::{Columns, LoadOptions, Model, Scratch, Want};

/// Differences shown of one fixture.
const SHOWN: usize = 6;

fn ask(want: &str) -> Want {
    match want {
        "predict" => Want::Predict,
        "proba" => Want::Proba,
        "decision" => Want::Decision,
        "transform" => Want::Transform,
        other => panic!("unknown answer {other}"),
    }
}

fn check(case: &Case) -> Result<(), String> {
    let bytes = std::fs::read(case.model()).unwrap();
    let model = Model::load(&bytes, &LoadOptions::default()).map_err(|error| error.to_string())?;
    let field = |(name, array): &(String, ArrayRef)| Field::new(name, array.data_type().clone(), true);
    let fields: Vec<Field> = case.columns().iter().map(field).collect();
    let bound = model.signature().bind(&fields).map_err(|error| error.to_string())?;
    let inputs: Vec<ArrayRef> = bound.iter().map(|index| case.columns()[*index].1.clone()).collect();
    let mut wrong = Vec::new();
    for want in case.asked() {
        let answer = case.answer(want).unwrap();
        let outputs = model.score(&Columns::new(&inputs, case.rows()), ask(want), &mut Scratch::default());
        let refused: Vec<usize> = outputs.refusals.iter().map(|refusal| refusal.row as usize).collect();
        if refused != answer.refused {
            let reasons = &outputs.refusals;
            wrong.push(format!("{want}: refused {refused:?} instead of {:?}: {reasons:?}", answer.refused));
        }
        let declared = model.signature().outputs(ask(want));
        if (outputs.columns.len(), declared.len()) != (answer.columns.len(), answer.columns.len()) {
            let (given, wanted) = (outputs.columns.len(), answer.columns.len());
            wrong.push(format!("{want}: {given} columns, {} declared, instead of {wanted}", declared.len()));
            continue;
        }
        for (index, got) in outputs.columns.iter().enumerate() {
            assert_eq!(got.data_type(), &declared[index].data_type, "{}: {want} {index}", case.name());
            let differences = (0..case.rows()).filter_map(|row| answer.differs(index, row, got, row));
            wrong.extend(differences.map(|difference| format!("{want}: {difference}")));
        }
    }
    wrong.truncate(SHOWN);
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n  ")) }
}

#[test]
fn every_fixture_gives_what_its_library_gave() {
    let all = Case::all();
    assert!(all.len() > 200, "only {} fixtures found", all.len());
    let failures: Vec<String> =
        all.iter().filter_map(|case| check(case).err().map(|error| format!("{}: {error}", case.name()))).collect();
    assert!(failures.is_empty(), "{} of {} fixtures:\n{}", failures.len(), all.len(), failures.join("\n"));
}
