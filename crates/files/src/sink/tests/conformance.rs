//! The suite that every sink runs, in each format and mode, with deaths at each change of the storage.

use async_trait::async_trait;
use foretell_flow::testing::sinks;

use super::mortal::{Death, Mortal};
use super::*;

struct Target {
    case: Case,
    make: fn() -> TestFolder,
    place: TestFolder,
}

impl Target {
    fn new(case: Case, make: fn() -> TestFolder) -> Target {
        Target { case, make, place: make() }
    }

    async fn open_in(&self, storage: Arc<dyn Storage>, pipeline: &str, sink: &str) -> Box<dyn Sink> {
        let context =
            SinkContext { pipeline: pipeline.into(), sink: sink.into(), schema: sinks::schema(), ..context("0") };
        let path = format!("{}/{}", self.place.root, self.case.name());
        self.case.settings().open_in(&context, storage, path).await.unwrap().boxed()
    }
}

#[async_trait]
impl sinks::Subject for Target {
    fn traits(&self) -> SinkTraits {
        self.case.settings().traits()
    }

    async fn renew(&mut self) {
        // A file that a death left open reserves a whole block on HDFS: hundreds of them fill a disk.
        self.place.storage.delete(&self.place.root).await.unwrap();
        self.place = (self.make)();
    }

    async fn open(&mut self) -> Box<dyn Sink> {
        self.open_in(self.place.storage.clone(), "orders", "out").await
    }

    async fn open_mortal(&mut self, nth: usize) -> Option<Box<dyn Sink>> {
        const DEATHS: [Death; 3] = [Death::Before, Death::Halfway, Death::After];
        let mortal =
            Mortal::new(self.place.storage.clone(), 1 + (nth / DEATHS.len()) as u64, DEATHS[nth % DEATHS.len()]);
        Some(self.open_in(mortal, "orders", "out").await)
    }

    async fn open_as(&mut self, pipeline: &str, sink: &str) -> Option<Box<dyn Sink>> {
        // A file that is appended to has one owner.
        match self.case.append() {
            true => None,
            false => Some(self.open_in(self.place.storage.clone(), pipeline, sink).await),
        }
    }

    async fn landed(&mut self) -> Vec<(i32, i64)> {
        let mut rows = Vec::new();
        for bytes in contents(self.case, &self.place).await {
            let batch = decode(self.case, bytes, &sinks::schema());
            let partitions = batch.column(0).as_primitive::<Int32Type>();
            let offsets = batch.column(1).as_primitive::<Int64Type>();
            rows.extend(partitions.values().iter().copied().zip(offsets.values().iter().copied()));
        }
        rows
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_sinks() {
    for case in CASES {
        sinks::run(&mut Target::new(case, TestFolder::local)).await;
    }
}

mod services {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_suite_of_sinks_on_hdfs() {
        for case in [Case::CsvFiles, Case::ParquetFiles, Case::CsvAppend] {
            let mut target = Target::new(case, TestFolder::hdfs);
            sinks::run(&mut target).await;
            target.place.storage.delete(&target.place.root).await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_suite_of_sinks_on_s3() {
        sinks::run(&mut Target::new(Case::CsvFiles, TestFolder::s3)).await;
    }
}
