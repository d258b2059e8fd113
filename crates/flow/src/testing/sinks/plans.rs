//! Plans that are kept with the rows, and positions that are set.

use super::{Subject, claim, claimed, claims, close, empty, next, offsets, partition, range, seen, write};
use crate::{Checkpoint, Plan, PlanPart, PlanRetention, Position, Range, Reset, Write};

/// A plan's parts as they are kept: with the time of that.
pub(super) fn kept_parts(plan: &Plan) -> Vec<PlanPart> {
    plan.parts().map(|part| PlanPart { kept: 1_795_953_776_504_717, ..part }).collect()
}

/// A write that keeps its plan, and what of the plans ends at or below `floor` goes.
pub(super) fn keeping(ranges: &[Range], floor: i64) -> Write {
    let mut write = write(ranges);
    let parts = kept_parts(&write.plan);
    write.retention = Some(PlanRetention { parts, floor: vec![Position { partition: partition(0), next: floor }] });
    write
}

pub(super) async fn plans_are_kept_replaced_and_trimmed(subject: &mut dyn Subject) {
    let kept = |held: &[Checkpoint]| -> Vec<(i64, i64)> {
        held[0].plans.iter().map(|part| (part.range.from, part.range.to)).collect()
    };
    subject.renew().await;
    let mut sink = claimed(subject, &[claim(0, 0)]).await;
    let first = keeping(&[range(0, 0, 3)], 0);
    sink.write(&first).await.expect("it is stored");
    sink.write(&keeping(&[range(0, 3, 5)], 0)).await.expect("it is stored");
    drop(sink);
    let (held, _) = seen(subject, &[claim(0, 0)]).await;
    assert_eq!(kept(&held), [(0, 3), (3, 5)], "plans are kept, by offset");
    assert_eq!(held[0].plans[0], kept_parts(&first.plan)[0], "as they were given");
    let mut sink = claimed(subject, &[claim(0, 0)]).await;
    sink.write(&keeping(&[range(0, 5, 6)], 3)).await.expect("it is stored");
    let trim = Write {
        retention: Some(PlanRetention {
            parts: Vec::new(),
            floor: vec![Position { partition: partition(0), next: 4 }],
        }),
        ..empty(&[range(0, 6, 7)])
    };
    sink.write(&trim).await.expect("it is stored");
    drop(sink);
    let (held, _) = seen(subject, &[claim(0, 0)]).await;
    assert_eq!(kept(&held), [(3, 5), (5, 6)], "what ends at or below the floor goes, what lies across it stays");

    // A part of a batch that begins in front of the write: the rest of it is written now.
    let mut sink = claimed(subject, &[claim(0, 0)]).await;
    let whole = keeping(&[range(0, 3, 9)], 0);
    let rest = Write { plan: whole.plan.clone(), retention: whole.retention.clone(), ..write(&[range(0, 7, 9)]) };
    sink.write(&rest).await.expect("it is stored");
    drop(sink);
    let (held, _) = seen(subject, &[claim(0, 0)]).await;
    assert_eq!(kept(&held), [(3, 9)], "pieces replace what is stored from their begin on");
    assert_eq!(held[0].plans, kept_parts(&whole.plan));

    // Several batches in one write, each with its plan.
    let mut sink = claimed(subject, &[claim(0, 0)]).await;
    let (one, two) = (keeping(&[range(0, 9, 11)], 0), keeping(&[range(0, 11, 14)], 9));
    let mut both = write(&[range(0, 9, 14)]);
    both.plan = two.plan.clone();
    let parts = [kept_parts(&one.plan), kept_parts(&two.plan)].concat();
    both.retention = two.retention.map(|retention| PlanRetention { parts: parts.clone(), ..retention });
    sink.write(&both).await.expect("it is stored");
    drop(sink);
    let (held, landed) = seen(subject, &[claim(0, 0)]).await;
    assert_eq!(held[0].plans, parts, "the plans of each, and what lies below the floor is gone");
    assert!(offsets(0, 9, 14).all(|row| landed.iter().filter(|other| **other == row).count() == 1));
}

/// Plans that were stored for what was not run yet: others of the same records replace them.
pub(super) async fn a_kept_plan_replaces_what_is_stored_from_its_beginning_on(subject: &mut dyn Subject) {
    let keeping = |ranges: &[Range], parts: &[Range]| {
        let mut write = write(ranges);
        let plan = Plan { ranges: parts.to_vec(), ..Plan::clone(&write.plan) };
        let floor = vec![Position { partition: partition(0), next: 0 }];
        write.retention = Some(PlanRetention { parts: kept_parts(&plan), floor });
        write
    };
    subject.renew().await;
    let mut sink = claimed(subject, &[claim(0, 0)]).await;
    for stored in [range(0, 4, 6), range(0, 6, 9)] {
        let (from, to) = match stored.from {
            4 => (0, 2),
            _ => (2, 3),
        };
        sink.write(&keeping(&[range(0, from, to)], &[stored])).await.expect("it is stored");
    }
    sink.write(&keeping(&[range(0, 3, 4)], &[range(0, 5, 8)])).await.expect("it is stored");
    drop(sink);
    let (held, _) = seen(subject, &[claim(0, 0)]).await;
    let kept: Vec<(i64, i64)> = held[0].plans.iter().map(|part| (part.range.from, part.range.to)).collect();
    assert_eq!(kept, [(5, 8)], "parts that reach beyond the new one's beginning are gone");
}

pub(super) async fn resets_set_and_forget(subject: &mut dyn Subject) {
    subject.renew().await;
    let mut sink = claimed(subject, &claims()).await;
    sink.write(&keeping(&[range(0, 0, 3)], 0)).await.expect("it is stored");
    close(sink).await;
    let mut sink = subject.open().await;
    let position = Position { partition: partition(0), next: 2 };
    sink.reset(&Reset::Set { position, identity: "another".into() }).await.expect("it is set");
    close(sink).await;
    let mut sink = subject.open().await;
    let held = sink.positions().await.expect("positions are read");
    assert_eq!(next(&held), [(0, 2), (1, 100)]);
    let set = held.iter().find(|held| held.partition.index == 0).expect("it is there");
    assert_eq!((set.identity.as_str(), set.plans.len()), ("another", 0), "a new log, and no plans of the old one");
    sink.reset(&Reset::Forget(Some(partition(0)))).await.expect("it is forgotten");
    assert_eq!(next(&sink.positions().await.expect("positions are read")), [(1, 100)]);
    sink.reset(&Reset::Forget(None)).await.expect("all is forgotten");
    assert_eq!(sink.positions().await.expect("positions are read"), []);
    close(sink).await;
}
