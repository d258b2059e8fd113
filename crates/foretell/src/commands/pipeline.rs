//! Which pipeline a command is about, and settings of the command line in place of the file's.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::pipeline_file::{FileErrors, PipelineFile, Setting};

/// One pipeline file.
#[derive(Debug, Clone, Args)]
pub(crate) struct PipelineArgs {
    /// The pipeline file
    pub(crate) pipeline: PathBuf,
    #[command(flatten)]
    set: SetArgs,
}

/// Settings in place of the file's.
#[derive(Debug, Clone, Args)]
pub(crate) struct SetArgs {
    /// A setting in place of the file's: `sinks.db.sql.table=results`; may be given several times. The value is YAML, and
    /// a secret comes by reference as in the file: `{ env: NAME }`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Setting>,
}

impl PipelineArgs {
    /// Reads the file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn load(&self) -> Result<PipelineFile, FileErrors> {
        PipelineFile::load(&self.pipeline, &self.set.set)
    }

    /// The pipeline that reads the dead letters of this one.
    ///
    /// # Errors
    /// All that is wrong with it, or that its dead letters cannot be read.
    pub(crate) fn load_replay(&self) -> Result<PipelineFile, FileErrors> {
        PipelineFile::load_replay(&self.pipeline, &self.set.set)
    }

    /// Reads the file and all that it names, and plans its queries.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) async fn prepare(&self) -> Result<crate::pipeline::Pipeline> {
        crate::pipeline::Pipeline::prepare(self.load()?).await
    }
}
