//! Objects of Amazon S3 and of services that speak its protocol.
//!
//! There are no folders: a prefix of names that are there counts as one, and an object is put under any name. A *put if
//! absent* is a PUT with `If-None-Match: *`, which a service may know nothing of and pass over in silence, so
//! [`prove_puts`](Storage::prove_puts) tries it out. A *rename* is a copy and a delete: who dies between them leaves both,
//! and the next one to try finds that they are equal. An object that is being written is not there before it is synced,
//! and cannot grow afterwards.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
};
use tokio::io::AsyncWriteExt;

use foretell_connect::storage::{Entry, Error, ErrorKind, Reader, Reading, Stat, Storage, Writer, file_name};

use crate::scheme::Scheme;
use crate::settings::S3Settings;

/// `s3://`, or `s3a://` as Hadoop writes it.
pub(super) const SCHEME: Scheme = Scheme {
    names: &["s3", "s3a"],
    example: "s3://bucket/path",
    shared: true,
    credentials: "credentials come from `s3: { access_key_id: …, secret_access_key: … }` or the environment",
    open: |address, settings| {
        let s3 = S3::connect(address.authority, &settings.s3)?;
        Ok((Arc::new(s3), address.path()))
    },
    appends: false,
};

/// For a connection; a service that takes longer counts as away.
const CONNECT: Duration = Duration::from_secs(10);
/// For one request and its answer.
const REQUEST: Duration = Duration::from_secs(60);
/// For one request with all its retries.
const RETRIES: RetryConfig = RetryConfig {
    backoff: object_store::BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    },
    max_retries: 5,
    retry_timeout: Duration::from_secs(60),
};

/// What a writer holds back before it sends a part, and how many parts are on their way at once.
const PART: usize = 8 << 20;
const PARTS: usize = 2;
/// The service copies what has up to 5 GiB by itself; what is larger goes through this machine. Less in tests, which
/// have no such objects.
const COPIED: u64 = if cfg!(test) { 3 << 20 } else { 5 << 30 };

/// One bucket.
#[derive(Debug, Clone)]
pub struct S3 {
    bucket: String,
    store: Arc<AmazonS3>,
}

/// Where credentials come from when the pipeline file has none.
const CREDENTIALS: [AmazonS3ConfigKey; 4] = [
    AmazonS3ConfigKey::AccessKeyId,
    AmazonS3ConfigKey::WebIdentityTokenFile,
    AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    AmazonS3ConfigKey::ContainerCredentialsFullUri,
];

impl S3 {
    /// A client for a bucket. Reaches nothing yet.
    ///
    /// # Errors
    /// No credentials; an address that cannot be right.
    pub fn connect(bucket: &str, settings: &S3Settings) -> Result<S3, Error> {
        let place = format!("s3://{bucket}");
        let wrong = |what: String| Error::new(ErrorKind::Settings, place.clone(), what);
        let client = ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(REQUEST);
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(RETRIES);
        builder = match &settings.endpoint {
            Some(endpoint) if endpoint.contains('@') => {
                return Err(wrong(
                    "`endpoint` holds no user or password: they are `access_key_id` and `secret_access_key`".into(),
                ));
            }
            Some(endpoint) if endpoint.starts_with("http://") || endpoint.starts_with("https://") => {
                builder.with_endpoint(endpoint.trim_end_matches('/'))
            }
            Some(_) => return Err(wrong("`endpoint` begins with `http://` or `https://`".into())),
            None => builder,
        };
        // Of the settings, or of `AWS_ENDPOINT_URL`.
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        let plain = endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let path_style = settings.path_style.unwrap_or(endpoint.is_some());
        builder = builder
            .with_client_options(client.with_allow_http(plain))
            .with_virtual_hosted_style_request(!path_style)
            .with_skip_signature(settings.anonymous);
        if let Some(region) = &settings.region {
            builder = builder.with_region(region);
        }
        match (&settings.access_key_id, &settings.secret_access_key) {
            (Some(id), Some(secret)) => {
                builder = builder.with_access_key_id(id).with_secret_access_key(secret.reveal());
            }
            (Some(_), None) => return Err(wrong("`secret_access_key` is missing beside `access_key_id`".into())),
            (None, Some(_)) => return Err(wrong("`access_key_id` is missing beside `secret_access_key`".into())),
            (None, None) => {
                let given = |key| builder.get_config_value(key).is_some_and(|value| !value.is_empty());
                let known = CREDENTIALS.iter().any(given);
                if !known && !settings.anonymous {
                    return Err(wrong(
                        "no credentials: give `s3: { access_key_id: { env: … }, secret_access_key: { env: … } }`, set \
                         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or say `anonymous: true`"
                            .into(),
                    ));
                }
            }
        }
        if let Some(token) = &settings.session_token {
            builder = builder.with_token(token.reveal());
        }
        let store = builder.build().map_err(|error| wrong(error.to_string()))?;
        Ok(S3 { bucket: bucket.into(), store: Arc::new(store) })
    }

