//! Several topics, named or found by a pattern, against a real broker.

use super::super::*;
use super::feed;
use crate::testing::{brokers, create, topic, unique};

/// Everything of the source's partitions from where it is said to begin: topic, partition, value.
async fn read_all(source: &mut Box<dyn Source>, count: usize) -> Vec<(String, i32, String)> {
    let mut rows = Vec::new();
    while rows.len() < count {
        let records = chunk(source).await.records;
        for row in 0..records.len() {
            let Partition { topic, index } = records.topics.partition(records.partitions.value(row));
            rows.push((topic.to_string(), index, String::from_utf8(records.values.value(row).to_vec()).unwrap()));
        }
    }
    rows.sort();
    rows
}

async fn assignment(source: &mut Box<dyn Source>, topics: usize) -> Vec<Partition> {
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < Duration::from_secs(90), "no assignment with {topics} topics");
        if let Event::Assigned(ours) = source.next(DEMAND).await.unwrap() {
            let mut names: Vec<_> = ours.iter().map(|partition| partition.topic.clone()).collect();
            names.dedup();
            if names.len() == topics {
                return ours;
            }
        }
    }
}

async fn begin(source: &mut Box<dyn Source>, ours: &[Partition]) {
    let bounds = source.bounds(ours).await.unwrap();
    let positions = bounds.iter().map(|bound| Position { partition: bound.partition.clone(), next: bound.start });
    source.seek(&positions.collect::<Vec<_>>()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_topics_are_read_side_by_side_and_every_record_says_its_own() {
    let (a, b) = (topic("side-a", 2).await, topic("side-b", 1).await);
    feed(&a, 0, ["a0".into(), "a0'".into()]);
    feed(&a, 1, ["a1".into()]);
    feed(&b, 0, ["b0".into()]);
    let settings = json!({ "brokers": brokers(), "topics": [a, b] });
    let mut source = open(settings, &a, "0").await.unwrap();
    let ours = assignment(&mut source, 2).await;
    assert_eq!(ours, [part(&a, 0), part(&a, 1), part(&b, 0)]);
    assert_eq!(source.partitions().await.unwrap(), 3);
    begin(&mut source, &ours).await;
    let row = |topic: &str, index, value: &str| (topic.to_string(), index, value.to_string());
    assert_eq!(
        read_all(&mut source, 4).await,
        [row(&a, 0, "a0"), row(&a, 0, "a0'"), row(&a, 1, "a1"), row(&b, 0, "b0")]
    );
    // One goes back, of the topic that is not the first; the others go on.
    source.seek(&[at(&b, 0, 0)]).await.unwrap();
    feed(&a, 1, ["new".into()]);
    assert_eq!(read_all(&mut source, 2).await, [row(&a, 1, "new"), row(&b, 0, "b0")]);
    let housekeeping = source.housekeeping();
    let behind = housekeeping.behind(&[at(&b, 0, 0), at(&a, 0, 2), at(&a, 1, 0)]).await.unwrap();
    assert_eq!(behind, [1, 0, 2]);
    housekeeping.commit(&[at(&a, 0, 2), at(&b, 0, 1)], "note").await.unwrap();
    let begin = Instant::now();
    loop {
        let bounds = source.bounds(&[part(&b, 0), part(&a, 0)]).await.unwrap();
        let committed: Vec<_> = [&a, &b]
            .map(|topic| bounds.iter().find(|bound| *bound.partition.topic == **topic).unwrap().committed)
            .into();
        if committed == [Some(2), Some(1)] {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{committed:?}");
    }
    assert_eq!(source.notes().await.unwrap(), ["note", "note"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_to_match_is_read_from_its_first_record() {
    let stem = unique("match");
    create(&format!("{stem}.a"), 1, &[]).await;
    create(&format!("{stem}x"), 1, &[]).await;
    feed(&format!("{stem}.a"), 0, ["old".into()]);
    let settings = json!({ "brokers": brokers(), "pattern": format!("{stem}\\..*"), "start": "latest" });
    let mut source = open(settings, &stem, "0").await.unwrap();
    let ours = assignment(&mut source, 1).await;
    begin(&mut source, &ours).await;
    create(&format!("{stem}.b"), 2, &[]).await;
    feed(&format!("{stem}.b"), 1, ["first".into()]);
    let ours = assignment(&mut source, 2).await;
    assert_eq!(ours.len(), 3, "{ours:?}");
    begin(&mut source, &ours).await;
    assert_eq!(read_all(&mut source, 1).await, [(format!("{stem}.b"), 1, "first".to_string())]);
    assert!(source.grows());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_matches_nothing_is_refused() {
    let settings = json!({ "brokers": brokers(), "pattern": unique("none") });
    let error = open(settings, "p", "0").await.err().unwrap();
    assert_eq!(error.fault, Fault::Settings);
    assert!(error.message.starts_with("no topic matches the pattern"), "{error}");
    let error = (KIND.parse)(json!({ "brokers": "b" })).err().unwrap();
    assert!(error.message.contains("name a `topic`"), "{}", error.message);
}
