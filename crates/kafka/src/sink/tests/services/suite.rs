//! What every sink must hold, by the suite of `foretell_flow::testing`, on a real broker.

use foretell_flow::testing::sinks::{self, Scissors, Subject};
use foretell_flow::{Checkpoint, SinkTraits, Written};

use crate::testing::proxy::Proxy;
use crate::testing::{brokers, topic};

use super::*;

struct Topics {
    /// Of its own: producers are known by it in the whole cluster.
    pipeline: String,
    topic: String,
    progress: String,
    batches: Batches,
}

/// How the query's batches are written.
#[derive(Clone, Copy, PartialEq)]
enum Batches {
    /// Rows can be told apart by partition.
    ByPartition,
    /// They can, and no other worker has a partition.
    Alone,
    /// They cannot.
    Whole,
}

impl Topics {
    fn new(batches: Batches) -> Topics {
        Topics { pipeline: unique("suite"), topic: String::new(), progress: String::new(), batches }
    }

    fn settings(&self, brokers: &str) -> Value {
        json!({ "brokers": brokers, "topic": self.topic, "format": "json", "progress_topic": self.progress })
    }

    async fn open_at(&self, brokers: &str, pipeline: &str, sink: &str) -> Box<dyn Sink> {
        let by_partition = self.batches != Batches::Whole;
        let context = SinkContext { sink: sink.into(), by_partition, ..context(sinks::schema(), pipeline) };
        let mut sink = try_open(self.settings(brokers), &context).await.unwrap();
        if let Some(alone) = sink.alone() {
            *alone = self.batches == Batches::Alone;
        }
        sink
    }
}

#[async_trait::async_trait]
impl Subject for Topics {
    fn traits(&self) -> SinkTraits {
        (KIND.parse)(self.settings(&brokers())).unwrap().traits()
    }

    fn names(&self) -> (String, String) {
        (self.pipeline.clone(), sinks::SINK.to_owned())
    }

    async fn renew(&mut self) {
        self.topic = topic("suite", 1).await;
        self.progress = unique("suite-progress");
    }

    async fn open(&mut self) -> Box<dyn Sink> {
        self.open_at(&brokers(), &self.pipeline, sinks::SINK).await
    }

    async fn open_mortal(&mut self, nth: usize) -> Option<Box<dyn Sink>> {
        let proxy = Proxy::new(&brokers()).await;
        let sink = self.open_at(&proxy.broker, &self.pipeline, sinks::SINK).await;
        proxy.kill_at(nth);
        Some(Box::new(Mortal { inner: Some(sink), proxy }))
    }

    async fn open_cuttable(&mut self) -> Option<(Box<dyn Sink>, Scissors)> {
        let proxy = Proxy::new(&brokers()).await;
        let sink = self.open_at(&proxy.broker, &self.pipeline, sinks::SINK).await;
        Some((sink, Box::new(proxy.cutter())))
    }

    async fn open_as(&mut self, pipeline: &str, sink: &str) -> Option<Box<dyn Sink>> {
        Some(self.open_at(&brokers(), pipeline, sink).await)
    }

    async fn landed(&mut self) -> Vec<(i32, i64)> {
        let row = |seen: Seen| -> (i32, i64) {
            let row: Value = serde_json::from_str(&seen.2.unwrap()).unwrap();
            (i32::try_from(row["partition"].as_i64().unwrap()).unwrap(), row["offset"].as_i64().unwrap())
        };
        consume(&brokers(), &self.topic, "read_committed").into_iter().map(row).collect()
    }
}

/// A sink whose process dies: what it waited for then is never answered.
struct Mortal {
    inner: Option<Box<dyn Sink>>,
    proxy: Proxy,
}

impl Mortal {
    fn dead() -> StageError {
        StageError::unavailable("it is dead")
    }
}

#[async_trait::async_trait]
impl Sink for Mortal {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        Err(StageError::defect("the suite asks the living"))
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        let death = self.proxy.death();
        let Some(inner) = &mut self.inner else { return Err(Mortal::dead()) };
        tokio::select! {
            claimed = inner.claim(claims) => return claimed,
            () = death => {}
        }
        self.inner = None;
        Err(Mortal::dead())
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        let death = self.proxy.death();
        let Some(inner) = &mut self.inner else { return Err(Mortal::dead()) };
        tokio::select! {
            written = inner.write(write) => return written,
            () = death => {}
        }
        self.inner = None;
        Err(Mortal::dead())
    }

    async fn reset(&mut self, _: &foretell_flow::Reset) -> Result<(), StageError> {
        Err(StageError::defect("the suite asks the living"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_partition_it_holds_what_every_sink_must() {
    sinks::run_side_by_side(|| Topics::new(Batches::ByPartition)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_it_holds_what_every_sink_must() {
    sinks::run_side_by_side(|| Topics::new(Batches::Alone)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_whole_it_holds_what_every_sink_must() {
    sinks::run_side_by_side(|| Topics::new(Batches::Whole)).await;
}