    fn key(&self, path: &str) -> Result<Path, Error> {
        Path::parse(path.trim_start_matches('/'))
            .map_err(|error| Error::new(ErrorKind::Settings, self.url(path), error.to_string()))
    }
}

/// The service's own code for an error, where it gave one.
fn code(error: &object_store::Error) -> Option<String> {
    let text = error.to_string();
    let (code, _) = text.split_once("<Code>")?.1.split_once("</Code>")?;
    (code.len() < 100 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then(|| code.to_owned())
}

/// What is not among the usual answers.
fn unexpected(code: Option<&str>) -> String {
    match code {
        Some(code) => format!("the service answers `{code}`"),
        None => "the service does not answer as it should".into(),
    }
}

fn convert(place: &str, error: object_store::Error) -> Error {
    use object_store::Error as Store;
    let code = code(&error);
    let (kind, what) = match &error {
        // It passes when the clock is right again, and says nothing of the key.
        _ if code.as_deref() == Some("RequestTimeTooSkewed") => (
            ErrorKind::Unavailable,
            "the service refuses the time of the request: this machine's clock and the service's are too far apart"
                .into(),
        ),
        Store::NotFound { .. } => (ErrorKind::Missing, "no such object or bucket".to_string()),
        Store::AlreadyExists { .. } => (ErrorKind::Exists, "the object is there already".into()),
        Store::Precondition { .. } | Store::NotModified { .. } => {
            (ErrorKind::Changed, "the object was replaced".into())
        }
        Store::PermissionDenied { .. } => {
            (ErrorKind::Settings, "access is denied: may this key read and list the bucket?".into())
        }
        Store::Unauthenticated { .. } => (ErrorKind::Settings, "the credentials are refused".into()),
        Store::InvalidPath { .. } | Store::NotSupported { .. } | Store::NotImplemented { .. } => {
            (ErrorKind::Settings, error.to_string())
        }
        _ => (ErrorKind::Unavailable, unexpected(code.as_deref())),
    };
    tracing::debug!("{place}: {error}");
    Error::new(kind, place, what)
}

fn stat(meta: &ObjectMeta) -> Stat {
    let modified = meta.last_modified.timestamp_millis();
    Stat {
        length: meta.size,
        folder: false,
        modified,
        version: meta.e_tag.clone().unwrap_or_else(|| modified.to_string()),
    }
}

#[async_trait]
impl Reading for S3 {
    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        let prefix = self.key(folder)?;
        let place = self.url(folder);
        let found =
            self.store.list_with_delimiter(Some(&prefix)).await.map_err(|error| self.of_bucket(folder, error))?;
        let folders = found.common_prefixes.iter().map(|prefix| Entry {
            name: file_name(prefix.as_ref()).into(),
            stat: Stat { folder: true, ..Stat::default() },
        });
        let objects =
            found.objects.iter().map(|meta| Entry { name: file_name(meta.location.as_ref()).into(), stat: stat(meta) });
        let mut entries: Vec<Entry> = folders.chain(objects).collect();
        if entries.is_empty() && !prefix.as_ref().is_empty() {
            return Err(Error::new(ErrorKind::Missing, place, "nothing is stored under this name"));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    async fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        let key = self.key(path)?;
        if !key.as_ref().is_empty() {
            match self.store.head(&key).await {
                Ok(meta) => return Ok(Some(stat(&meta))),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(convert(&self.url(path), error)),
            }
        }
        // S3 has no folders: a prefix of other names counts as one.
        match self.store.list(Some(&key)).next().await {
            Some(Ok(_)) => Ok(Some(Stat { folder: true, ..Stat::default() })),
            Some(Err(object_store::Error::NotFound { .. })) | None => Ok(None),
            Some(Err(error)) => Err(convert(&self.url(path), error)),
        }
    }

    async fn reader(&self, path: &str, stat: &Stat) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(S3Reader { s3: self.clone(), path: path.into(), key: self.key(path)?, stat: stat.clone() }))
    }

    fn url(&self, path: &str) -> String {
        format!("s3://{}{path}", self.bucket)
    }
}

