//! The engine, its nodes, the API server and the controller of a test.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use geofence_fleet::authority::SETTINGS;
use geofence_fleet::keys::Subject;
use geofence_fleet::release::{Release, Trial};
use geofence_fleet::rollout::{Fleet, Plan};
use geofence_tests::wait::poll;
use geofence_user::config::ExceptionSpec;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::api::{Api, condition};
use crate::engine::{Etcd, Running, port};
use crate::nodes::Nodes;

const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Site {
    pub(crate) api: Api,
    pub(crate) nodes: Nodes,
    // It ends before the engine does.
    controller: Option<Running>,
    engine: Etcd,
    listen: String,
    runtime: Runtime,
    directory: TempDir,
}

impl Site {
    pub(crate) fn start(nodes: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let engine = Etcd::start(directory.path(), &runtime)?;
        let mut site = Self {
            api: Api::start()?,
            nodes: Nodes::start(nodes, engine.root.clone())?,
            controller: None,
            engine,
            listen: format!("127.0.0.1:{}", port()?),
            runtime,
            directory,
        };
        let count = nodes.len();
        let known = site.poll(|fleet, runtime| {
            let nodes = runtime.block_on(fleet.nodes())?;
            Ok((nodes.len() == count).then_some(()))
        })?;
        known.context("the nodes do not report")?;
        site.start_controller()?;
        Ok(site)
    }

