//! An API server that knows the resources: it keeps objects, applies patches and serves watches.
//!
//! Like the real one, it gives generations and resource versions, keeps an object that is deleted while it has
//! finalizers, and refuses a status that does not fit the schema.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use geofence_controller::crds;
use geofence_tests::wait::poll;
use geofence_user::model::units::UnixSeconds;
use jsonschema::Validator;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api_http;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    cluster: Arc<Shared>,
}

/// The objects, and a counter that wakes the watches.
pub(crate) struct Shared {
    cluster: Mutex<Cluster>,
    pub(crate) changed: watch::Sender<u64>,
}

#[derive(Default)]
pub(crate) struct Cluster {
    version: u64,
    objects: BTreeMap<(String, String), Value>,
    /// What watches report: the version, the kind of resource, and the event.
    pub(crate) events: Vec<(u64, String, Value)>,
    pub(crate) config_maps: BTreeMap<String, Value>,
    schemas: BTreeMap<String, Validator>,
    /// The oldest version that a watch may begin at.
    pub(crate) oldest: u64,
    pub(crate) is_failing: bool,
    pub(crate) failures: u64,
    pub(crate) lists: BTreeMap<String, u64>,
}

/// A condition of an object; null if it has none of the name.
pub(crate) fn condition(object: &Value, kind: &str) -> Value {
    let all = object["status"]["conditions"].as_array();
    let found = all.into_iter().flatten().find(|one| one["type"] == kind);
    found.cloned().unwrap_or_default()
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the objects, and wakes the watches.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Cluster) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
        result
    }
}

impl Cluster {
    /// All objects of a kind, and the version that they are of.
    pub(crate) fn list(&mut self, plural: &str) -> Value {
        *self.lists.entry(plural.to_owned()).or_default() += 1;
        let items = self.objects.iter().filter(|((kind, _), _)| kind == plural);
        let items: Vec<_> = items.map(|(_, object)| object.clone()).collect();
        let kind = format!("{}List", kind(plural));
        let version = self.version.to_string();
        json!({
            "apiVersion": "geofence.internal/v1alpha1", "kind": kind,
            "metadata": {"resourceVersion": version}, "items": items,
        })
    }

    fn get(&self, plural: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(plural.to_owned(), name.to_owned()))
    }

    /// Puts an object in place of the one before. One without finalizers that was to be deleted is gone then.
    fn put(&mut self, plural: &str, name: &str, mut object: Value) -> Result<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.check(plural, &object)?;
        let key = (plural.to_owned(), name.to_owned());
        let finalizers = object["metadata"]["finalizers"].as_array();
        let is_gone = object["metadata"]["deletionTimestamp"].is_string()
            && finalizers.is_none_or(Vec::is_empty);
        let kind = match (is_gone, self.objects.contains_key(&key)) {
            (true, _) => "DELETED",
            (false, true) => "MODIFIED",
            (false, false) => "ADDED",
        };
        if is_gone {
            self.objects.remove(&key);
        } else {
            self.objects.insert(key, object.clone());
        }
        let event = json!({"type": kind, "object": object});
        self.events.push((self.version, plural.to_owned(), event));
        Ok(object)
    }

    /// Compares an object with the schema of its kind.
    fn check(&self, plural: &str, object: &Value) -> Result<()> {
        let schema = self.schemas.get(plural).context("no such kind")?;
        let errors: Vec<_> = schema
            .iter_errors(object)
            .map(|one| one.to_string())
            .collect();
        ensure!(errors.is_empty(), "{errors:?}: {object}");
        Ok(())
    }

    /// Applies a patch as RFC 6902 or RFC 7386 has it. A patch of the status changes nothing else, and the other way.
    pub(crate) fn patch(
        &mut self,
        plural: &str,
        name: &str,
        is_status: bool,
        is_merge: bool,
        patch: &Value,
    ) -> Result<Option<Value>> {
        let Some(before) = self.get(plural, name) else {
            return Ok(None);
        };
        let mut after = before.clone();
        if is_merge {
            json_patch::merge(&mut after, patch);
        } else {
            // To a real API server, what is missing equals null.
            let metadata = after["metadata"].as_object_mut().context("no metadata")?;
            metadata.entry("finalizers").or_insert(Value::Null);
            let patch: json_patch::Patch = serde_json::from_value(patch.clone())?;
            json_patch::patch(&mut after, &patch)?;
        }
        let mut object = before.clone();
        if is_status {
            object["status"] = after["status"].take();
        } else {
            object["metadata"] = after["metadata"].take();
        }
        let metadata = object["metadata"].as_object_mut().context("no metadata")?;
        let is_empty = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
        if metadata.get("finalizers").is_some_and(is_empty) {
            metadata.remove("finalizers");
        }
        if object == *before {
            return Ok(Some(object));
        }
        self.put(plural, name, object).map(Some)
    }
}

