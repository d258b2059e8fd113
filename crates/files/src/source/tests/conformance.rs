//! The suite that every source runs.

use async_trait::async_trait;
use foretell_flow::Source;
use foretell_flow::testing::sources::{self, Log};
use serde_json::json;

use super::{Bed, lines, settings};

/// Three files, cut into parts.
struct Files {
    bed: Bed,
    ends: bool,
}

#[async_trait]
impl Log for Files {
    async fn open(&mut self) -> Box<dyn Source> {
        let settings = settings(json!({ "split": 1024, "partitions": 3 }));
        settings.open(&self.bed.context(&lines(), (0, 1), self.ends), false).await.unwrap()
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
        let bed = Bed::new();
        for file in 0..3 {
            let text: String = (0..300).map(|line| format!("file {file} line {line}\n")).collect();
            bed.write(&format!("{file}.txt"), text);
        }
        sources::run(&mut Files { bed, ends }).await;
    }
}
