//! The controller as it is shipped, between an API server of this test and a real etcd: what the resources become in
//! the engine, what the nodes report in the status, and what outages of either side do.

use anyhow::{Context as _, Result, ensure};
use geofence_fleet::exceptions::exception_id;
use geofence_fleet::keys::Subject;
use geofence_fleet::release::ALL;
use geofence_tests::privilege::{missing_programs, skip};
use serde_json::json;

use self::site::Site;

#[path = "controller/api.rs"]
mod api;
#[path = "controller/api_http.rs"]
mod api_http;
#[path = "controller/engine.rs"]
mod engine;
#[path = "controller/nodes.rs"]
mod nodes;
#[path = "controller/site.rs"]
mod site;

/// What the tests need, with Debian's names of their packages.
const PROGRAMS: [(&str, &str); 1] = [("etcd", "etcd-server")];

/// A site with these nodes; nothing, and a report that the test is skipped, without etcd.
fn site(nodes: &[&str]) -> Result<Option<Site>> {
    let missing = missing_programs(&PROGRAMS);
    if missing.is_empty() {
        return Site::start(nodes).map(Some);
    }
    let test = std::thread::current();
    let name = test.name().unwrap_or("a test");
    skip(name, &format!("not installed: {}", missing.join(", ")));
    Ok(None)
}

const EXCEPTIONS: &str = "geofenceexceptions";
const POLICIES: &str = "geofencepolicies";
const LISTS: &str = "geofencelists";

fn policy(text: &str, reason: &str) -> serde_json::Value {
    json!({"group": "default", "text": text, "reason": reason, "observe": "0s"})
}

fn group(name: &str) -> Result<Subject> {
    Ok(Subject::Policy(name.parse()?))
}

#[test]
fn exceptions_of_the_cluster_are_exceptions_of_the_fleet_and_nothing_else_changes() -> Result<()> {
    let Some(site) = site(&["edge1", "edge2"])? else {
        return Ok(());
    };
    site.put_foreign_exception("fleet-ticket-1")?;
    let spec = json!({
        "from": ["5.136.0.77"], "to": ["any"], "protocols": ["tcp"], "ports": ["443", "9000-9010"],
        "owner": "A. Berg", "reason": "until their new uplink works", "expires": "7d",
    });
    site.api.create(EXCEPTIONS, "ticket-2", &spec)?;
    let object = site.await_condition(EXCEPTIONS, "ticket-2", "Ready", "True", "InForce")?;
    assert_eq!(object["status"]["nodes"], 2);
    assert_eq!(object["status"]["connectedNodes"], 2);
    assert_eq!(object["status"]["observedGeneration"], 1);
    let id = exception_id("k8s-ticket-2")?;
    assert_eq!(object["status"]["id"], id.as_str());
    let found = site.exception(&id)?.context("no exception")?;
    assert_eq!(found.services, ["tcp/443", "tcp/9000-9010"]);
    assert_eq!(found.owner, "A. Berg");
    assert_eq!(
        object["status"]["until"],
        found.until.as_deref().unwrap_or_default()
    );

    // A change takes the place of what was there.
    let changed = json!({
        "from": ["KZ"], "to": ["any"], "owner": "A. Berg", "reason": "all of them", "until": "2099-12-31",
    });
    site.api.change(EXCEPTIONS, "ticket-2", &changed)?;
    site.await_generation(EXCEPTIONS, "ticket-2", 2, "InForce")?;
    let found = site.exception(&id)?.context("no exception")?;
    assert_eq!(found.from, ["KZ"]);
    assert_eq!(found.until.as_deref(), Some("2100-01-01T00:00:00Z"));
    assert!(found.services.is_empty());

    // What is invalid in a way that no schema sees leaves what was accepted before.
    let invalid = json!({"from": ["300.1.1.1"], "to": ["any"], "owner": "a", "reason": "b"});
    site.api.change(EXCEPTIONS, "ticket-2", &invalid)?;
    let object = site.await_condition(EXCEPTIONS, "ticket-2", "Accepted", "False", "Invalid")?;
    let message = api::condition(&object, "Accepted")["message"].to_string();
    ensure!(
        message.contains("300.1.1.1") && message.contains("stays in force"),
        "{message}"
    );
    assert_eq!(site.exception(&id)?.context("no exception")?.from, ["KZ"]);

    // A node that refuses it is named.
    site.nodes.refuse("edge2", &id, "no tenant customer-17");
    let tenant = json!({"from": ["KZ"], "to": ["customer-17"], "owner": "a", "reason": "b"});
    site.api.change(EXCEPTIONS, "ticket-2", &tenant)?;
    let object = site.await_condition(EXCEPTIONS, "ticket-2", "Ready", "False", "Refused")?;
    assert_eq!(object["status"]["refused"][0]["node"], "edge2");
    assert_eq!(object["status"]["nodes"], 1);

    // What has expired is in the engine no more, and says so.
    let expired =
        json!({"from": ["KZ"], "to": ["any"], "owner": "a", "reason": "b", "until": "2026-01-01"});
    site.api.change(EXCEPTIONS, "ticket-2", &expired)?;
    let object = site.await_condition(EXCEPTIONS, "ticket-2", "Ready", "False", "Expired")?;
    ensure!(object["status"]["refused"].is_null(), "{object}");
    site.await_no_exception(&id)?;

    // A resource that is deleted takes its exception with it, and only that.
    site.api.create(EXCEPTIONS, "ticket-3", &changed)?;
    site.await_condition(EXCEPTIONS, "ticket-3", "Ready", "True", "InForce")?;
    for name in ["ticket-2", "ticket-3"] {
        site.api.delete(EXCEPTIONS, name)?;
        site.await_gone(EXCEPTIONS, name)?;
    }
    let left = site.exceptions()?;
    assert_eq!(left, ["fleet-ticket-1"]);
    Ok(())
}

