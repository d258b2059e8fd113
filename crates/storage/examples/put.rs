//! Puts a file where none is, twice: the second is refused. The folder is the first argument, or a temporary one.

use std::error::Error;
use std::path::Path;

use foretell_connect::storage::ErrorKind;
use foretell_storage::StorageSettings;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args().nth(1).unwrap_or_else(|| temporary.path().display().to_string());
    let (storage, folder) = foretell_storage::open(&folder, Path::new("."), &StorageSettings::default())?;
    storage.mkdirs(&folder).await?;

    let path = format!("{folder}/record");
    storage.create_new(&path, "one".into()).await?;
    match storage.create_new(&path, "two".into()).await {
        Err(error) if error.kind == ErrorKind::Exists => println!("{} is there already", storage.url(&path)),
        other => println!("not what was promised: {other:?}"),
    }
    println!("{}", String::from_utf8_lossy(&storage.read(&path).await?));
    storage.delete(&path).await?;
    storage.settle().await;
    Ok(())
}
