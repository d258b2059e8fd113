//! Connections that are cut at a commit, and processes that die.

use super::{Cut, Subject, claim, claimed, claims, close, next, offsets, range, seen, write};
use crate::{Fault, StageError, Written};

/// Deaths that are tried at most; more changes than that no single write makes.
const DEATHS: usize = 1000;

/// The sink itself goes on: it claims again, believes, and writes what is lacking.
pub(super) async fn cut_commits_are_settled_by_the_next_claim(subject: &mut dyn Subject) {
    for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
        subject.renew().await;
        let Some((mut sink, scissors)) = subject.open_cuttable().await else { return };
        sink.claim(&[claim(0, 0)]).await.expect("it is claimed");
        sink.write(&write(&[range(0, 0, 2)])).await.expect("it is stored");
        scissors(cut);
        let outcome = sink.write(&write(&[range(0, 2, 5)])).await;
        let held = sink.claim(&[claim(0, 0)]).await.expect("the service is there again");
        let stored = match next(&held).as_slice() {
            [(0, 2)] => false,
            [(0, 5)] => true,
            other => panic!("{cut:?}: a write, stored in part: {other:?}"),
        };
        match outcome {
            Ok(_) => assert!(stored, "{cut:?}: what was told to be stored is lost"),
            Err(error) => assert_eq!(error.fault, Fault::Unavailable, "{cut:?}: {error}"),
        }
        if !stored {
            sink.write(&write(&[range(0, 2, 5)])).await.expect("what is lacking is stored");
        }
        sink.write(&write(&[range(0, 5, 6)])).await.expect("it goes on");
        close(sink).await;
        let (held, landed) = seen(subject, &[claim(0, 0)]).await;
        assert_eq!((next(&held), landed), (vec![(0, 6)], offsets(0, 0, 6).collect()), "{cut:?}");
    }
}

/// Dies at each change in turn, from the `first` in steps, then goes on as the run loop does: it claims, believes, and
/// writes what is lacking.
pub(super) async fn deaths_lose_and_double_nothing(subject: &mut dyn Subject, first: usize, step: usize) {
    let whole = [range(0, 0, 3), range(1, 100, 102)];
    for nth in (first..DEATHS).step_by(step) {
        subject.renew().await;
        let Some(mut mortal) = subject.open_mortal(nth).await else { return };
        let life: Result<Written, StageError> = match mortal.claim(&claims()).await {
            Ok(_) => mortal.write(&write(&whole)).await,
            Err(error) => Err(error),
        };
        drop(mortal);
        let (held, landed) = seen(subject, &claims()).await;
        let mut rest = Vec::new();
        for range in &whole {
            let next = held.iter().find(|held| held.partition == range.partition).expect("it was claimed").next;
            let stored = landed.iter().filter(|(index, _)| *index == range.partition.index).count() as i64;
            assert!(next == range.from || next == range.to, "death {nth}: {range:?} is stored in part: {next}");
            assert_eq!(stored, next - range.from, "death {nth}: rows and position of {range:?} differ");
            if next == range.from {
                rest.push(range.clone());
            }
        }
        if life.is_ok() {
            assert!(rest.is_empty(), "death {nth}: what was told to be stored is lost");
            assert!(nth > 1 && nth >= step, "no death was died");
            return;
        }
        if subject.traits().atomic {
            assert!(rest.is_empty() || rest.len() == whole.len(), "death {nth}: one write, stored in part");
        }
        if !rest.is_empty() {
            let mut sink = claimed(subject, &claims()).await;
            sink.write(&write(&rest)).await.expect("what is lacking is stored");
            close(sink).await;
        }
        let (_, landed) = seen(subject, &claims()).await;
        assert_eq!(landed, offsets(0, 0, 3).chain(offsets(1, 100, 102)).collect::<Vec<_>>(), "death {nth}");
    }
    panic!("a write still dies at its change {DEATHS}");
}
