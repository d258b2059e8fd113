//! Files of this machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Entry, Error, ErrorKind, Reader, Reading, Stat, Storage, Writer};

/// The local file system. Durable means synced with its folder; a rename never replaces.
#[derive(Debug, Clone, Copy)]
pub struct Local;

/// Runs blocking file calls off the async threads.
async fn blocking<T: Send + 'static>(
    path: &str,
    act: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let path = PathBuf::from(path);
    let place = path.display().to_string();
    match tokio::task::spawn_blocking(move || act(&path)).await {
        Ok(result) => result.map_err(|error| convert(&place, &error)),
        Err(_) => Err(Error::new(ErrorKind::Unavailable, place, "the file call was interrupted")),
    }
}

fn convert(place: &str, error: &io::Error) -> Error {
    use io::ErrorKind as Io;
    let kind = match error.kind() {
        Io::AlreadyExists => ErrorKind::Exists,
        Io::NotFound => ErrorKind::Missing,
        Io::PermissionDenied
        | Io::ReadOnlyFilesystem
        | Io::NotADirectory
        | Io::IsADirectory
        | Io::InvalidFilename
        | Io::CrossesDevices
        | Io::Unsupported => ErrorKind::Settings,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, place, error.to_string())
}

/// Removes a folder at once, and what is in it then: a name in it is never free while it is still there, so that nobody
/// who slept takes a number which another one had.
fn remove_folder(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return fs::remove_dir_all(path) };
    let aside = tempfile::Builder::new().prefix(".gone-").tempdir_in(parent)?;
    // It takes the place of the empty one.
    fs::rename(path, aside.path())?;
    fs::remove_dir_all(aside.keep())
}

/// Makes names in a folder survive a crash.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn stat(metadata: &fs::Metadata) -> Stat {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let modified = modified.unwrap_or_default();
    Stat {
        length: if metadata.is_dir() { 0 } else { metadata.len() },
        folder: metadata.is_dir(),
        modified: i64::try_from(modified.as_millis()).unwrap_or(i64::MAX),
        version: modified.as_nanos().to_string(),
    }
}

#[async_trait]
impl Reading for Local {
    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        blocking(folder, |folder| {
            let mut entries = Vec::new();
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                // Names that are not UTF-8 are not ours; a file may go while we look.
                let Ok(name) = entry.file_name().into_string() else { continue };
                match fs::metadata(entry.path()) {
                    Ok(metadata) => entries.push(Entry { name, stat: stat(&metadata) }),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(entries)
        })
        .await
    }

