//! `kill -9` in the middle, again and again: nothing is lost, nothing comes twice.

use crate::harness::case::same;
use crate::harness::place::Place;
use crate::harness::streams::{exactly, exactly_in_the_file, expected, landed, three_sinks};
use crate::harness::{kafka, until};

const ORDERS: usize = 30_000;
const KILLS: usize = 5;
/// One record in this many is bad.
const BAD: usize = 300;

#[test]
fn kill_9_in_mid_run_loses_and_doubles_nothing() {
    let place = Place::ready("crash", &three_sinks());
    for from in (0..ORDERS).step_by(BAD) {
        place.orders(from..from + BAD);
        kafka::produce(&place.name("in"), [(None, Some(format!("bad{from}")), Some("no order"))]);
    }
    let mut before = 0;
    for kill in 0..KILLS {
        let run = place.start(&["run"]);
        // At a different place in a batch each time.
        until("rows of this run", || landed(&place) > before + 700);
        std::thread::sleep(std::time::Duration::from_millis(7 * kill as u64));
        run.kill();
        before = landed(&place);
        assert!(before < ORDERS, "killed before the end, at {before}");
    }
    place.run(&["run"]).well();

    exactly(&place, expected(0..ORDERS));
    exactly_in_the_file(&place, expected(0..ORDERS));
    let bad = (0..ORDERS).step_by(BAD).map(|from| format!("bad{from}")).collect();
    let letters = kafka::read(&place.name("bad")).iter().map(kafka::Record::key).collect();
    same("dead letters", bad, letters);
    // And a run with nothing to do adds nothing.
    place.run(&["run"]).well();
    exactly(&place, expected(0..ORDERS));
}
