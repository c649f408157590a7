//! The engine: etcd v3, over TLS with a certificate of each client.
//!
//! A client is connected to one member at a time. Connections to all members at once would triple what a large fleet
//! costs them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, DeleteOptions, EventType, GetOptions,
    Identity, KeyValue, PutOptions, SortOrder, SortTarget, TlsOptions, Txn, TxnOp, WatchOptions,
    WatchStream,
};
use geofence_user::model::text::with_causes;
use rand::seq::SliceRandom as _;

use crate::keys::{Name, Range};
use crate::settings::Settings;

/// The largest value. Larger ones delay the watches of everybody.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// How many keys are read at once.
const PAGE: i64 = 1000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent connection is asked whether it still is one, and how long that answer may take.
const ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// Why the engine did not do it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("cannot read {path}: {cause}")]
    File { path: String, cause: std::io::Error },
    #[error("{endpoint}: {cause}")]
    Connect { endpoint: String, cause: String },
    #[error("the engine answers: {0}")]
    Refused(String),
    #[error("the engine cannot answer now: {0}")]
    Away(String),
    #[error("{}", FULL)]
    Full,
    #[error("the engine has not answered within {} s", ANSWER_TIMEOUT.as_secs())]
    Silent,
    #[error("{key} would have {size} bytes, and a value has at most {VALUE_BYTES_MAX}")]
    TooLarge { key: String, size: usize },
    #[error("the engine no longer has what changed since revision {0}")]
    Compacted(i64),
    #[error(
        "the engine does not know the node {0}, so nothing changes here: run `geofence-fleet bootstrap node {0}`"
    )]
    UnknownNode(Name),
    #[error("the engine ended the watch: {0}")]
    WatchEnded(String),
}

/// Codes of gRPC by which a call has failed for now, whatever it was: the connection broke, or the members are
/// choosing a leader. https://grpc.io/docs/guides/status-codes/
const CANCELLED: i32 = 1;
const UNKNOWN: i32 = 2;
const DEADLINE_EXCEEDED: i32 = 4;
const UNAVAILABLE: i32 = 14;

/// What an operator does about it is in docs/fleet.md too.
pub const FULL: &str = "the engine is out of space and accepts no writes; nodes can still read. Delete what is not \
    needed, then free the space: `etcdctl compact REVISION`, `etcdctl defrag` on each member, `etcdctl alarm disarm` \
    (docs/fleet.md)";

impl From<etcd_client::Error> for EngineError {
    fn from(error: etcd_client::Error) -> Self {
        let text = with_causes(&error);
        if text.contains("database space exceeded") {
            return Self::Full;
        }
        let code = if let etcd_client::Error::GRpcStatus(status) = &error {
            status.code().into()
        } else {
            0
        };
        let is_away = matches!(code, CANCELLED | UNKNOWN | DEADLINE_EXCEEDED | UNAVAILABLE)
            || matches!(error, etcd_client::Error::TransportError(_));
        if is_away {
            Self::Away(text)
        } else {
            Self::Refused(text)
        }
    }
}

impl EngineError {
    /// Whether the engine cannot be reached now, and the same call may succeed later.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Away(_) | Self::Silent)
    }
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Vec<u8>,
    /// The revision that wrote it.
    pub revision: i64,
}

impl Entry {
    fn of(pair: &KeyValue) -> Self {
        Self {
            key: String::from_utf8_lossy(pair.key()).into_owned(),
            value: pair.value().to_vec(),
            revision: pair.mod_revision(),
        }
    }
}

/// A change that a watch reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    /// The new value; nothing if the key was deleted.
    pub value: Option<Vec<u8>>,
}

/// A connection to a member.
#[derive(Clone)]
pub struct Engine {
    client: Client,
    endpoint: String,
}

/// Waits for an answer.
async fn answer<T>(
    call: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(EngineError::Silent),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    fs::read(path).map_err(|cause| EngineError::File {
        path: path.display().to_string(),
        cause,
    })
}

