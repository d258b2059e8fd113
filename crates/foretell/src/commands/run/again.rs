//! A file that is replaced between the moment at which it is read and the one at which it is kept: the start is begun again.

use anyhow::{Result, anyhow};
use tracing::info;

use crate::pipeline::Replaced;

/// Who replaces a file more often than this while one pipeline starts does not mean to stop.
const AT_MOST: u32 = 10;

/// How often a start was begun again.
#[derive(Debug, Default)]
pub(super) struct Restarts(u32);

impl Restarts {
    /// Whether a run that ended so is to be begun again, from the file on.
    ///
    /// # Errors
    /// The run's own, and one that names the remedy where a file is replaced again and again.
    pub(super) fn after(&mut self, ended: Result<()>) -> Result<bool> {
        let Err(error) = ended else { return Ok(false) };
        if !error.is::<Replaced>() {
            return Err(error);
        }
        if self.0 == AT_MOST {
            return Err(anyhow!("{error}, {AT_MOST} times in a row: start again when it stays as it is"));
        }
        self.0 += 1;
        info!("{error}: it is read again");
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::commands::pipeline::SetArgs;
    use crate::commands::run::{Job, Patience};

    const FILE: &str = "pipeline: replaced
source: { file: { path: in/ } }
decode: { csv: { columns: [x: float64, word: utf8] } }
models: { plus: { file: plus.pmml } }
encodings: { code: { file: codes.csv } }
query: SELECT CAST(plus(x) AS BIGINT) AS y, code(word) AS code FROM records
sinks: { out: { file: { path: out.csv, mode: append } } }
trigger: available_now
";

    /// A model that adds a number, and codes that begin with it.
    fn put(folder: &Path, number: i32) {
        let model = format!(
            r#"<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4"><Header/><DataDictionary>
<DataField name="x" optype="continuous" dataType="double"/><DataField name="y" optype="continuous" dataType="double"/>
</DataDictionary><RegressionModel functionName="regression">
<MiningSchema><MiningField name="y" usageType="target"/><MiningField name="x"/></MiningSchema>
<RegressionTable intercept="{number}"><NumericPredictor name="x" coefficient="1"/></RegressionTable>
</RegressionModel></PMML>"#
        );
        std::fs::write(folder.join("plus.pmml"), model).unwrap();
        std::fs::write(folder.join("codes.csv"), format!("label,code\na,{number}\n")).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_that_are_replaced_while_the_pipeline_starts_are_read_again() {
        for replaced in ["plus.pmml", "codes.csv"] {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            std::fs::create_dir(at("in")).unwrap();
            std::fs::write(at("in/a.csv"), "x,word\n1,a\n").unwrap();
            std::fs::write(at("p.yaml"), FILE).unwrap();
            put(folder.path(), 20);
            let new = std::fs::read(at(replaced)).unwrap();
            put(folder.path(), 10);
            let job = Job {
                path: at("p.yaml"),
                set: SetArgs { set: Vec::new() },
                workers: Some(1),
                id: "0".into(),
                patience: Patience::default(),
            };
            let read = job.prepare().await.unwrap();
            std::fs::write(at(replaced), new).unwrap();
            let (_hangup, hangups) = watch::channel(0);
            job.run(read, CancellationToken::new(), hangups).await.unwrap();
            let expected = if replaced == "plus.pmml" { "21,10\n" } else { "11,20\n" };
            assert_eq!(std::fs::read_to_string(at("out.csv")).unwrap(), expected, "{replaced}");
        }
    }

    #[test]
    fn who_replaces_files_for_ever_is_told_so() {
        let mut restarts = Restarts::default();
        let replaced = || Err(Replaced("model `m`".into()).into());
        for _ in 0..AT_MOST {
            assert!(restarts.after(replaced()).unwrap());
        }
        let error = restarts.after(replaced()).unwrap_err().to_string();
        assert_eq!(
            error,
            "model `m`: its file was replaced while the pipeline started, 10 times in a row: start again when it stays as it is"
        );
        assert!(!Restarts::default().after(Ok(())).unwrap());
        let other = Restarts::default().after(Err(anyhow!("another"))).unwrap_err();
        assert_eq!(other.to_string(), "another");
    }
}
