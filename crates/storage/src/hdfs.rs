//! Files of a Hadoop cluster.
//!
//! What was measured against Hadoop 3.4 and shapes this file:
//! - A sync during which a DataNode dies never returns: every call has a timeout, after which its outcome is unknown.
//! - A close often costs half a second (the NameNode hears of the last block a few milliseconds too late, and the client then
//!   sleeps before it asks again), a sync 1–2 ms. So nothing here waits for a close that durability does not need: a file is
//!   written, synced, renamed, and closed in the background. The close finds the file by its id, so the rename does not
//!   disturb it. Where a close has to be waited for, the sleep is cut short, and only after a sync: bytes that are on their
//!   way when a close is cut are lost, and where the DataNode was slow the lease has to be recovered, seconds for each block.
//! - A file that is open, or that a crash left open, reads without its last block and without an error, while its
//!   length is told right: `read` compares the two.
//! - A file that grows fast is refused its next block until the NameNode has heard of the one before
//!   (`NotReplicatedYetException`), which the client does not wait out: at the end of a block the file is closed and opened
//!   again.
//! - A crashed writer's lease blocks for a minute; asking for its recovery takes less than a second and ends the former
//!   writer's stream, so that it can add nothing more.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hdfs_native::client::FileStatus;
use hdfs_native::file::{FileReader, FileWriter};
use hdfs_native::{Client, ClientBuilder, HdfsError, WriteOptions};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use foretell_connect::storage::path::host;
use foretell_connect::storage::{Entry, Error, ErrorKind, Reader, Reading, Stat, Storage, Writer, file_name, parent};

use crate::scheme::Scheme;

/// `hdfs://`.
pub(super) const SCHEME: Scheme = Scheme {
    names: &["hdfs"],
    example: "hdfs://host:port/path",
    shared: true,
    credentials: "the user comes from the environment variable HADOOP_USER_NAME",
    open: |address, _| {
        let hdfs = Hdfs::connect(&host(address.authority))?;
        Ok((Arc::new(hdfs), address.path()))
    },
    appends: true,
};

/// For one call of the NameNode, its retries while it restarts included.
const CALL: Duration = Duration::from_secs(45);
/// For one write or sync. Too short costs a claim and nothing else; the client itself gives a frozen DataNode up after
/// 60 s, and then hangs.
const STREAM: Duration = Duration::from_secs(30);
/// For a lease to be recovered: 31 s were seen after a DataNode froze.
const RECOVERY: Duration = Duration::from_secs(90);
/// How long another writer's open file is waited for before its lease is taken: a close in the background takes 0.5 s.
const GRACE: Duration = Duration::from_secs(2);
/// How long the first try of a close has, in times of what the last sync took, and within what limits. The DataNode's part of
/// it is one answer, as a sync is; where it is cut short nothing is lost, but the lease has to be recovered.
const TRY: u32 = 20;
const SHORTEST_TRY: Duration = Duration::from_millis(20);
const LONGEST_TRY: Duration = Duration::from_secs(2);
/// After how long a close asks the NameNode again, at first and at last, and for how long in all.
const ASK: Duration = Duration::from_millis(10);
const LAST_ASK: Duration = Duration::from_millis(160);
const ASKING: Duration = Duration::from_secs(4);
/// No block is smaller than this, unless an administrator allows it.
const SMALLEST_BLOCK: u64 = 1 << 20;
/// Files being closed in the background: at 0.5 s each, 64 commits a second.
const CLOSING: usize = 32;

/// One HDFS, as one user: with Kerberos whom the ticket or the keytab is of, else `HADOOP_USER_NAME` or the system's.
#[derive(Debug, Clone)]
pub struct Hdfs {
    authority: String,
    client: Client,
    background: TaskTracker,
    closing: Arc<Semaphore>,
}

impl Hdfs {
    /// A client for `host:port`, for the name service that `HADOOP_CONF_DIR` describes, or (empty) for its default.
    /// Reaches nothing yet.
    ///
    /// # Errors
    /// No such name service.
    pub fn connect(authority: &str) -> Result<Self, Error> {
        Self::connect_with(authority, config_folder())
    }

