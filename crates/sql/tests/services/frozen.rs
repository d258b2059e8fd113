//! What an earlier version stored is read for ever: `fixtures/state/N/sql` is what a leader stored in format N, dumped when
//! its pipeline was killed (`fixtures/make/state_services.py`). The file that SQLite keeps is taken up by `tests/state`.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use foretell_connect::kind::SinkContext;
use foretell_flow::{Claim, Partition, PlanPart, Range, Recipe};
use serde_json::json;

use crate::target::{Server, Target, batch, context, parse, write};

/// Files are numbered; an offset is an entry and a row in it.
const ENTRY: i64 = 1_000_000_000_000;

pub async fn what_an_earlier_version_stored_is_taken_up(target: &mut Target) {
    let (dump, identity, id) = match target.server {
        Server::MariaDb => ("mariadb.sql", "6083f978e3894aedbde1b73bbff9775e", "0-1795945662287055"),
        Server::Postgres => ("postgres.sql", "c71acf3c325246468c935dd4630a54cd", "0-1795945669720297"),
        Server::Sqlite => return,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let dump = std::fs::read_to_string(root.join("fixtures/state/1/sql").join(dump)).unwrap();
    target.run(&dump).await;

    let columns = |ids: &[i64], twice: &[f64]| {
        let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
        batch(vec![("id", ids), ("twice", Arc::new(Float64Array::from(twice.to_vec())))])
    };
    let context =
        SinkContext { pipeline: "frozen".into(), sink: "first".into(), ..context(&columns(&[], &[]).schema()) };
    let mut sink = parse(target.settings(json!({}))).open(&context).await.unwrap();
    let partition = |index| Partition { topic: "files".into(), index };
    let claims: Vec<Claim> =
        (0..16).map(|index| Claim { partition: partition(index), identity: "another".into(), start: 0 }).collect();
    let held = sink.claim(&claims).await.unwrap();
    assert_eq!(held.len(), 16);
    for (index, held) in (0..).zip(&held) {
        assert_eq!((&held.partition, held.next, held.identity.as_str()), (&partition(index), 2 * ENTRY, identity));
        let query = "00ca8d01c52fc66abe8fe2733902c2e0cb041c7000e68dce04ba637c6324ebfd".to_owned();
        let plan = PlanPart {
            id: id.to_owned(),
            time: id.strip_prefix("0-").unwrap().parse().unwrap(),
            recipe: Recipe { query, ..Recipe::default() },
            range: Range { partition: partition(index), from: ENTRY, to: 2 * ENTRY },
            kept: 0,
            of: 0,
        };
        assert_eq!(held.plans, [plan]);
    }
    // It goes on where that version was, and sets rows aside in the table that was made then.
    let mut more = write(3, 2 * ENTRY, 3 * ENTRY, columns(&[5, 6], &[100.0, 120.0]));
    more.ranges[0].partition = partition(3);
    sink.write(&more).await.unwrap();
    let mut bad = write(
        4,
        2 * ENTRY,
        3 * ENTRY,
        batch(vec![
            ("id", Arc::new(Int64Array::from(vec![None])) as ArrayRef),
            ("twice", Arc::new(Float64Array::from(vec![1.0]))),
        ]),
    );
    bad.ranges[0].partition = partition(4);
    assert_eq!(sink.write(&bad).await.unwrap().rejected, 1);
    assert_eq!(target.rows(&["id", "twice"], "result ORDER BY id").await.len(), 6);
    assert_eq!(
        target.rows(&["pipeline", "topic", "row"], "foretell_rejected").await,
        [r#"frozen|files|{"id":null,"twice":1.0}"#]
    );
}