    pub(crate) fn start_controller(&mut self) -> Result<()> {
        let kubeconfig = self.directory.path().join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: \"http://{}\"}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test, namespace: default}}}}]\n\
             users: [{{name: test, user: {{}}}}]\n",
            self.api.address
        );
        fs::write(&kubeconfig, text)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("controller.log"))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_geofence-controller"));
        command
            .args(["run", "--listen", &self.listen, "--settings"])
            .arg(self.directory.path().join(SETTINGS))
            .env("KUBECONFIG", &kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.controller = Some(Running(command.spawn().context("starting the controller")?));
        Ok(())
    }

    /// Ends the controller as a pod is ended, which must succeed.
    pub(crate) fn stop_controller(&mut self) -> Result<()> {
        let mut controller = self.controller.take().context("no controller runs")?;
        let id = controller.0.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status()?;
        ensure!(status.success(), "kill {id}");
        let ended = poll(PATIENCE, || Ok(controller.0.try_wait()?))?;
        let ended = ended.context("the controller does not end")?;
        ensure!(ended.success(), "{ended}: {}", self.log());
        Ok(())
    }

    fn log(&self) -> String {
        let path = self.directory.path().join("controller.log");
        fs::read_to_string(path).unwrap_or_default()
    }

    pub(crate) fn kill_engine(&mut self) -> Result<()> {
        self.engine.kill();
        Ok(())
    }

    pub(crate) fn restart_engine(&mut self) -> Result<()> {
        self.engine.restart(&self.runtime)
    }

    pub(crate) fn metrics(&self) -> Result<String> {
        let answer = ureq::get(format!("http://{}/metrics", self.listen)).call()?;
        Ok(answer.into_body().read_to_string()?)
    }

    fn fleet(&self) -> Result<Fleet> {
        self.runtime
            .block_on(Fleet::connect(self.engine.settings.clone()))
    }

    fn poll<T>(
        &self,
        mut look: impl FnMut(&mut Fleet, &Runtime) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut fleet = self.fleet()?;
        poll(PATIENCE, || look(&mut fleet, &self.runtime))
    }

    /// Waits until an object is as wanted.
    fn await_object(
        &self,
        (plural, name): (&str, &str),
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let found = poll(PATIENCE, || {
            Ok(self.api.get(plural, name).filter(|object| is(object)))
        })?;
        let Some(found) = found else {
            let last = self.api.get(plural, name).unwrap_or_default();
            bail!("{plural}/{name} is not {what}: {last:#}\n{}", self.log());
        };
        Ok(found)
    }

    /// Waits until a condition of an object is about its present generation, and says this.
    pub(crate) fn await_condition(
        &self,
        plural: &str,
        name: &str,
        kind: &str,
        status: &str,
        reason: &str,
    ) -> Result<Value> {
        let what = format!("{kind}={status}, {reason}");
        self.await_object((plural, name), &what, |object| {
            let found = condition(object, kind);
            found["status"] == status
                && found["reason"] == reason
                && found["observedGeneration"] == object["metadata"]["generation"]
        })
    }

    /// The same, of a generation.
    pub(crate) fn await_generation(
        &self,
        plural: &str,
        name: &str,
        generation: i64,
        reason: &str,
    ) -> Result<Value> {
        let object = self.await_condition(plural, name, "Ready", "True", reason)?;
        ensure!(
            object["status"]["observedGeneration"] == generation,
            "{object:#}"
        );
        Ok(object)
    }

    pub(crate) fn await_gone(&self, plural: &str, name: &str) -> Result<()> {
        let gone = poll(PATIENCE, || {
            Ok(self.api.get(plural, name).is_none().then_some(()))
        })?;
        gone.with_context(|| format!("{plural}/{name} is still there: {}", self.log()))
    }

    pub(crate) fn exception(&self, id: &str) -> Result<Option<ExceptionSpec>> {
        let mut fleet = self.fleet()?;
        let found = self.runtime.block_on(fleet.exception(id))?;
        Ok(found.and_then(|(spec, _)| spec))
    }

    pub(crate) fn await_exception(
        &self,
        id: &str,
        is: impl Fn(&ExceptionSpec) -> bool,
    ) -> Result<()> {
        let found = self.poll(|fleet, runtime| {
            let found = runtime.block_on(fleet.exception(id))?;
            Ok(found.and_then(|(spec, _)| spec).filter(&is).map(drop))
        })?;
        found.with_context(|| format!("{id} is another: {}", self.log()))
    }

    pub(crate) fn await_no_exception(&self, id: &str) -> Result<()> {
        let gone = self.poll(|fleet, runtime| {
            let found = runtime.block_on(fleet.exception(id))?;
            Ok(found.is_none().then_some(()))
        })?;
        gone.with_context(|| format!("{id} is still there: {}", self.log()))
    }

    /// The names of all exceptions.
    pub(crate) fn exceptions(&self) -> Result<Vec<String>> {
        let mut fleet = self.fleet()?;
        let prefix = fleet.keys.exceptions();
        let (entries, _) = self.runtime.block_on(fleet.engine.list(&prefix))?;
        let names = entries
            .iter()
            .filter_map(|one| one.key.strip_prefix(&prefix));
        Ok(names.map(str::to_owned).collect())
    }

    /// Adds an exception as the command does.
    pub(crate) fn put_foreign_exception(&self, id: &str) -> Result<()> {
        let spec = ExceptionSpec {
            id: id.to_owned(),
            from: vec!["192.0.2.1".to_owned()],
            to: vec!["any".to_owned()],
            owner: "operator".to_owned(),
            reason: "by command".to_owned(),
            ..ExceptionSpec::default()
        };
        let mut fleet = self.fleet()?;
        self.runtime.block_on(fleet.add_exception(&spec)).map(drop)
    }

    pub(crate) fn release(&self, subject: &Subject) -> Result<Option<Release>> {
        let mut fleet = self.fleet()?;
        let found = self.runtime.block_on(fleet.release(subject))?;
        Ok(found.map(|(release, _)| release))
    }

    /// The content that the engine has of a release.
    pub(crate) fn content(&self, subject: &Subject) -> Result<Vec<u8>> {
        let release = self.release(subject)?.context("no release")?;
        let mut fleet = self.fleet()?;
        let key = fleet.keys.content(subject, &release.content.sha256);
        let found = self.runtime.block_on(fleet.engine.get(&key))?;
        Ok(found.context("no content")?.value)
    }

    /// Releases a policy as the command does, and takes it to all nodes.
    pub(crate) fn release_by_command(&self, subject: &Subject, text: &[u8]) -> Result<()> {
        let mut fleet = self.fleet()?;
        self.runtime.block_on(async {
            let content = fleet
                .put_content(subject, text.to_vec(), Vec::new())
                .await?;
            let plan = Plan {
                content,
                trial: Trial::NONE,
                owner: "operator".to_owned(),
                reason: "by command".to_owned(),
                is_rollback: false,
            };
            fleet.publish(subject, plan).await?;
            fleet.roll_out(subject, &mut |_| Ok(())).await.map(drop)
        })
    }

    /// Returns to the content before, as the command does.
    pub(crate) fn revert_by_command(&self, subject: &Subject) -> Result<()> {
        let before = self.release(subject)?.and_then(|release| release.before);
        let plan = Plan {
            content: before.context("nothing to return to")?,
            trial: Trial::NONE,
            owner: "operator".to_owned(),
            reason: "back".to_owned(),
            is_rollback: true,
        };
        let mut fleet = self.fleet()?;
        self.runtime
            .block_on(fleet.publish(subject, plan))
            .map(drop)
    }

    pub(crate) fn freeze(&self, is_frozen: bool) -> Result<()> {
        let mut fleet = self.fleet()?;
        let key = fleet.keys.freeze();
        self.runtime.block_on(async {
            if is_frozen {
                fleet.engine.put(&key, b"{}".to_vec(), None).await?;
            } else {
                fleet.engine.delete(&key).await?;
            }
            Ok(())
        })
    }
}