#[test]
fn policies_and_lists_go_in_waves_and_a_release_of_another_is_left_alone() -> Result<()> {
    let Some(site) = site(&["edge1", "edge2", "edge3"])? else {
        return Ok(());
    };
    let subject = group("default")?;
    // What a command has made is not the controller's, until the resource says so.
    site.release_by_command(&subject, b"block = [\"RU\"]\n")?;
    let text = "block = [\"BY\"]\n";
    site.api
        .create(POLICIES, "default", &policy(text, "block BY"))?;
    let object = site.await_condition(POLICIES, "default", "Accepted", "False", "Conflict")?;
    let message = api::condition(&object, "Accepted")["message"].to_string();
    ensure!(message.contains("revision 1 by operator"), "{message}");
    assert_eq!(
        site.release(&subject)?.context("no release")?.owner,
        "operator"
    );
    let mut spec = policy(text, "block BY");
    spec["replacesRevision"] = json!(1);
    site.api.change(POLICIES, "default", &spec)?;
    let object = site.await_condition(POLICIES, "default", "Ready", "True", "InUse")?;
    assert_eq!(object["status"]["revision"], 2);
    assert_eq!(object["status"]["nodes"], 3);
    assert_eq!(object["status"]["wave"], "2 of 2");
    let release = site.release(&subject)?.context("no release")?;
    assert_eq!(
        (release.limit, release.owner.as_str()),
        (ALL, "GeofencePolicy/default")
    );
    assert_eq!(site.nodes.most_at_once("policy/default", 2), [1, 3]);

    // A node that fails stops the wave; the status says which, which gate, and why.
    site.nodes.fail(
        "policy/default",
        "gate daemon: refused: locks out the engine",
    );
    site.api.change(
        POLICIES,
        "default",
        &policy("block = [\"DE\"]\n", "a mistake"),
    )?;
    let object = site.await_condition(POLICIES, "default", "Ready", "False", "Stopped")?;
    let stopped = &object["status"]["stopped"];
    assert_eq!(stopped["gate"], "daemon");
    assert_eq!(stopped["message"], "refused: locks out the engine");
    let first = stopped["node"].as_str().context("no node")?;
    ensure!(first.starts_with("edge"), "{stopped}");
    let release = site.release(&subject)?.context("no release")?;
    ensure!(
        release.limit == 0 && release.stopped.is_some(),
        "{release:?}"
    );

    // The next version goes out again. It is in a ConfigMap.
    site.nodes.recover();
    site.api
        .config_map("fleet-policy", "geofence.toml", "block = [\"CN\"]\n");
    let spec = json!({
        "group": "default", "configMap": {"name": "fleet-policy"}, "reason": "block CN", "observe": "0s",
    });
    site.api.change(POLICIES, "default", &spec)?;
    let object = site.await_condition(POLICIES, "default", "Ready", "True", "InUse")?;
    ensure!(object["status"]["stopped"].is_null(), "{object}");
    assert_eq!(site.content(&subject)?, b"block = [\"CN\"]\n");

    // What no node could read goes to none.
    let before = site.release(&subject)?;
    site.api.change(
        POLICIES,
        "default",
        &policy("blok = [\"CN\"]\n", "a typing error"),
    )?;
    let object = site.await_condition(POLICIES, "default", "Accepted", "False", "Invalid")?;
    let message = api::condition(&object, "Accepted")["message"].to_string();
    ensure!(message.contains("blok"), "{message}");
    assert_eq!(site.release(&subject)?, before);

    // An operator's way back is not undone.
    site.api.change(
        POLICIES,
        "default",
        &policy("block = [\"FR\"]\n", "block FR"),
    )?;
    site.await_condition(POLICIES, "default", "Ready", "True", "InUse")?;
    site.revert_by_command(&subject)?;
    // It would be looked at within half a minute anyhow.
    site.api.touch(POLICIES, "default")?;
    site.await_condition(POLICIES, "default", "Accepted", "False", "Conflict")?;
    assert_eq!(site.content(&subject)?, b"block = [\"CN\"]\n");

    // A list, which every node keeps whatever its group; frozen, it waits.
    let list = Subject::List("feodo".parse()?);
    site.freeze(true)?;
    site.api.create(
        LISTS,
        "feodo",
        &json!({"text": "192.0.2.1\n", "reason": "the newest"}),
    )?;
    site.await_condition(LISTS, "feodo", "Ready", "False", "Frozen")?;
    assert_eq!(site.release(&list)?, None);
    site.freeze(false)?;
    site.api.touch(LISTS, "feodo")?;
    site.await_condition(LISTS, "feodo", "Ready", "True", "InUse")?;
    assert_eq!(site.content(&list)?, b"192.0.2.1\n");

    // Deleted while it is on its way, a list goes no further.
    site.nodes.stall("list/feodo");
    site.api.change(
        LISTS,
        "feodo",
        &json!({"text": "192.0.2.2\n", "reason": "a later one"}),
    )?;
    site.await_condition(LISTS, "feodo", "Ready", "False", "Progressing")?;
    site.api.delete(LISTS, "feodo")?;
    site.await_gone(LISTS, "feodo")?;
    let stop = site.release(&list)?.and_then(|release| release.stopped);
    assert_eq!(
        stop.context("not stopped")?.why,
        "GeofenceList/feodo is deleted"
    );
    Ok(())
}

