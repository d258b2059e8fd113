//! Several pipelines in one process: each has threads of its own, so that one cannot hold another up, and the log's lines
//! say whose they are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::Job;
use crate::log;
use crate::pipeline::Pipeline;

/// The pipeline files that are meant: files as they are named, of folders those that end so.
pub(super) fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
        let mut found = Vec::new();
        for entry in entries {
            let file = entry.with_context(|| path.display().to_string())?.path();
            if is_pipeline(&file) && file.is_file() {
                found.push(file);
            }
        }
        if found.is_empty() {
            bail!("{}: there is no pipeline file in this folder: none ends in .yaml or .yml", path.display());
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn is_pipeline(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    yaml && !name.starts_with('.') && !name.ends_with(".tests.yaml") && !name.ends_with(".tests.yml")
}

/// Runs pipelines side by side until all have ended.
pub(super) async fn run(jobs: Vec<Job>, shutdown: CancellationToken, hangups: watch::Receiver<u64>) -> Result<()> {
    let mut pipelines: Vec<(Job, Pipeline)> = Vec::new();
    let mut wrong = Vec::new();
    for job in jobs {
        let prepared = job.patience.wait(&shutdown, async || job.prepare().await).await;
        match prepared {
            Ok(None) => return Ok(()),
            Ok(Some(pipeline)) => match pipelines.iter().find(|(_, other)| other.file.name == pipeline.file.name) {
                Some((other, _)) => wrong.push(anyhow!(
                    "{}: the pipeline is called `{}` as that of {} is: positions are stored under its name",
                    job.path.display(),
                    pipeline.file.name,
                    other.path.display()
                )),
                None => pipelines.push((job, pipeline)),
            },
            Err(error) => wrong.push(error),
        }
    }
    if let Some(last) = wrong.pop() {
        wrong.iter().for_each(crate::tell);
        return Err(last);
    }
    let (ended, mut endings) = mpsc::unbounded_channel();
    let mut left = pipelines.len();
    for (job, pipeline) in pipelines {
        let (ended, shutdown, hangups) = (ended.clone(), shutdown.clone(), hangups.clone());
        let name = pipeline.file.name.clone();
        let thread = std::thread::Builder::new().name(name.clone());
        let work = move || {
            log::name_thread(&name);
            let outcome = alone(&job, pipeline, shutdown, hangups);
            // Nobody hears it where the process ends.
            let _ = ended.send((name, outcome));
        };
        thread.spawn(work).context("no thread for a pipeline")?;
    }
    drop(ended);
    let mut failed = Vec::new();
    while left > 0 {
        // A thread that panicked says nothing more.
        let Some((name, outcome)) = endings.recv().await else { break };
        left -= 1;
        if let Err(cause) = outcome {
            error!(pipeline = name, others = left, "the pipeline ended: {}", crate::one_line(&cause));
            failed.push(name);
        }
    }
    match (failed.as_slice(), left) {
        ([], 0) => Ok(()),
        ([], _) => bail!("a pipeline ended by a defect of this program, which is told above"),
        (names, _) => bail!("{} ended with an error, which is told above", names.join(", ")),
    }
}

/// Runs a pipeline on a runtime of its own, whose threads are named after it.
fn alone(job: &Job, pipeline: Pipeline, shutdown: CancellationToken, hangups: watch::Receiver<u64>) -> Result<()> {
    let name = pipeline.file.name.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_start(move || log::name_thread(&name))
        .build()
        .context("no threads for a pipeline")?;
    runtime.block_on(job.run(pipeline, shutdown, hangups))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_hold_pipelines_and_their_tests() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", "b.tests.yaml", "readme.md", ".hidden.yaml"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("c.yaml")).unwrap();
        let one = folder.path().join("x.txt");
        let found = files(&[one.clone(), folder.path().to_path_buf()]).unwrap();
        assert_eq!(found, [one, folder.path().join("a.yml"), folder.path().join("b.yaml")]);
        assert!(files(&[folder.path().join("c.yaml")]).unwrap_err().to_string().contains("no pipeline file"));
    }
}
