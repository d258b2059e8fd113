//! The suite that every source runs.

use async_trait::async_trait;
use foretell_flow::Source;
use foretell_flow::testing::sources::{self, Log};
use serde_json::json;

use super::{Fixture, lines, settings};

/// Three files, cut into parts.
struct Files {
    fixture: Fixture,
    ends: bool,
}

#[async_trait]
impl Log for Files {
    async fn open(&mut self) -> Box<dyn Source> {
        let settings = settings(json!({ "split": 1024, "partitions": 3 }));
        settings.open(&self.fixture.context(&lines(), (0, 1), self.ends), false).await.unwrap()
    }

    fn records(&self) -> usize {
        900
    }

    /// What was there at the start has an end in `bounds`; the source itself says no more than that nothing comes.
    fn ends(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn the_suite_of_sources() {
    for ends in [true, false] {
        let fixture = Fixture::new();
        for file in 0..3 {
            let text: String = (0..300).map(|line| format!("file {file} line {line}\n")).collect();
            fixture.write(&format!("{file}.txt"), text);
        }
        sources::run(&mut Files { fixture, ends }).await;
    }
}
