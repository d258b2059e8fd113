//! Lists of files that no version wrote: they are refused, and nothing else happens.

use proptest::prelude::*;

use super::*;

/// What opening a source says of a list with this one record.
fn open_with(record: &[u8]) -> Result<(), StageError> {
    let fixture = Fixture::new();
    fixture.write("a.txt", "1\n2\n");
    let folder = fixture.folder.path().join("state/files/p");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("0000000000.json"), record).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let context = SourceContext { observe: true, ..fixture.context(&lines(), (0, 1), true) };
        let mut source = settings(json!({})).open(&context, false).await?;
        drain(&mut *source, &BTreeMap::new()).await.map(drop)
    })
}

fn record(files: Value, partitions: Value) -> Value {
    json!({ "format": 1, "number": 0, "id": "x", "partitions": partitions, "run": { "nonce": "n", "host": "h", "pid": 1 }, "files": files })
}

fn file(size: u64, first: u64, entries: u64, split: u64) -> Value {
    let options = json!({ "format": "lines", "multiline": false, "compression": "none" });
    json!({ "url": "gone.txt", "size": size, "version": "1", "modified": 0, "options": options, "first": first, "entries": entries, "split": split })
}

#[test]
fn a_list_whose_numbers_cannot_be_is_refused() {
    let lists = [
        record(json!([file(10, 0, 1, 0)]), json!(1)),
        record(json!([file(10, 0, u64::MAX, 1)]), json!(1)),
        record(json!([file(u64::MAX, 0, 1, 1)]), json!(1)),
    ];
    for list in lists {
        let error = open_with(list.to_string().as_bytes()).unwrap_err();
        assert!(error.message.contains("its files are cut in a way that cannot be"), "{error}");
        assert_eq!(error.fault, Fault::State);
    }
    // Each partition costs memory, so that a wrong count must not be believed.
    for partitions in [0, 1025, u64::from(u32::MAX), u64::MAX >> 1] {
        let error = open_with(record(json!([]), json!(partitions)).to_string().as_bytes()).unwrap_err();
        assert!(error.message.contains(&format!("{partitions} partitions: 1 to 1024 are possible")), "{error}");
        assert_eq!(error.fault, Fault::State);
    }
    // A right one is taken up: the file is looked for.
    let error = open_with(record(json!([file(10, 0, 1, 10)]), json!(1)).to_string().as_bytes()).unwrap_err();
    assert!(error.message.contains("is gone"), "{error}");
}

#[test]
fn a_list_of_an_earlier_version_is_taken_up() {
    let text = record(json!([file(10, 0, 1, 10)]), json!(1)).to_string();
    let earlier = text
        .replace("\"partitions\"", "\"lanes\"")
        .replace("\"options\"", "\"how\"")
        .replace("\"compression\"", "\"packing\"");
    assert_ne!(text, earlier);
    let error = open_with(earlier.as_bytes()).unwrap_err();
    assert!(error.message.contains("is gone"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_list_is_refused_or_read(
        numbers in proptest::collection::vec(prop_oneof![0_u64..20, Just(u64::MAX), any::<u64>()], 5),
        cut in any::<proptest::sample::Index>(), byte in any::<u8>(), damaged in any::<bool>(),
    ) {
        let text = record(json!([file(numbers[0], numbers[1], numbers[2], numbers[3])]), json!(numbers[4])).to_string();
        let mut bytes = text.into_bytes();
        if damaged {
            let at = cut.index(bytes.len());
            bytes[at] = byte;
        }
        // The file of a list that can be is gone, so that nothing is ever read.
        prop_assert!(open_with(&bytes).is_err() || damaged);
    }
}
