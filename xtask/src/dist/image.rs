//! The container image, made by buildah without a daemon and without running anything in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::files::{copy, copy_folder, recreate, size};
use super::release::Release;
use crate::{process, workspace};

/// What the archive may have at most, in bytes.
const BYTES_MAX: u64 = 30_000_000;

/// What an image is made of.
pub(super) struct Image {
    name: &'static str,
    /// What it is made by, in `deploy/container`.
    file: &'static str,
    /// What it has of the tree: no page, unit or completion is of use in it.
    parts: &'static [&'static str],
    /// Directories that a container is given.
    directories: &'static [&'static str],
}

/// The image of the filter.
pub(super) const GEOFENCE: Image = Image {
    name: "geofence",
    file: "Containerfile",
    parts: &[
        "usr/sbin/geofence",
        "usr/share/doc/geofence/LICENSE-MIT",
        "usr/share/doc/geofence/LICENSE-APACHE",
        "usr/share/doc/geofence/GEOIP.md",
        "usr/share/geofence/geofence.toml",
    ],
    directories: &[
        "etc/geofence",
        "proc",
        "run/geofence",
        "sys/fs/bpf",
        "tmp",
        "var/lib/geofence",
    ],
};

/// The image of a fleet's controller.
pub(super) const CONTROLLER: Image = Image {
    name: "geofence-controller",
    file: "controller.Containerfile",
    parts: &[
        "usr/sbin/geofence-controller",
        "usr/share/doc/geofence-controller/LICENSE-MIT",
        "usr/share/doc/geofence-controller/LICENSE-APACHE",
    ],
    directories: &["etc/geofence-fleet", "tmp"],
};

/// Makes an image from the tree with the static binary, and puts it into an archive.
pub(super) fn make(release: &Release, image: &Image, stage: &Path, out: &Path) -> Result<PathBuf> {
    let context = workspace::scratch("dist/image")?;
    recreate(&context)?;
    let container = workspace::root().join("deploy/container");
    copy_folder(&container, &context)?;
    for part in image.parts {
        copy(
            &stage.join("root").join(part),
            &context.join("root").join(part),
        )?;
    }
    for directory in image.directories {
        let path = context.join("root").join(directory);
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    }
    // Whatever files of a new clone may be for others, everyone may read the image.
    let mut modes = process::command("chmod");
    process::capture(
        modes
            .args(["--recursive", "u=rwX,go=rX"])
            .arg(context.join("root")),
    )?;
    let name = format!("localhost/{}:{}", image.name, release.version);
    let mut build = buildah()?;
    build.args(["build", "--layers=false", "--isolation=chroot"]);
    build.args(["--timestamp", &release.epoch, "--tag", &name]);
    build.arg(format!(
        "--label=org.opencontainers.image.title={}",
        image.name
    ));
    build.arg(format!(
        "--label=org.opencontainers.image.version={}",
        release.version
    ));
    build.arg("--label=org.opencontainers.image.licenses=MIT OR Apache-2.0");
    if let Some(commit) = &release.commit {
        build.arg(format!(
            "--label=org.opencontainers.image.revision={commit}"
        ));
    }
    build.arg("--file").arg(context.join(image.file));
    process::capture(build.arg(&context))?;
    let archive = out.join(format!("{}-{}-oci.tar", image.name, release.version));
    let mut push = buildah()?;
    push.args(["push", &name]);
    process::capture(push.arg(format!("oci-archive:{}:{name}", archive.display())))?;
    let bytes = std::fs::metadata(&archive)?.len();
    eprintln!("dist: the image has {}", size(&archive)?);
    if bytes > BYTES_MAX {
        bail!("the image has {bytes} bytes; it may have {BYTES_MAX}");
    }
    Ok(archive)
}

/// A command line of buildah that keeps what it stores below cargo's output directory.
fn buildah() -> Result<Command> {
    let storage = workspace::scratch("dist/containers")?;
    let mut buildah = process::command("buildah");
    buildah.args(["--storage-driver", "vfs", "--root"]);
    buildah.arg(storage.join("root"));
    buildah.arg("--runroot").arg(storage.join("run"));
    Ok(buildah)
}