#[test]
fn outages_of_the_engine_and_of_the_cluster_end_without_an_operator() -> Result<()> {
    let Some(mut site) = site(&["edge1", "edge2"])? else {
        return Ok(());
    };
    let spec = |from: &str| json!({"from": [from], "to": ["any"], "owner": "a", "reason": "b"});
    site.api.create(EXCEPTIONS, "a", &spec("KZ"))?;
    site.await_condition(EXCEPTIONS, "a", "Ready", "True", "InForce")?;
    let id = exception_id("k8s-a")?;

    // The engine is away: the status says so, and a deletion waits for it.
    site.kill_engine()?;
    site.api.change(EXCEPTIONS, "a", &spec("UZ"))?;
    site.await_condition(EXCEPTIONS, "a", "Ready", "Unknown", "EngineUnavailable")?;
    site.api.create(EXCEPTIONS, "b", &spec("KZ"))?;
    site.await_condition(EXCEPTIONS, "b", "Ready", "Unknown", "EngineUnavailable")?;
    site.api.delete(EXCEPTIONS, "b")?;
    ensure!(
        site.metrics()?
            .contains("geofence_controller_engine_connected 0.0")
    );
    site.restart_engine()?;
    site.await_condition(EXCEPTIONS, "a", "Ready", "True", "InForce")?;
    assert_eq!(site.exception(&id)?.context("no exception")?.from, ["UZ"]);
    site.await_gone(EXCEPTIONS, "b")?;
    ensure!(
        site.metrics()?
            .contains("geofence_controller_engine_connected 1.0")
    );

    // The watch ends with 410 Gone, and what changed meanwhile is found by a new list.
    let lists = site.api.lists(EXCEPTIONS);
    site.api.expire_watches();
    site.api.change(EXCEPTIONS, "a", &spec("TJ"))?;
    site.await_exception(&id, |one| one.from == ["TJ"])?;
    ensure!(site.api.lists(EXCEPTIONS) > lists, "no new list");

    // The API server fails for a while; what changes meanwhile arrives afterwards.
    site.api.fail(true);
    site.api.change(EXCEPTIONS, "a", &spec("KG"))?;
    site.api.await_failures(4)?;
    site.api.fail(false);
    site.await_exception(&id, |one| one.from == ["KG"])?;
    site.await_condition(EXCEPTIONS, "a", "Ready", "True", "InForce")?;

    // What is changed and deleted while no controller runs is caught up with.
    site.stop_controller()?;
    site.api.change(EXCEPTIONS, "a", &spec("AM"))?;
    site.api.create(EXCEPTIONS, "c", &spec("KZ"))?;
    site.start_controller()?;
    site.await_exception(&id, |one| one.from == ["AM"])?;
    site.await_condition(EXCEPTIONS, "c", "Ready", "True", "InForce")?;
    Ok(())
}
