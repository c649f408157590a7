"""The container image under an OCI runtime, as the DaemonSet would run it: `container.py MANIFESTS ARCHIVE SCRATCH COMMIT`,
in mount and network namespaces of its own. Capabilities, privileges, arguments and mounts are those of the manifests, and
the program is that of the image. Says what it does, and fails at the first thing that is not as it should be.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import yaml

RUNTIME = ["crun", "--cgroup-manager=disabled"]
NAME = "geofence-check"
ADDRESS = "127.0.0.1"
PROFILE = "/usr/share/containers/seccomp.json"


def say(text):
    print(f"container: {text}", file=sys.stderr, flush=True)


def fail(text):
    say(f"FAILED: {text}")
    sys.exit(1)


def until(what, is_true):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if is_true():
            return
        time.sleep(0.1)
    fail(f"not within 30 s: {what}")


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def seccomp(capabilities):
    """The default profile of container runtimes, as it is for these capabilities."""
    with open(PROFILE) as file:
        profile = json.load(file)
    calls = []
    for rule in profile["syscalls"]:
        needs = set(rule.get("includes", {}).get("caps", []))
        spares = set(rule.get("excludes", {}).get("caps", []))
        arches = rule.get("includes", {}).get("arches")
        if needs - capabilities or spares & capabilities or arches and "amd64" not in arches:
            continue
        keys = {"names", "action", "args", "errnoRet"}
        calls.append({key: value for key, value in rule.items() if key in keys and value is not None})
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": calls,
    }


def unpack(archive, scratch):
    """Unpacks the image as a runtime would; returns its root and its configuration."""
    layout, root = f"{scratch}/layout", f"{scratch}/root"
    for place in [layout, root]:
        os.makedirs(place)
    run("tar", "--extract", "--directory", layout, "--file", archive)

    def blob(descriptor):
        return f"{layout}/blobs/" + descriptor["digest"].replace(":", "/")

    def read(path):
        with open(path) as file:
            return json.load(file)

    [manifest] = read(f"{layout}/index.json")["manifests"]
    manifest = read(blob(manifest))
    for layer in manifest["layers"]:
        run("tar", "--extract", "--directory", root, "--file", blob(layer))
    return root, read(blob(manifest["config"]))["config"]


def specification(manifests, root, image, places):
    with open(f"{manifests}/daemonset.yaml") as file:
        pod = yaml.safe_load(file)["spec"]["template"]["spec"]
    container = pod["containers"][0]
    context = container["securityContext"]
    capabilities = {f"CAP_{name}" for name in context["capabilities"]["add"]}
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "noexec", "mode=755"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    ]
    for mount in container["volumeMounts"]:
        options = ["rbind", "ro" if mount.get("readOnly") else "rw"]
        place = {"destination": mount["mountPath"], "type": "bind", "source": places[mount["name"]], "options": options}
        mounts.append(place)
    arguments = [word.replace("$(NODE_ADDRESS)", ADDRESS) for word in container["args"]]
    sets = ["bounding", "effective", "permitted"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "args": [*image["Entrypoint"], *arguments],
            "env": image["Env"],
            "cwd": "/",
            "user": {"uid": context["runAsUser"], "gid": context["runAsGroup"]},
            "capabilities": {name: sorted(capabilities) for name in sets},
            "noNewPrivileges": not context["allowPrivilegeEscalation"],
        },
        "root": {"path": root, "readonly": context["readOnlyRootFilesystem"]},
        "mounts": mounts,
        "linux": {
            # The network is the node's.
            "namespaces": [{"type": kind} for kind in ["pid", "mount", "ipc", "uts"]],
            "seccomp": seccomp(capabilities),
        },
    }


class ConfigMap:
    """A directory as the kubelet keeps it: links to files below a link that is replaced as a whole."""

    def __init__(self, directory):
        self.directory = directory
        self.number = 0
        os.makedirs(directory)

    def write(self, text):
        self.number += 1
        version = f"..version-{self.number}"
        os.mkdir(f"{self.directory}/{version}")
        with open(f"{self.directory}/{version}/geofence.toml", "w") as file:
            file.write(text)
        os.symlink(version, f"{self.directory}/..data_tmp")
        os.rename(f"{self.directory}/..data_tmp", f"{self.directory}/..data")
        if self.number == 1:
            os.symlink("..data/geofence.toml", f"{self.directory}/geofence.toml")


def program():
    words = run("ip", "-details", "link", "show", "eth0").split()
    return words[words.index("prog/xdp") + 2] if "prog/xdp" in words else None


def asks(*words):
    answer = subprocess.run([*RUNTIME, "exec", NAME, "geofence", *words], capture_output=True, text=True)
    return answer.stdout + answer.stderr


def is_ready():
    try:
        return urllib.request.urlopen(f"http://{ADDRESS}:10317/readyz", timeout=1).status == 200
    except OSError:
        return False


class Pod:
    def __init__(self, bundle):
        self.log = open(f"{bundle}/log", "w+")
        self.process = subprocess.Popen([*RUNTIME, "run", "--bundle", bundle, NAME], stdout=self.log, stderr=self.log)

    def text(self):
        with open(self.log.name) as file:
            return file.read()

    def wait_ready(self):
        until("/readyz", lambda: is_ready() or self.process.poll() is not None)
        if self.process.poll() is not None:
            fail(f"the container ended:\n{self.text()}")

    def end(self):
        run(*RUNTIME, "kill", NAME, "TERM")
        self.process.wait(30)


def main(manifests, archive, scratch, commit):
    run("mount", "--make-rprivate", "/")
    shutil.rmtree(scratch)
    os.makedirs(scratch)
    root, image = unpack(archive, scratch)
    labels = image.get("Labels") or {}
    say(", ".join(f"{name.rsplit('.', 1)[-1]} {labels[name]}" for name in sorted(labels)))
    if labels.get("org.opencontainers.image.revision", "") != commit:
        fail(f"the label of the image does not name the commit {commit}")
    # The runtime wants control groups of one version.
    subprocess.run(["umount", "--recursive", "/sys/fs/cgroup"], capture_output=True)
    run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0")
    for name in ["eth0", "peer0"]:
        run("ip", "link", "set", name, "up")
    places = {"bpffs": "/sys/fs/bpf", "config": f"{scratch}/config"}
    for name in ["state", "run"]:
        places[name] = f"{scratch}/{name}"
        os.makedirs(places[name])
    with open(f"{manifests}/configmap.yaml") as file:
        text = yaml.safe_load(file)["data"]["geofence.toml"]
    config = ConfigMap(places["config"])
    config.write(text)
    with open(f"{scratch}/config.json", "w") as file:
        json.dump(specification(manifests, root, image, places), file)

    say("starting")
    pod = Pod(scratch)
    pod.wait_ready()
    if program() is None:
        fail("nothing is attached")
    version = asks("--version", "--verbose")
    say(version.strip().replace("\n", "\ncontainer:   "))
    if commit not in version:
        fail(f"the program does not name the commit {commit}")
    status = asks("status")
    say(next((line for line in status.splitlines() if line.startswith("privilege")), status))
    if "no capability, no new privileges, system calls filtered, writing confined" not in status:
        fail(f"the daemon keeps a privilege:\n{status}\n{pod.text()}")
    if "monitor" not in status:
        fail(f"the first mode is not monitor:\n{status}")

    say("changing the ConfigMap")
    config.write(text.replace('mode = "monitor"', ""))
    until("the new mode", lambda: "enforce" in asks("status"))

    say("replacing the pod")
    pod.end()
    if program() is None:
        fail("the filter went with the pod")
    pod = Pod(scratch)
    pod.wait_ready()

    say("detaching")
    say(asks("detach", "--all").strip())
    if program() is not None:
        fail("the filter is still attached")
    pod.end()
    say("done")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    main(*sys.argv[1:])