struct S3Reader {
    s3: S3,
    path: String,
    key: Path,
    stat: Stat,
}

#[async_trait]
impl Reader for S3Reader {
    async fn read(&self, from: u64, to: u64, mut into: Vec<u8>) -> Result<Vec<u8>, Error> {
        let to = to.min(self.stat.length);
        if from >= to {
            return Ok(into);
        }
        let place = self.s3.url(&self.path);
        let if_match = self.stat.version.starts_with('"').then(|| self.stat.version.clone());
        let options = GetOptions { range: Some(GetRange::Bounded(from..to)), if_match, ..GetOptions::default() };
        let answer = self.s3.store.get_opts(&self.key, options).await.map_err(|error| convert(&place, error))?;
        let bytes = answer.bytes().await.map_err(|error| convert(&place, error))?;
        into.extend_from_slice(&bytes);
        Ok(into)
    }
}

#[async_trait]
impl Storage for S3 {
    async fn create_new(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = self.store.put_opts(&self.key(path)?, bytes.into(), options).await;
        put.map(|_| ()).map_err(|error| convert(&self.url(path), error))
    }

    async fn read(&self, path: &str) -> Result<Bytes, Error> {
        let convert = |error| convert(&self.url(path), error);
        self.store.get(&self.key(path)?).await.map_err(convert)?.bytes().await.map_err(convert)
    }

    async fn read_range(&self, path: &str, from: u64, to: u64) -> Result<Bytes, Error> {
        self.store.get_range(&self.key(path)?, from..to).await.map_err(|error| convert(&self.url(path), error))
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        let key = self.key(path)?;
        let convert = |error| convert(&self.url(path), error);
        let within = self.store.list(Some(&key)).map_ok(|meta| meta.location).boxed();
        let own = futures::stream::once(std::future::ready(Ok(key.clone()))).boxed();
        self.store.delete_stream(within.chain(own).boxed()).try_for_each(|_| std::future::ready(Ok(()))).await.or_else(
            |error| match error {
                object_store::Error::NotFound { .. } => Ok(()),
                error => Err(convert(error)),
            },
        )
    }

    async fn rename_new(&self, from: &str, to: &str) -> Result<(), Error> {
        let (source, target) = (self.key(from)?, self.key(to)?);
        let meta = self.store.head(&source).await.map_err(|error| convert(&self.url(from), error))?;
        match self.store.head(&target).await {
            Err(object_store::Error::NotFound { .. }) if meta.size <= COPIED => {
                self.store.copy(&source, &target).await.map_err(|error| convert(&self.url(to), error))?;
            }
            Err(object_store::Error::NotFound { .. }) => self.copy_through(from, meta.size, to).await?,
            Ok(there) if self.equal(from, meta.size, to, there.size).await? => {}
            Ok(_) => return Err(Error::new(ErrorKind::Exists, self.url(to), "another object is there already")),
            Err(error) => return Err(convert(&self.url(to), error)),
        }
        self.store.delete(&source).await.map_err(|error| convert(&self.url(from), error))
    }