    /// As [`Hdfs::connect`], with the folder that holds core-site.xml and hdfs-site.xml.
    ///
    /// # Errors
    /// As [`Hdfs::connect`].
    pub fn connect_with(authority: &str, config: Option<PathBuf>) -> Result<Self, Error> {
        let place = format!("hdfs://{authority}");
        let settings = |what: String| Error::new(ErrorKind::Settings, place.clone(), what);
        if authority.contains('@') {
            return Err(settings("the user comes from the environment variable HADOOP_USER_NAME, not the URL".into()));
        }
        let mut builder = ClientBuilder::new()
            .with_url(format!("hdfs://{authority}/"))
            // By default the client waits up to 15 s between attempts: a NameNode that is back would be found late.
            .with_config([
                ("dfs.client.failover.sleep.base.millis", "100"),
                ("dfs.client.failover.sleep.max.millis", "500"),
                ("dfs.client.failover.max.attempts", "50"),
            ]);
        if let Some(folder) = config.as_deref().and_then(|folder| folder.to_str()) {
            builder = builder.with_config_dir(folder);
        }
        let client = builder.build().map_err(|error| match error {
            HdfsError::InvalidArgument(what) if what.contains("No fs.defaultFS") => settings(
                "the address names no host, and `HADOOP_CONF_DIR` no `fs.defaultFS`: write hdfs://host:port/path"
                    .into(),
            ),
            HdfsError::InvalidArgument(what) if what.contains("No NameNode hosts") => settings(format!(
                "`{authority}` has no port, and no hdfs-site.xml in HADOOP_CONF_DIR names its NameNodes \
                 (`dfs.ha.namenodes.{authority}`)"
            )),
            error => settings(error.to_string()),
        })?;
        Ok(Hdfs {
            authority: authority.into(),
            client,
            background: TaskTracker::new(),
            closing: Arc::new(Semaphore::new(CLOSING)),
        })
    }

    async fn call<T>(
        &self,
        path: &str,
        limit: Duration,
        act: impl Future<Output = Result<T, HdfsError>>,
    ) -> Result<T, Error> {
        within(&self.url(path), limit, act).await
    }

