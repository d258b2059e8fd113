//! What file sinks and the file source keep: a sidecar, a record of a commit log, a list of files. The first byte chooses.
#![no_main]

use std::sync::Arc;

use foretell_connect::kind::{DecodeSpec, SinkContext, SourceContext};
use foretell_connect::storage::Local;
use foretell_flow::SinkInput;
use serde_json::json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, rest).unwrap();
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let sink = |settings: serde_json::Value| {
        let context = SinkContext {
            pipeline: "p".into(),
            sink: "s".into(),
            worker: "0".into(),
            schema: foretell_fuzz::schema(),
            leader: true,
            by_partition: true,
            input: SinkInput::Results,
            timezone: None,
            base: folder.path().into(),
        };
        runtime.block_on(async {
            let settings = (foretell_files::SINK.parse)(settings).ok().unwrap();
            if let Ok(mut sink) = settings.open(&context).await {
                let _ = sink.positions().await;
                let _ = sink.traces().await;
            }
        });
    };
    match first % 3 {
        0 => {
            put("_foretell/append/x.csv/00000000000000000000.wal");
            sink(json!({ "path": "x.csv", "mode": "append" }));
        }
        1 => {
            put("x.csv/_foretell/p/s/log/000000000000/00000000000000000000.json");
            sink(json!({ "path": "x.csv" }));
        }
        _ => {
            put("state/files/p/0000000000.json");
            std::fs::write(folder.path().join("a.txt"), "1\n").unwrap();
            let context = SourceContext {
                pipeline: "p".into(),
                worker: "0".into(),
                index: 0,
                workers: 1,
                ends: true,
                decode: DecodeSpec { kind: "line".into(), settings: json!({}) },
                state: (Arc::new(Local), folder.path().join("state").display().to_string()),
                base: folder.path().into(),
                observe: true,
            };
            runtime.block_on(async {
                let settings = (foretell_files::SOURCE.parse)(json!({ "path": "a.txt" })).ok().unwrap();
                let _ = settings.open(&context, true).await.map(drop);
            });
        }
    }
});
