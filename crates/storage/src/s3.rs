//! Objects of Amazon S3 and of services that speak its protocol: found and read, not written.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig};

use foretell_connect::storage::{Entry, Error, ErrorKind, Reader, Reading, Stat, file_name};

use crate::scheme::{Opened, Scheme};
use crate::settings::S3Settings;

/// `s3://`, or `s3a://` as Hadoop writes it.
pub(super) const SCHEME: Scheme = Scheme {
    names: &["s3", "s3a"],
    example: "s3://bucket/path",
    shared: true,
    credentials: "credentials come from `s3: { access_key_id: …, secret_access_key: … }` or the environment",
    open: |address, settings| {
        let s3 = S3::connect(address.authority, &settings.s3)?;
        Ok((Opened::Reading(Arc::new(s3)), address.path()))
    },
    writes: false,
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
        let plain = settings.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let path_style = settings.path_style.unwrap_or(settings.endpoint.is_some());
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
                let known = CREDENTIALS.iter().any(|key| builder.get_config_value(key).is_some());
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

fn convert(place: &str, error: object_store::Error) -> Error {
    use object_store::Error as Store;
    let (kind, what) = match &error {
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
        _ => (ErrorKind::Unavailable, "the service does not answer as it should".into()),
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
        let found = self.store.list_with_delimiter(Some(&prefix)).await.map_err(|error| convert(&place, error))?;
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
            Some(Err(error)) => Err(convert(&self.url(path), error)),
            None => Ok(None),
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