    async fn status(&self, path: &str) -> Result<Option<FileStatus>, Error> {
        match self.call(path, CALL, self.client.get_file_info(path)).await {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind == ErrorKind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, path: &str) -> Result<HdfsWriter, Error> {
        let options = WriteOptions::default().create_parent(false);
        let writer = self.call(path, CALL, self.client.create(path, options)).await?;
        Ok(self.writing(path, writer, 0))
    }

    fn writing(&self, path: &str, writer: FileWriter, length: u64) -> HdfsWriter {
        let (path, place) = (path.into(), self.url(path));
        HdfsWriter { hdfs: self.clone(), path, place, writer: Some(writer), length, block: None, synced: None }
    }

    /// Closes a synced file in the background; a draft that is not needed is deleted then.
    async fn close_later(&self, mut writer: HdfsWriter, draft: Option<String>) {
        let (permit, this) = (self.closing.clone().acquire_owned().await, self.clone());
        self.background.spawn(async move {
            // What was synced stays; an unclosed file is recovered by whoever needs it.
            if let Err(error) = writer.close().await {
                tracing::debug!("{error}");
            }
            if let Some(draft) = draft {
                // Best effort: it goes with its folder in any case.
                this.delete(&draft).await.ok();
            }
            drop(permit);
        });
    }
}

/// Bounds a call in time. The outcome of a call that took longer is unknown.
async fn within<T>(place: &str, limit: Duration, act: impl Future<Output = Result<T, HdfsError>>) -> Result<T, Error> {
    match timeout(limit, act).await {
        Ok(result) => result.map_err(|error| convert(place, error)),
        Err(_) => Err(Error::new(ErrorKind::Unavailable, place, format!("no answer within {} s", limit.as_secs()))),
    }
}

/// What lets one in where Kerberos is asked for.
const KERBEROS: &str = "`HADOOP_CONF_DIR` must name a core-site.xml with `hadoop.security.authentication: kerberos`, and there must \
                        be a ticket (`kinit`) or a keytab (`KRB5_CLIENT_KTNAME`)";

fn config_folder() -> Option<PathBuf> {
    let home = || std::env::var_os("HADOOP_HOME").map(|home| PathBuf::from(home).join("etc/hadoop"));
    std::env::var_os("HADOOP_CONF_DIR").map(PathBuf::from).or_else(home)
}

fn convert(place: &str, error: HdfsError) -> Error {
    let error_of = |kind, what: String| {
        // Java's messages go on with a stack trace.
        Error::new(kind, place, what.lines().next().unwrap_or_default().trim().to_string())
    };
    match error {
        HdfsError::AlreadyExists(what) => error_of(ErrorKind::Exists, what),
        HdfsError::FileNotFound(_) => error_of(ErrorKind::Missing, "no such file or folder".into()),
        HdfsError::NoSASLMechanism => {
            error_of(ErrorKind::Settings, format!("the NameNode asks for Kerberos: {KERBEROS}"))
        }
        // A ticket may come again, and a centre that is away too: a run waits for them.
        HdfsError::SASLError(what) | HdfsError::GSSAPIError(_, _, what) => {
            error_of(ErrorKind::Unavailable, format!("Kerberos: {what}: {KERBEROS}"))
        }
        // It says no word to a client that has none of Kerberos.
        HdfsError::IOError(error) if error.to_string().contains("listener disconnected") => {
            error_of(ErrorKind::Unavailable, format!("the NameNode ended the connection; if it asks for Kerberos, {KERBEROS}"))
        }
        HdfsError::OperationFailed(what) if what.contains("libgssapi") => error_of(
            ErrorKind::Settings,
            "the NameNode asks for Kerberos, whose library libgssapi_krb5.so.2 is not there: install `libgssapi-krb5-2` \
             (Debian, Ubuntu) or `krb5-libs` (Fedora, RHEL)"
                .into(),
        ),
        HdfsError::InvalidPath(_) | HdfsError::IsADirectoryError(_) | HdfsError::UnsupportedFeature(_) => {
            error_of(ErrorKind::Settings, error.to_string())
        }
        HdfsError::RPCError(class, what) | HdfsError::FatalRPCError(class, what) => {
            let name = class.rsplit(['.', '$']).next().unwrap_or(&class);
            match name {
                "FileNotFoundException" => error_of(ErrorKind::Missing, what),
                "AccessControlException" if what.contains("authentication is not enabled") => {
                    error_of(ErrorKind::Settings, format!("the NameNode asks for Kerberos: {KERBEROS}"))
                }
                "AccessControlException"
                | "AuthorizationException"
                | "ParentNotDirectoryException"
                | "DSQuotaExceededException"
                | "NSQuotaExceededException"
                | "InvalidPathException"
                | "PathComponentTooLongException"
                | "MaxDirectoryItemsExceededException"
                | "UnresolvedPathException" => error_of(ErrorKind::Settings, what),
                _ => error_of(ErrorKind::Unavailable, format!("{name}: {what}")),
            }
        }
        other => error_of(ErrorKind::Unavailable, other.to_string()),
    }
}

fn stat(status: &FileStatus) -> Stat {
    let modified = i64::try_from(status.modification_time).unwrap_or(i64::MAX);
    Stat { length: status.length as u64, folder: status.isdir, modified, version: modified.to_string() }
}

#[async_trait]
impl Reading for Hdfs {
    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        let found = self.call(folder, CALL, self.client.list_status(folder, false)).await?;
        let mut entries: Vec<Entry> =
            found.iter().map(|status| Entry { name: file_name(&status.path).into(), stat: stat(status) }).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    async fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        Ok(self.status(path).await?.as_ref().map(stat))
    }

    async fn reader(&self, path: &str, _: &Stat) -> Result<Box<dyn Reader>, Error> {
        let reader = self.call(path, CALL, self.client.read(path)).await?;
        Ok(Box::new(HdfsReader { place: self.url(path), reader }))
    }

    fn url(&self, path: &str) -> String {
        format!("hdfs://{}{path}", self.authority)
    }
}

struct HdfsReader {
    place: String,
    reader: FileReader,
}

#[async_trait]
impl Reader for HdfsReader {
    async fn read(&self, from: u64, to: u64, mut into: Vec<u8>) -> Result<Vec<u8>, Error> {
        let end = self.reader.file_length() as u64;
        let (from, to) = (from.min(end) as usize, to.min(end) as usize);
        let begin = into.len();
        into.resize(begin + to.saturating_sub(from), 0);
        let read = self.reader.read_range_buf(&mut into[begin..], from);
        within(&self.place, STREAM * 4, read).await?;
        Ok(into)
    }
}

