//! A member of etcd with TLS on this machine's own address, and the authority that it is made by.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use geofence_fleet::authority::{Authority, Member, SETTINGS, enable_roles};
use geofence_fleet::engine::Engine;
use geofence_fleet::keys::Keys;
use geofence_fleet::settings::Settings;
use geofence_tests::wait::poll;
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(60);

/// A program that is killed when it goes out of scope.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free now.
pub(crate) fn port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

pub(crate) struct Etcd {
    directory: PathBuf,
    ports: [u16; 2],
    running: Option<Running>,
    pub(crate) settings: Settings,
    /// The settings of the engine's `root`, who may write what nodes write.
    pub(crate) root: Settings,
}

impl Etcd {
    /// Makes the authority, starts the member, and has it ask who a client is.
    pub(crate) fn start(directory: &Path, runtime: &Runtime) -> Result<Self> {
        let member: Member = "e1=127.0.0.1".parse().map_err(anyhow::Error::msg)?;
        Authority::create(directory, &"main".parse()?, &[member])?;
        let ports = [port()?, port()?];
        let file = directory.join(SETTINGS);
        let text = fs::read_to_string(&file)?;
        fs::write(&file, text.replace(":2379", &format!(":{}", ports[0])))?;
        let settings = Settings::load(&file)?;
        let mut member = Self {
            directory: directory.to_owned(),
            ports,
            running: None,
            root: Authority::of(&settings).as_root(&settings),
            settings,
        };
        member.restart(runtime)?;
        let keys = Keys::of(&member.settings.fleet);
        runtime.block_on(async {
            let mut engine = Engine::connect(&member.root).await?;
            enable_roles(&mut engine, &keys).await
        })?;
        Ok(member)
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn restart(&mut self, runtime: &Runtime) -> Result<()> {
        let [clients, peers] = self.ports.map(|port| format!("https://127.0.0.1:{port}"));
        let file = |name: &str| self.directory.join(name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(file("etcd.log"))?;
        let mut command = Command::new("etcd");
        command
            .args(["--name", "e1", "--log-level", "error", "--logger", "zap"])
            .args(["--client-cert-auth", "--peer-client-cert-auth"])
            .args(["--listen-client-urls", &clients])
            .args(["--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers])
            .args(["--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("e1={peers}")])
            .arg("--data-dir")
            .arg(file("data"));
        for (option, name) in [
            ("--trusted-ca-file", "authority.pem"),
            ("--cert-file", "member-e1.pem"),
            ("--key-file", "member-e1.key"),
            ("--peer-trusted-ca-file", "peers.pem"),
            ("--peer-cert-file", "peer-e1.pem"),
            ("--peer-key-file", "peer-e1.key"),
        ] {
            command.arg(option).arg(file(name));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.running = Some(Running(child.spawn().context("starting etcd")?));
        let answers = poll(PATIENCE, || {
            let connected = runtime.block_on(Engine::connect(&self.root));
            Ok(connected.is_ok().then_some(()))
        })?;
        answers.with_context(|| {
            let log = fs::read_to_string(file("etcd.log"));
            format!("etcd does not answer: {}", log.unwrap_or_default())
        })
    }

    /// Kills it without notice.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }
}
