//! A storage that dies at its n-th change: before it, after it, or, of a write, in the middle. From then on it answers
//! nothing, as a killed process would not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use foretell_connect::storage::{Entry, Error, ErrorKind, Reader, Reading, Stat, Storage, Writer};

/// When it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    Before,
    /// Of a write, a half of its bytes is there; of another change, as [`Death::After`].
    Halfway,
    After,
}

#[derive(Debug)]
struct Life {
    /// Changes left.
    left: AtomicU64,
    death: Death,
}

enum Fate {
    Live,
    Die(Death),
}

impl Life {
    fn spend(&self) -> Result<Fate, Error> {
        let before = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(1)));
        match before.unwrap() {
            0 => Err(dead()),
            1 => Ok(Fate::Die(self.death)),
            _ => Ok(Fate::Live),
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.left.load(Ordering::SeqCst) == 0 { Err(dead()) } else { Ok(()) }
    }

    async fn run<T>(&self, act: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match self.spend()? {
            Fate::Live => act.await,
            Fate::Die(Death::Before) => Err(dead()),
            Fate::Die(_) => act.await.and(Err(dead())),
        }
    }
}

fn dead() -> Error {
    Error { kind: ErrorKind::Unavailable, place: "test".into(), what: "dead".into() }
}

#[derive(Debug)]
pub(super) struct Mortal {
    inner: Arc<dyn Storage>,
    life: Arc<Life>,
}

impl Mortal {
    /// Of this storage; its `changes`-th change, from 1, is the last.
    pub(super) fn new(inner: Arc<dyn Storage>, changes: u64, death: Death) -> Arc<Mortal> {
        Arc::new(Mortal { inner, life: Arc::new(Life { left: AtomicU64::new(changes), death }) })
    }
}

#[async_trait]
impl Reading for Mortal {
    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        self.life.check()?;
        self.inner.list(folder).await
    }
    async fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        self.life.check()?;
        self.inner.stat(path).await
    }
    async fn reader(&self, path: &str, stat: &Stat) -> Result<Box<dyn Reader>, Error> {
        self.life.check()?;
        self.inner.reader(path, stat).await
    }
    fn url(&self, path: &str) -> String {
        self.inner.url(path)
    }
}

#[async_trait]
impl Storage for Mortal {
    async fn create_new(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        self.life.run(self.inner.create_new(path, bytes)).await
    }
    async fn read(&self, path: &str) -> Result<Bytes, Error> {
        self.life.check()?;
        self.inner.read(path).await
    }
    async fn read_range(&self, path: &str, from: u64, to: u64) -> Result<Bytes, Error> {
        self.life.check()?;
        self.inner.read_range(path, from, to).await
    }
    async fn delete(&self, path: &str) -> Result<(), Error> {
        self.life.run(self.inner.delete(path)).await
    }
    async fn rename_new(&self, from: &str, to: &str) -> Result<(), Error> {
        self.life.run(self.inner.rename_new(from, to)).await
    }
    async fn mkdirs(&self, folder: &str) -> Result<(), Error> {
        self.life.run(self.inner.mkdirs(folder)).await
    }
    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>, Error> {
        let inner = self.life.run(self.inner.writer(path)).await?;
        Ok(Box::new(MortalWriter { inner, life: self.life.clone() }))
    }
    async fn append(&self, path: &str) -> Result<Box<dyn Writer>, Error> {
        let inner = self.life.run(self.inner.append(path)).await?;
        Ok(Box::new(MortalWriter { inner, life: self.life.clone() }))
    }
    async fn recover(&self, path: &str) -> Result<(), Error> {
        self.life.check()?;
        self.inner.recover(path).await
    }
    fn locks(&self) -> bool {
        self.inner.locks()
    }
    async fn lock(&self, path: &str) -> Result<Box<dyn Send + Sync>, Error> {
        self.life.check()?;
        self.inner.lock(path).await
    }
    async fn check_folder(&self, folder: &str) -> Result<(), Error> {
        self.inner.check_folder(folder).await
    }
    fn folders(&self) -> bool {
        self.inner.folders()
    }
    async fn prove_puts(&self, folder: &str) -> Result<(), Error> {
        self.life.check()?;
        self.inner.prove_puts(folder).await
    }
    fn slow_close(&self) -> bool {
        self.inner.slow_close()
    }
    async fn settle(&self) {
        self.inner.settle().await;
    }
}

struct MortalWriter {
    inner: Box<dyn Writer>,
    life: Arc<Life>,
}

#[async_trait]
impl Writer for MortalWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        match self.life.spend()? {
            Fate::Live => self.inner.write(bytes).await,
            Fate::Die(Death::Before) => Err(dead()),
            Fate::Die(Death::After) => self.inner.write(bytes).await.and(Err(dead())),
            Fate::Die(Death::Halfway) => {
                self.inner.write(bytes.slice(..bytes.len() / 2)).await?;
                self.inner.sync().await.and(Err(dead()))
            }
        }
    }
    async fn sync(&mut self) -> Result<(), Error> {
        let life = self.life.clone();
        life.run(self.inner.sync()).await
    }
    async fn close(&mut self) -> Result<(), Error> {
        let life = self.life.clone();
        life.run(self.inner.close()).await
    }
}