#[async_trait]
impl Storage for Hdfs {
    async fn create_new(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        // Creating under the final name would show an empty file first: rename is the atomic act.
        let draft = format!("{}/.{}.{}", parent(path), file_name(path), uuid::Uuid::new_v4().simple());
        let mut writer = self.create(&draft).await?;
        writer.write(bytes).await?;
        writer.sync().await?;
        let renamed = self.rename_new(&draft, path).await;
        self.close_later(writer, renamed.is_err().then_some(draft)).await;
        renamed
    }

    async fn read(&self, path: &str) -> Result<Bytes, Error> {
        let patience = Instant::now() + GRACE;
        let mut recovered = false;
        loop {
            let length = self.status(path).await?.map_or(0, |status| status.length);
            let reader = self.call(path, CALL, self.client.read(path)).await?;
            if reader.file_length() >= length {
                return self.call(path, STREAM * 4, reader.read_range(0, reader.file_length())).await;
            }
            if recovered {
                let what = format!("{length} bytes are told, {} can be read", reader.file_length());
                return Err(Error::new(ErrorKind::Unavailable, self.url(path), what));
            }
            if Instant::now() < patience {
                sleep(Duration::from_millis(30)).await;
            } else {
                self.recover(path).await?;
                recovered = true;
            }
        }
    }

    async fn read_range(&self, path: &str, from: u64, to: u64) -> Result<Bytes, Error> {
        let reader = self.call(path, CALL, self.client.read(path)).await?;
        let end = to.min(reader.file_length() as u64);
        let length = end.saturating_sub(from) as usize;
        self.call(path, STREAM * 4, reader.read_range(from.min(end) as usize, length)).await
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        self.call(path, CALL, self.client.delete(path, true)).await.map(|_| ())
    }

    async fn rename_new(&self, from: &str, to: &str) -> Result<(), Error> {
        self.call(from, CALL, self.client.rename(from, to, false)).await
    }