    async fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        blocking(path, |path| match fs::metadata(path) {
            Ok(metadata) => Ok(Some(stat(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn reader(&self, path: &str, _: &Stat) -> Result<Box<dyn Reader>, Error> {
        let file = blocking(path, |path| File::open(path)).await?;
        Ok(Box::new(LocalReader { path: path.into(), file: Arc::new(file) }))
    }

    fn url(&self, path: &str) -> String {
        path.to_string()
    }
}

struct LocalReader {
    path: String,
    file: Arc<File>,
}

#[async_trait]
impl Reader for LocalReader {
    async fn read(&self, from: u64, to: u64, mut into: Vec<u8>) -> Result<Vec<u8>, Error> {
        let file = self.file.clone();
        blocking(&self.path, move |_| {
            let mut file = &*file;
            file.seek(SeekFrom::Start(from))?;
            file.take(to.saturating_sub(from)).read_to_end(&mut into)?;
            Ok(into)
        })
        .await
    }
}

#[async_trait]
impl Storage for Local {
    async fn create_new(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        blocking(path, move |path| {
            let folder = path.parent().unwrap_or(Path::new("/"));
            let mut file = tempfile::Builder::new().prefix(".new-").permissions(readable()).tempfile_in(folder)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist_noclobber(path).map_err(|e| e.error)?;
            sync_folder(path)
        })
        .await
    }

    async fn read(&self, path: &str) -> Result<Bytes, Error> {
        blocking(path, |path| fs::read(path).map(Bytes::from)).await
    }

    async fn read_range(&self, path: &str, from: u64, to: u64) -> Result<Bytes, Error> {
        blocking(path, move |path| {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.take(to.saturating_sub(from)).read_to_end(&mut bytes)?;
            Ok(bytes.into())
        })
        .await
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        blocking(path, |path| {
            // Someone may be putting a file into a folder that goes.
            for tries in 0.. {
                let removed = match fs::symlink_metadata(path) {
                    Ok(metadata) if metadata.is_dir() => remove_folder(path),
                    Ok(_) => fs::remove_file(path),
                    Err(error) => Err(error),
                };
                match removed {
                    Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < 10 => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    other => return other,
                }
            }
            Ok(())
        })
        .await
    }

    async fn rename_new(&self, from: &str, to: &str) -> Result<(), Error> {
        let to = to.to_string();
        blocking(from, move |from| {
            let to = Path::new(&to);
            // A plain rename would replace; this one uses RENAME_NOREPLACE, or link and unlink where there is none.
            // The guard would delete the file on failure, so it is disarmed first.
            let mut guard = tempfile::TempPath::try_from_path(from)?;
            guard.disable_cleanup(true);
            guard.persist_noclobber(to).map_err(|e| e.error)?;
            sync_folder(to)
        })
        .await
    }

    async fn mkdirs(&self, folder: &str) -> Result<(), Error> {
        blocking(folder, |folder| {
            if folder.is_dir() {
                return Ok(());
            }
            fs::create_dir_all(folder)?;
            // Each new name above it, too; folders we may not open are not ours to sync.
            for above in folder.ancestors().skip(1).take_while(|a| !a.as_os_str().is_empty()) {
                if File::open(above).and_then(|f| f.sync_all()).is_err() {
                    break;
                }
            }
            Ok(())
        })
        .await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>, Error> {
        let file = blocking(path, |path| OpenOptions::new().write(true).create_new(true).open(path)).await?;
        Ok(Box::new(LocalWriter { path: path.into(), file: Arc::new(file), new: true }))
    }

    async fn append(&self, path: &str) -> Result<Box<dyn Writer>, Error> {
        let file = blocking(path, |path| OpenOptions::new().append(true).open(path)).await?;
        Ok(Box::new(LocalWriter { path: path.into(), file: Arc::new(file), new: false }))
    }

    async fn recover(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    fn locks(&self) -> bool {
        true
    }

    async fn lock(&self, path: &str) -> Result<Box<dyn Send + Sync>, Error> {
        blocking(path, |path| {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            match file.try_lock() {
                Ok(()) => Ok(file),
                Err(fs::TryLockError::WouldBlock) => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
                Err(fs::TryLockError::Error(error)) => Err(error),
            }
        })
        .await
        .map(|file| Box::new(file) as Box<dyn Send + Sync>)
    }

    async fn check_folder(&self, folder: &str) -> Result<(), Error> {
        blocking(folder, |folder| {
            let found = folder.ancestors().find(|a| a.exists()).unwrap_or(Path::new("/"));
            if !found.is_dir() {
                return Err(io::Error::new(
                    io::ErrorKind::NotADirectory,
                    format!("`{}` is a file, and a folder is needed", found.display()),
                ));
            }
            // A file without a name: gone as soon as it is closed.
            tempfile::tempfile_in(found).map(drop).map_err(|error| {
                io::Error::new(error.kind(), format!("folder `{}` cannot be written: {error}", found.display()))
            })
        })
        .await
    }

    fn slow_close(&self) -> bool {
        false
    }

    async fn settle(&self) {}
}

/// Permissions before the umask.
fn readable() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o666)
}

struct LocalWriter {
    path: String,
    file: Arc<File>,
    /// Whether the name in the folder is not synced yet.
    new: bool,
}

#[async_trait]
impl Writer for LocalWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let file = self.file.clone();
        blocking(&self.path, move |_| (&*file).write_all(&bytes)).await
    }

    async fn sync(&mut self) -> Result<(), Error> {
        let (file, new) = (self.file.clone(), self.new);
        blocking(&self.path, move |path| {
            file.sync_data()?;
            if new { sync_folder(path) } else { Ok(()) }
        })
        .await?;
        self.new = false;
        Ok(())
    }

    async fn close(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_in_a_folder_that_goes_is_never_free() {
        const NAMES: usize = 100;
        let root = tempfile::tempdir().unwrap();
        let draft = root.path().join("draft");
        fs::write(&draft, "late").unwrap();
        for round in 0..8 {
            let folder = root.path().join(round.to_string());
            fs::create_dir(&folder).unwrap();
            (0..NAMES).for_each(|name| fs::write(folder.join(name.to_string()), "first").unwrap());
            let (draft, late) = (draft.clone(), folder.clone());
            let sleeper = std::thread::spawn(move || {
                for name in (0..NAMES).cycle() {
                    let put = fs::hard_link(&draft, late.join(name.to_string()));
                    match put.map_err(|error| error.kind()) {
                        Err(io::ErrorKind::AlreadyExists) => {}
                        other => return other,
                    }
                }
                unreachable!("names go round and round")
            });
            Local.delete(folder.to_str().unwrap()).await.unwrap();
            assert_eq!(sleeper.join().unwrap(), Err(io::ErrorKind::NotFound), "a number is taken once");
            assert!(!folder.exists());
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left");
    }
}
