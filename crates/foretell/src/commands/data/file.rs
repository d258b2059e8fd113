//! Where results go. A file appears under its name only when it is complete.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

use crate::terminal;

/// A place that is being written to.
pub(crate) struct Destination {
    file: Option<(NamedTempFile, PathBuf)>,
}

impl Destination {
    /// Opens a place: standard output for `None` and `-`. What is written counts after [`Destination::finish`].
    pub(crate) fn open(path: Option<&Path>) -> Result<(Destination, Box<dyn Write + Send>)> {
        let path = path.filter(|path| *path != Path::new("-"));
        let (raw, file): (Box<dyn Write + Send>, _) = match path {
            None => (terminal::output(), None),
            // A device or a pipe is written as it is: a rename would replace it.
            Some(path) if path.metadata().is_ok_and(|metadata| !metadata.is_file()) => {
                let file = File::options().write(true).open(path);
                (Box::new(file.with_context(|| format!("cannot write `{}`", path.display()))?), None)
            }
            Some(path) => {
                let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let mut builder = tempfile::Builder::new();
                builder.prefix(".foretell-");
                #[cfg(unix)]
                builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
                if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                    bail!("cannot write `{}`: there is no folder `{}`", path.display(), folder.display());
                }
                let temporary = builder.tempfile_in(folder.unwrap_or(Path::new(".")));
                // Its own error names a file that nobody has heard of.
                let cause = |error: std::io::Error| std::io::Error::from(error.kind());
                let temporary =
                    temporary.map_err(cause).with_context(|| format!("cannot write `{}`", path.display()))?;
                remove_when_told_to_stop(temporary.path().to_path_buf());
                (Box::new(temporary.as_file().try_clone()?), Some((temporary, path.to_path_buf())))
            }
        };
        Ok((Destination { file }, raw))
    }

    /// Brings the file under its name; everything must have been flushed.
    pub(crate) fn finish(self) -> Result<()> {
        if let Some((temporary, path)) = self.file {
            temporary.persist(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        Ok(())
    }
}

/// Refuses to write over what is read.
///
/// # Errors
/// The output is one of the inputs.
pub(crate) fn not_over<'p>(output: Option<&Path>, inputs: impl IntoIterator<Item = &'p PathBuf>) -> Result<()> {
    let Some(Ok(real)) = output.map(Path::canonicalize) else { return Ok(()) };
    for input in inputs {
        if real.is_file() && input.canonicalize().is_ok_and(|input| input == real) {
            bail!("`{}` is read, and cannot be written at the same time: name another file", input.display());
        }
    }
    Ok(())
}

/// A signal ends the program where it stands, and what is unfinished must not stay: it holds predictions of somebody's data
/// under a name that nobody looks for.
fn remove_when_told_to_stop(temporary: PathBuf) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        let number = crate::commands::run::signal().await;
        // Once the file has its own name there is none of this one.
        let _ = std::fs::remove_file(&temporary);
        std::process::exit(128 + number);
    });
}
