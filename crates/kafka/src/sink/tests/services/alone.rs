//! A worker that has all partitions, and is not alone any more.

use super::*;

/// Three records, one of each partition, from there on.
fn of_each(from: i64) -> Write {
    let ranges: Vec<Range> = (0..3).map(|index| range(index, from, from + 1)).collect();
    write(&ranges, &[(0, from), (1, from), (2, from)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_any_partition_fences_who_is_alone() {
    let bench = Bench::new("alone").await;
    let mut first = bench.open().await;
    *first.alone().unwrap() = true;
    first.claim(&claims(0..3)).await.unwrap();
    first.write(&of_each(100)).await.unwrap();
    assert_eq!(values(&bench.topic), ["100", "100", "100"]);

    let mut second = bench.open().await;
    let held = second.claim(&claims(2..3)).await.unwrap();
    assert_eq!(held[0].next, 101);
    let error = first.write(&of_each(101)).await.unwrap_err();
    assert_eq!(error.fault, Fault::Fenced, "{error}");
    // It may have been stored as far as this one knows: nothing more goes in before it claims again.
    let error = first.write(&write(&[range(0, 101, 102)], &[(0, 101)])).await.unwrap_err();
    assert_eq!(error.fault, Fault::Fenced, "{error}");
    second.write(&write(&[range(2, 101, 102)], &[(2, 101)])).await.unwrap();
    assert_eq!(values(&bench.topic).len(), 4);

    // Each has its own from now on, and neither disturbs the other.
    *first.alone().unwrap() = false;
    let held = first.claim(&claims(0..2)).await.unwrap();
    assert!(held.iter().all(|held| held.next == 101), "{held:?}");
    let ranges = [range(0, 101, 102), range(1, 101, 102)];
    first.write(&write(&ranges, &[(0, 101), (1, 101)])).await.unwrap();
    second.write(&write(&[range(2, 102, 103)], &[(2, 102)])).await.unwrap();
    assert_eq!(values(&bench.topic).len(), 7);

    // One takes over from both.
    let mut third = bench.open().await;
    *third.alone().unwrap() = true;
    let held = third.claim(&claims(0..3)).await.unwrap();
    assert_eq!(held.iter().map(|held| held.next).collect::<Vec<_>>(), [102, 102, 103]);
    for (sink, index, from) in [(&mut first, 0, 102), (&mut second, 2, 103)] {
        let error = sink.write(&write(&[range(index, from, from + 1)], &[(index, from)])).await.unwrap_err();
        assert_eq!(error.fault, Fault::Fenced, "{error}");
    }
    let ranges = [range(0, 102, 103), range(1, 102, 103), range(2, 103, 104)];
    third.write(&write(&ranges, &[(0, 102), (1, 102), (2, 103)])).await.unwrap();
    assert_eq!(values(&bench.topic).len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_rows_and_many_take_turns() {
    let bench = Bench::new("turns").await;
    let mut sink = bench.open().await;
    *sink.alone().unwrap() = true;
    sink.claim(&claims(0..3)).await.unwrap();
    let mut from = 100;
    for rows in [1, 2_000, 1, 1, 2_000, 5] {
        let ranges: Vec<Range> = (0..3).map(|index| range(index, from, from + rows)).collect();
        let offsets: Vec<(i32, i64)> =
            (from..from + rows).flat_map(|offset| (0..3).map(move |index| (index, offset))).collect();
        sink.write(&write(&ranges, &offsets)).await.unwrap();
        from += rows;
    }
    let mut seen: Vec<i64> = values(&bench.topic).iter().map(|value| value.parse().unwrap()).collect();
    seen.sort_unstable();
    let all: Vec<i64> = (100..from).flat_map(|offset| [offset; 3]).collect();
    assert_eq!(seen, all);
    let mut next = bench.open().await;
    let held = next.claim(&claims(0..3)).await.unwrap();
    assert!(held.iter().all(|held| held.next == from), "{held:?}");
}