    async fn mkdirs(&self, folder: &str) -> Result<(), Error> {
        self.call(folder, CALL, self.client.mkdirs(folder, 0o755, true)).await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>, Error> {
        Ok(Box::new(self.create(path).await?))
    }

    async fn append(&self, path: &str) -> Result<Box<dyn Writer>, Error> {
        let length = self.status(path).await?.map_or(0, |status| status.length as u64);
        let writer = self.call(path, CALL, self.client.append(path)).await?;
        Ok(Box::new(self.writing(path, writer, length)))
    }

    async fn recover(&self, path: &str) -> Result<(), Error> {
        let deadline = Instant::now() + RECOVERY;
        loop {
            match timeout_at(deadline, self.client.recover_lease(path)).await {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    let error = convert(&self.url(path), error);
                    // A recovery that is under way is told as an error, too.
                    if error.kind != ErrorKind::Unavailable || Instant::now() > deadline {
                        return Err(error);
                    }
                }
                Err(_) => {
                    // Seen where the writer died while the DataNode was in the middle of a write: it was interrupted, and
                    // what it holds in memory and on disk differ (`Block length mismatch`) until it starts again.
                    let what = format!(
                        "the lease of a writer that died was not recovered within {} s; a DataNode that is down, or whose log \
                         says `Block length mismatch`, has to be started again",
                        RECOVERY.as_secs()
                    );
                    return Err(Error::new(ErrorKind::Unavailable, self.url(path), what));
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn locks(&self) -> bool {
        false
    }

    async fn lock(&self, _: &str) -> Result<Box<dyn Send + Sync>, Error> {
        Ok(Box::new(()))
    }

    async fn check_folder(&self, folder: &str) -> Result<(), Error> {
        // The client goes on trying for half a minute, which is right in mid-run: here the address is in question.
        if self.authority.contains(':') {
            let connected = timeout(Duration::from_secs(5), tokio::net::TcpStream::connect(&self.authority)).await;
            let what = match connected {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer within 5 s".into()),
            };
            if let Some(what) = what {
                let what = format!("the NameNode cannot be reached: {what}");
                return Err(Error::new(ErrorKind::Unavailable, self.url(""), what));
            }
        }
        let mut at = folder;
        loop {
            match self.stat(at).await? {
                Some(found) if found.folder => return Ok(()),
                Some(_) => return Err(Error::new(ErrorKind::Settings, self.url(folder), format!("`{at}` is a file"))),
                None if at == "/" => return Ok(()),
                None => at = parent(at),
            }
        }
    }

    fn slow_close(&self) -> bool {
        true
    }

    async fn settle(&self) {
        self.background.close();
        // Each task is bounded in time by its own calls.
        self.background.wait().await;
        self.background.reopen();
    }
}

/// A file being written. After an error or a timeout its stream is finished: the client's own state is unknown then.
struct HdfsWriter {
    hdfs: Hdfs,
    path: String,
    place: String,
    writer: Option<FileWriter>,
    /// The file's length.
    length: u64,
    /// The length of its blocks, once it matters.
    block: Option<u64>,
    /// How long the last sync took, where nothing was written since.
    synced: Option<Duration>,
}

impl HdfsWriter {
    fn open(&mut self) -> Result<&mut FileWriter, Error> {
        let ended = || Error::new(ErrorKind::Unavailable, &self.place, "the stream ended with an earlier error");
        self.writer.as_mut().ok_or_else(ended)
    }

    fn ended<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.writer = None;
        }
        result
    }

    /// How many bytes the current block can take; 0 where it is full.
    async fn room(&mut self) -> Result<u64, Error> {
        if self.length < SMALLEST_BLOCK {
            return Ok(SMALLEST_BLOCK - self.length);
        }
        let block = match self.block {
            Some(block) => block,
            None => {
                let status = self.hdfs.status(&self.path).await?;
                *self.block.insert(status.and_then(|status| status.blocksize).unwrap_or(u64::MAX).max(1))
            }
        };
        Ok((block - self.length % block) % block)
    }

    /// Writes into the current block.
    async fn fill(&mut self, bytes: Bytes) -> Result<(), Error> {
        let (place, length) = (self.place.clone(), bytes.len() as u64);
        self.synced = None;
        within(&place, STREAM, self.open()?.write_bytes(bytes)).await?;
        self.length += length;
        Ok(())
    }

    /// Closes the file, whose last block is full, and opens it again.
    async fn reopen(&mut self) -> Result<(), Error> {
        self.close().await?;
        let (hdfs, path) = (self.hdfs.clone(), self.path.clone());
        self.writer = Some(hdfs.call(&path, CALL, hdfs.client.append(&path)).await?);
        Ok(())
    }

    async fn write_on(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() {
            let mut room = self.room().await?;
            if room == 0 {
                self.reopen().await?;
                room = self.block.unwrap_or(SMALLEST_BLOCK);
            }
            let part = bytes.split_to(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.fill(part).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Writer for HdfsWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let result = self.write_on(bytes).await;
        self.ended(result)
    }

    async fn sync(&mut self) -> Result<(), Error> {
        let (place, begun) = (self.place.clone(), Instant::now());
        let result = within(&place, STREAM, self.open()?.hsync()).await;
        self.synced = result.is_ok().then(|| begun.elapsed());
        self.ended(result)
    }

    async fn close(&mut self) -> Result<(), Error> {
        if self.synced.is_none() {
            self.sync().await?;
        }
        let place = self.place.clone();
        let mut patience = self.synced.unwrap_or_default().saturating_mul(TRY).clamp(SHORTEST_TRY, LONGEST_TRY);
        let (mut ask, deadline) = (ASK, Instant::now() + patience + ASKING);
        let writer = self.open()?;
        // The first try ends the last block and hands its length in, then the client sleeps for half a second before it asks
        // again whether the block has been reported. Asking anew by ourselves is quicker.
        while Instant::now() < deadline {
            match timeout(patience, writer.close()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(_)) => break,
                Err(_) => {}
            }
            patience = ask;
            ask = (ask * 2).min(LAST_ASK);
        }
        // The first try was cut short before it had done its part, or failed: what was synced is not lost by that.
        self.writer = None;
        self.hdfs.recover(&self.path).await.map_err(|error| Error { place, ..error })
    }
}