impl Engine {
    /// Connects to a member, and to the next one if that does not answer.
    ///
    /// # Errors
    /// Why the last one could not be reached, or a file of the settings not be read.
    pub async fn connect(settings: &Settings) -> Result<Self, EngineError> {
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(read(&settings.authority)?))
            .identity(Identity::from_pem(
                read(&settings.certificate)?,
                read(&settings.key)?,
            ));
        let mut endpoints = settings.endpoints.clone();
        endpoints.shuffle(&mut rand::rng());
        let mut result = Err(EngineError::Silent);
        for endpoint in endpoints {
            result = Self::connect_to(endpoint, tls.clone()).await;
            if result.is_ok() {
                break;
            }
        }
        result
    }

    async fn connect_to(endpoint: String, tls: TlsOptions) -> Result<Self, EngineError> {
        let options = ConnectOptions::new()
            .with_tls(tls)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_keep_alive(ALIVE.0, ALIVE.1)
            .with_require_leader(true);
        let failed = |cause: String| EngineError::Connect {
            endpoint: endpoint.clone(),
            cause,
        };
        let client = Client::connect([&endpoint], Some(options)).await;
        let mut client = client.map_err(|error| failed(with_causes(&error)))?;
        // The client connects with its first call. This one needs no right.
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, client.status()).await;
        match asked {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(failed(with_causes(&error))),
            Err(_) => {
                let seconds = ANSWER_TIMEOUT.as_secs();
                return Err(failed(format!("no answer within {seconds} s")));
            }
        }
        Ok(Self { client, endpoint })
    }

    /// The member.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What the member says is wrong with the engine, in sentences.
    pub async fn alarms(&mut self) -> Result<Vec<String>, EngineError> {
        let status = answer(self.client.status()).await?;
        let all = status.errors().iter().map(|text| {
            if text.contains("NOSPACE") {
                FULL.to_owned()
            } else {
                text.clone()
            }
        });
        Ok(all.collect())
    }

    /// The client itself, for what only `bootstrap` does.
    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Every key that begins so, and the engine's revision when it was read.
    ///
    /// # Errors
    /// As everywhere here: why the engine did not do it.
    pub async fn list(&mut self, prefix: &str) -> Result<(Vec<Entry>, i64), EngineError> {
        self.list_range(&Range::below(prefix.to_owned())).await
    }

    /// Every key of a range, and the engine's revision when it was read.
    pub async fn list_range(&mut self, range: &Range) -> Result<(Vec<Entry>, i64), EngineError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut revision = 0;
        let mut from = range.from.as_bytes().to_vec();
        loop {
            let options = GetOptions::new()
                .with_range(range.before.as_str())
                .with_sort(SortTarget::Key, SortOrder::Ascend)
                .with_limit(PAGE)
                // Later pages are of the same revision as the first.
                .with_revision(revision);
            let page = answer(self.client.get(from.clone(), Some(options))).await?;
            if revision == 0 {
                revision = page.header().map_or(0, |header| header.revision());
            }
            entries.extend(page.kvs().iter().map(Entry::of));
            match page.kvs().last() {
                Some(last) if page.more() => {
                    from = last.key().to_vec();
                    from.push(0);
                }
                _ => return Ok((entries, revision)),
            }
        }
    }

    /// One key.
    pub async fn get(&mut self, key: &str) -> Result<Option<Entry>, EngineError> {
        let found = answer(self.client.get(key, None)).await?;
        Ok(found.kvs().first().map(Entry::of))
    }

    /// Writes a key, whatever it was; with a lease, the key goes when that ends.
    pub async fn put(
        &mut self,
        key: &str,
        value: Vec<u8>,
        lease: Option<i64>,
    ) -> Result<(), EngineError> {
        check_size(key, &value)?;
        let options = lease.map(|lease| PutOptions::new().with_lease(lease));
        answer(self.client.put(key, value, options)).await?;
        Ok(())
    }

    /// Writes a key if it still is of this revision; zero if it must not exist. Returns the engine's revision, or
    /// nothing if the key has changed.
    pub async fn replace(
        &mut self,
        key: &str,
        value: Vec<u8>,
        revision: i64,
    ) -> Result<Option<i64>, EngineError> {
        check_size(key, &value)?;
        let txn = Txn::new()
            .when([Compare::mod_revision(key, CompareOp::Equal, revision)])
            .and_then([TxnOp::put(key, value, None)]);
        let done = answer(self.client.txn(txn)).await?;
        let revision = done.header().map_or(0, |header| header.revision());
        Ok(done.succeeded().then_some(revision))
    }

    /// Deletes a key; returns the engine's revision, or nothing if there was none.
    pub async fn delete(&mut self, key: &str) -> Result<Option<i64>, EngineError> {
        let options = DeleteOptions::new();
        let done = answer(self.client.delete(key, Some(options))).await?;
        let revision = done.header().map_or(0, |header| header.revision());
        Ok((done.deleted() > 0).then_some(revision))
    }

    /// Deletes a key if it still is of this revision.
    pub async fn delete_old(&mut self, entry: &Entry) -> Result<(), EngineError> {
        let key = entry.key.as_str();
        let txn = Txn::new()
            .when([Compare::mod_revision(key, CompareOp::Equal, entry.revision)])
            .and_then([TxnOp::delete(key, None)]);
        answer(self.client.txn(txn)).await?;
        Ok(())
    }

    /// A lease that ends this long after the last `keep`.
    pub async fn lease(&mut self, lasts: Duration) -> Result<i64, EngineError> {
        let seconds = i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX);
        let lease = answer(self.client.lease_grant(seconds, None)).await?;
        Ok(lease.id())
    }

    /// Extends a lease.
    pub async fn keep(&mut self, lease: i64) -> Result<(), EngineError> {
        let (mut keeper, mut answers) = answer(self.client.lease_keep_alive(lease)).await?;
        answer(keeper.keep_alive()).await?;
        match answer(answers.message()).await? {
            Some(kept) if kept.ttl() > 0 => Ok(()),
            _ => Err(EngineError::Refused("the lease has ended".to_owned())),
        }
    }

    /// Reports what changes in a range after this revision.
    pub async fn watch(&mut self, range: &Range, after: i64) -> Result<Watch, EngineError> {
        let options = WatchOptions::new()
            .with_range(range.before.as_str())
            .with_start_revision(after.saturating_add(1))
            .with_watch_id(RANGE_ID)
            .with_progress_notify();
        let stream = answer(self.client.watch(range.from.as_str(), Some(options))).await?;
        Ok(Watch {
            stream,
            after,
            ids: RANGE_ID,
        })
    }
}

