//! `kill -9` in the middle, again and again: nothing is lost, nothing comes twice.

use crate::harness::case::same;
use crate::harness::sandbox::Sandbox;
use crate::harness::streams::{exactly, exactly_in_the_file, expected, landed, three_sinks};
use crate::harness::{kafka, until};

const ORDERS: usize = 30_000;
const KILLS: usize = 5;
/// One record in this many is bad.
const BAD: usize = 300;

#[test]
fn kill_9_in_mid_run_loses_and_doubles_nothing() {
    let sandbox = Sandbox::ready("crash", &three_sinks());
    for from in (0..ORDERS).step_by(BAD) {
        sandbox.orders(from..from + BAD);
        kafka::produce(&sandbox.name("in"), [(None, Some(format!("bad{from}")), Some("no order"))]);
    }
    let mut before = 0;
    for kill in 0..KILLS {
        let run = sandbox.start(&["run"]);
        // At a different place in a batch each time.
        until("rows of this run", || landed(&sandbox) > before + 700);
        std::thread::sleep(std::time::Duration::from_millis(7 * kill as u64));
        run.kill();
        before = landed(&sandbox);
        assert!(before < ORDERS, "killed before the end, at {before}");
    }
    sandbox.run(&["run"]).well();

    exactly(&sandbox, expected(0..ORDERS));
    exactly_in_the_file(&sandbox, expected(0..ORDERS));
    let bad = (0..ORDERS).step_by(BAD).map(|from| format!("bad{from}")).collect();
    let letters = kafka::read(&sandbox.name("bad")).iter().map(kafka::Record::key).collect();
    same("dead letters", bad, letters);
    // And a run with nothing to do adds nothing.
    sandbox.run(&["run"]).well();
    exactly(&sandbox, expected(0..ORDERS));
}