fn kind(plural: &str) -> String {
    let all = crds::all();
    let found = all.iter().find(|one| one.spec.names.plural == plural);
    found.map_or_else(String::new, |one| one.spec.names.kind.clone())
}

impl Api {
    /// Serves on a port of this machine's own address, on a thread of its own.
    pub(crate) fn start() -> Result<Self> {
        let mut cluster = Cluster::default();
        for definition in crds::all() {
            let version = definition.spec.versions.first().context("no version")?;
            let schema = version.schema.as_ref().context("no schema")?;
            let schema = serde_json::to_value(&schema.open_api_v3_schema)?;
            let schema = jsonschema::validator_for(&schema).map_err(|error| error.to_owned())?;
            cluster.schemas.insert(definition.spec.names.plural, schema);
        }
        let cluster = Arc::new(Shared {
            cluster: Mutex::new(cluster),
            changed: watch::Sender::new(0),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let served = Arc::clone(&cluster);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                axum::serve(listener, api_http::routes(served)).await
            })
        });
        Ok(Self { address, cluster })
    }

    pub(crate) fn create(&self, plural: &str, name: &str, spec: &Value) -> Result<()> {
        let object = json!({
            "apiVersion": "geofence.internal/v1alpha1", "kind": kind(plural),
            "metadata": {
                "name": name, "uid": format!("{plural}-{name}"), "generation": 1,
                "creationTimestamp": UnixSeconds::now().to_string(),
            },
            "spec": spec,
        });
        self.cluster
            .change(|cluster| cluster.put(plural, name, object).map(drop))
    }

    fn update(&self, plural: &str, name: &str, update: impl FnOnce(&mut Value)) -> Result<()> {
        self.cluster.change(|cluster| {
            let mut object = cluster.get(plural, name).context("no such object")?.clone();
            update(&mut object);
            cluster.put(plural, name, object).map(drop)
        })
    }

    pub(crate) fn change(&self, plural: &str, name: &str, spec: &Value) -> Result<()> {
        self.update(plural, name, |object| {
            object["spec"] = spec.clone();
            let generation = object["metadata"]["generation"]
                .as_i64()
                .unwrap_or_default();
            object["metadata"]["generation"] = json!(generation + 1);
        })
    }

    /// Changes an annotation, so that the object is looked at again.
    pub(crate) fn touch(&self, plural: &str, name: &str) -> Result<()> {
        self.update(plural, name, |object| {
            object["metadata"]["annotations"] = json!({"touched": "yes"});
        })
    }

    pub(crate) fn delete(&self, plural: &str, name: &str) -> Result<()> {
        self.update(plural, name, |object| {
            object["metadata"]["deletionTimestamp"] = json!(UnixSeconds::now().to_string());
        })
    }

    pub(crate) fn get(&self, plural: &str, name: &str) -> Option<Value> {
        self.cluster.lock().get(plural, name).cloned()
    }

    pub(crate) fn config_map(&self, name: &str, key: &str, text: &str) {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default"}, "data": {key: text},
        });
        self.cluster.lock().config_maps.insert(name.to_owned(), map);
    }

    /// Ends every watch with 410 Gone: what has changed before now is no longer known.
    pub(crate) fn expire_watches(&self) {
        self.cluster.change(|cluster| {
            cluster.version += 1;
            cluster.oldest = cluster.version;
            cluster.events.clear();
        });
    }

    /// How often all objects of a kind were asked for.
    pub(crate) fn lists(&self, plural: &str) -> u64 {
        let cluster = self.cluster.lock();
        cluster.lists.get(plural).copied().unwrap_or_default()
    }

    /// Answers everything with 500, and ends the watches; or serves again.
    pub(crate) fn fail(&self, is_failing: bool) {
        self.cluster.change(|cluster| {
            cluster.is_failing = is_failing;
            cluster.failures = 0;
        });
    }

    /// Waits until this many requests have failed.
    pub(crate) fn await_failures(&self, count: u64) -> Result<()> {
        let failed = poll(PATIENCE, || {
            Ok((self.cluster.lock().failures >= count).then_some(()))
        })?;
        failed.context("the controller does not ask again")
    }
}