/// The number of the range in a watch. Single keys that are watched beside it have the numbers from there on.
const RANGE_ID: i64 = 1;

/// A running watch.
#[derive(Debug)]
pub struct Watch {
    stream: WatchStream,
    after: i64,
    /// The last number that was given.
    ids: i64,
}

impl Watch {
    /// Reports what becomes of a key as well.
    pub async fn add(&mut self, key: &str, after: i64) -> Result<(), EngineError> {
        self.ids = self.ids.saturating_add(1);
        let options = WatchOptions::new()
            .with_start_revision(after.saturating_add(1))
            .with_watch_id(self.ids);
        answer(self.stream.watch(key, Some(options))).await
    }

    /// The next changes, and the engine's revision up to which the range has been seen. There are no changes if the
    /// engine only says that it lives.
    ///
    /// # Errors
    /// When the watch has ended: the engine is away, or no longer has what changed.
    pub async fn next(&mut self) -> Result<(Vec<Change>, i64), EngineError> {
        let message = self.stream.message().await?;
        let Some(message) = message else {
            let text = "the connection was closed".to_owned();
            return Err(EngineError::WatchEnded(text));
        };
        if message.compact_revision() != 0 {
            return Err(EngineError::Compacted(self.after));
        }
        if message.canceled() {
            let text = message.cancel_reason().to_owned();
            return Err(EngineError::WatchEnded(text));
        }
        let header = message.header().map_or(0, |header| header.revision());
        if message.created() {
            // The header has the engine's revision, and what changed up to it comes later. An engine that is behind is
            // another one, or was restored.
            if header < self.after {
                return Err(EngineError::Compacted(self.after));
            }
            return Ok((Vec::new(), self.after));
        }
        if message.watch_id() == RANGE_ID {
            let last = message.events().last().and_then(|event| event.kv());
            self.after = last.map_or(header, KeyValue::mod_revision);
        }
        let changes = message.events().iter().filter_map(|event| {
            let pair = event.kv()?;
            let value = (event.event_type() == EventType::Put).then(|| pair.value().to_vec());
            Some(Change {
                key: String::from_utf8_lossy(pair.key()).into_owned(),
                value,
            })
        });
        Ok((changes.collect(), self.after))
    }
}

fn check_size(key: &str, value: &[u8]) -> Result<(), EngineError> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(EngineError::TooLarge {
            key: key.to_owned(),
            size: value.len(),
        });
    }
    Ok(())
}
