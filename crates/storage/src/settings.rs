//! What kinds of storage need to know beside an address.

use foretell_connect::secret::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// What kinds of storage need to know beside the address. A kind without settings has nothing here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageSettings {
    /// How S3 is reached.
    pub s3: S3Settings,
}

/// How S3 is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    /// The region. Default: `AWS_REGION`, else `us-east-1`.
    #[serde(default)]
    pub(super) region: Option<String>,
    /// The service's address, where it is not Amazon's: `https://minio.local:9000`. Default: `AWS_ENDPOINT_URL`.
    #[serde(default)]
    pub(super) endpoint: Option<String>,
    /// The access key's id. Default: `AWS_ACCESS_KEY_ID`.
    #[serde(default)]
    pub(super) access_key_id: Option<String>,
    /// The secret access key. Default: `AWS_SECRET_ACCESS_KEY`.
    #[serde(default)]
    pub(super) secret_access_key: Option<Secret>,
    /// The token of temporary credentials. Default: `AWS_SESSION_TOKEN`.
    #[serde(default)]
    pub(super) session_token: Option<Secret>,
    /// Whether the bucket stands in the path (`https://host/bucket/key`) and not in the host's name. Default: yes where
    /// there is an endpoint.
    #[serde(default)]
    pub(super) path_style: Option<bool>,
    /// Whether the bucket is read without credentials.
    #[serde(default)]
    pub(super) anonymous: bool,
}