    async fn mkdirs(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>, Error> {
        Ok(Box::new(self.write_to(path)?))
    }

    async fn append(&self, path: &str) -> Result<Box<dyn Writer>, Error> {
        Err(Error::new(ErrorKind::Settings, self.url(path), "an object of S3 cannot be appended to"))
    }

    async fn recover(&self, path: &str) -> Result<(), Error> {
        // What is there is whole, and a write that is under way can only replace it by itself.
        match self.stat(path).await? {
            Some(_) => Ok(()),
            None => Err(Error::new(ErrorKind::Missing, self.url(path), "no such object")),
        }
    }

    fn locks(&self) -> bool {
        false
    }

    async fn lock(&self, _: &str) -> Result<Box<dyn Send + Sync>, Error> {
        Ok(Box::new(()))
    }

    async fn check_folder(&self, folder: &str) -> Result<(), Error> {
        // An upload that is begun and given up asks for the right to write, and leaves nothing.
        let key = self.key(&format!("{folder}/probe"))?;
        let mut upload = self.store.put_multipart(&key).await.map_err(|error| self.of_bucket(folder, error))?;
        upload.abort().await.map_err(|error| self.of_bucket(folder, error))?;
        match self.list(folder).await {
            Err(error) if error.kind != ErrorKind::Missing => Err(error),
            _ => Ok(()),
        }
    }

    fn folders(&self) -> bool {
        false
    }

    async fn prove_puts(&self, folder: &str) -> Result<(), Error> {
        let probe = format!("{folder}/probe-{}", uuid::Uuid::new_v4().simple());
        match self.create_new(&probe, Bytes::from_static(b"first")).await {
            Err(error) if error.kind == ErrorKind::Missing => return Err(self.no_bucket()),
            first => first?,
        }
        let again = self.create_new(&probe, Bytes::from_static(b"second")).await;
        self.delete(&probe).await?;
        match again {
            Err(error) if error.kind == ErrorKind::Exists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Err(Error::new(
                ErrorKind::Settings,
                self.url(folder),
                "the service replaces an object in spite of `If-None-Match: *`: without conditional writes, results \
                 cannot land exactly once here",
            )),
        }
    }

    fn slow_close(&self) -> bool {
        // Copying and deleting, which follow, take three more requests.
        true
    }

    async fn settle(&self) {}
}

impl S3 {
    /// An error of a request that does not need an object to be there.
    fn of_bucket(&self, path: &str, error: object_store::Error) -> Error {
        match error {
            object_store::Error::NotFound { .. } => self.no_bucket(),
            error => convert(&self.url(path), error),
        }
    }

    fn no_bucket(&self) -> Error {
        Error::new(
            ErrorKind::Settings,
            format!("s3://{}", self.bucket),
            "no such bucket: create it, or correct the name",
        )
    }

    fn write_to(&self, path: &str) -> Result<S3Writer, Error> {
        let writer = BufWriter::with_capacity(self.store.clone(), self.key(path)?, PART).with_max_concurrency(PARTS);
        Ok(S3Writer { place: self.url(path), writer: Mutex::new(writer), synced: false })
    }

    async fn copy_through(&self, from: &str, size: u64, to: &str) -> Result<(), Error> {
        let mut writer = self.write_to(to)?;
        let mut at = 0;
        while at < size {
            let end = size.min(at.saturating_add(PART as u64));
            writer.write(self.read_range(from, at, end).await?).await?;
            at = end;
        }
        writer.sync().await
    }

    /// Whether two objects hold the same bytes.
    async fn equal(&self, one: &str, size: u64, other: &str, others: u64) -> Result<bool, Error> {
        let mut at = 0;
        while size == others && at < size {
            let end = size.min(at.saturating_add(PART as u64));
            if self.read_range(one, at, end).await? != self.read_range(other, at, end).await? {
                return Ok(false);
            }
            at = end;
        }
        Ok(size == others)
    }
}

/// An object in the making: small ones are put at once, larger ones by parts.
struct S3Writer {
    place: String,
    /// Never locked: it cannot be shared by itself, which a writer must be.
    writer: Mutex<BufWriter>,
    synced: bool,
}

impl S3Writer {
    fn inner(&mut self) -> &mut BufWriter {
        self.writer.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Writer for S3Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.inner().put(bytes).await.map_err(|error| convert(&self.place, error))
    }

    async fn sync(&mut self) -> Result<(), Error> {
        if !self.synced {
            let done = self.inner().shutdown().await;
            done.map_err(|error| {
                tracing::debug!("{}: {error}", self.place);
                Error::new(ErrorKind::Unavailable, &self.place, "the upload did not end as it should")
            })?;
            self.synced = true;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), Error> {
        self.sync().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_passes_and_a_key_that_is_refused_does_not() {
        let denied = |code: &str| {
            let source = format!("<Error><Code>{code}</Code><Message>…</Message></Error>").into();
            convert("s3://bucket/a", object_store::Error::PermissionDenied { path: "a".into(), source })
        };
        let skewed = denied("RequestTimeTooSkewed");
        assert_eq!(skewed.kind, ErrorKind::Unavailable);
        assert!(skewed.to_string().contains("clock"), "{skewed}");
        let refused = denied("AccessDenied");
        assert_eq!(refused.kind, ErrorKind::Settings);
        assert!(refused.to_string().contains("access is denied"), "{refused}");
    }
}
