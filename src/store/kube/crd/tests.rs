use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use kube::core::cel::{Validator, compile_schema};
use serde_json::{Value, json};

use super::*;
use crate::domain::limits::{MAX_PLACES, MAX_PUBLISHED, MAX_VOLUME, MIN_VOLUME};
use crate::domain::testing::{member, volume_spec};
use crate::domain::{Bytes, Epoch, MemberState, Timestamp, VolumePhase, VolumeStatus};
use crate::store::kube::form::without_nulls;

/// Set to write `deploy/crds/` anew instead of comparing it.
const WRITE: &str = "MDFABRIC_WRITE_CRDS";

static DEFINITIONS: LazyLock<Vec<Value>> = LazyLock::new(|| definitions().unwrap());

/// The schema of a kind.
pub(in crate::store) fn schema(kind: &str) -> Value {
    let of_kind = |definition: &&Value| definition["spec"]["names"]["kind"] == kind;
    let definition = DEFINITIONS.iter().find(of_kind).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// What the rules of a kind say to an object, and the one it takes the place of.
pub(in crate::store) fn refusals(schema: &Value, object: &Value, old: Option<&Value>) -> Vec<String> {
    match Validator::new().validate(schema, object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_vec().into_iter().map(|error| error.message).collect(),
    }
}

#[test]
fn the_files_are_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/crds");
    for definition in definitions().unwrap() {
        let path = folder.join(format!("{}.yaml", definition["metadata"]["name"].as_str().unwrap()));
        let text = serde_saphyr::to_string(&definition).unwrap();
        if std::env::var_os(WRITE).is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(there, text, "{} is old: run this test with {WRITE}=1", path.display());
    }
}

fn each_schema(schema: &Value, look: &mut impl FnMut(&Map<String, Value>)) {
    each_object(&mut schema.clone(), &mut |object| look(object));
}

#[test]
fn every_text_and_list_has_an_end_and_rules_walk_short_lists_only() {
    let longest = |field: &str, list: &str| {
        schema("Volume")["properties"]["spec"]["properties"][field]["properties"][list]["maxItems"].as_u64()
    };
    assert_eq!(longest("placement", "entries"), Some(MAX_PLACES.into()));
    assert_eq!(longest("attachment", "published"), Some(MAX_PUBLISHED.into()));
    for kind in ["Volume", "Replica", "Drive", "StorageNode"] {
        let schema = schema(kind);
        each_schema(&schema, &mut |object| {
            let bounded = match object.get("type").and_then(Value::as_str) {
                Some("string") => object.contains_key("enum") || object.contains_key("maxLength"),
                Some("array") => object.contains_key("maxItems"),
                Some("integer") => ["int32", "int64"].contains(&object["format"].as_str().unwrap()),
                Some("object" | "boolean") => true,
                other => panic!("{kind}: {other:?} is no type of a structural schema: {object:?}"),
            };
            assert!(bounded, "{kind}: {object:?}");
        });
        let compiled = compile_schema(&schema);
        assert!(!compiled.has_errors(), "{kind}: {:?}", compiled.compilation_errors());
        assert!(!compile_schema(&schema["properties"]["spec"]).has_errors(), "{kind}");
        for rule in of_object(&schema).into_iter().chain(of_spec(&schema)) {
            let rule_text = rule["rule"].as_str().unwrap();
            let walks = rule_text.matches(".all(").count() + rule_text.matches(".exists").count();
            let short = ["self.placement.entries.", "self.attachment.published.all("];
            let of_short: usize = short.iter().map(|list| rule_text.matches(list).count()).sum();
            assert_eq!(walks, of_short, "{rule_text}");
            assert!(!rule["message"].as_str().unwrap().is_empty());
        }
    }
}

/// The rules that stand on a whole object.
fn of_object(schema: &Value) -> Vec<Value> {
    schema["x-kubernetes-validations"].as_array().cloned().unwrap_or_default()
}

fn of_spec(schema: &Value) -> Vec<Value> {
    of_object(&schema["properties"]["spec"])
}

/// Nothing that a later definition thinks of a spec may be in a status's way: the API server forgives only what did not change where the rule stands,
/// and a whole object always changes.
#[test]
fn what_is_judged_of_a_whole_object_is_its_name_and_its_status() {
    let mut of_specs = 0;
    for kind in ["Volume", "Replica", "Drive", "StorageNode"] {
        let schema = schema(kind);
        for rule in of_object(&schema) {
            let rule_text = rule["rule"].as_str().unwrap();
            assert!(!rule_text.contains("elf.spec"), "{kind}: {rule_text}");
            let about_status = rule_text.contains("self.status") && rule_text.contains("oldSelf.status");
            assert!(about_status || rule_text.contains("self.metadata.name"), "{kind}: {rule_text}");
        }
        of_specs += of_spec(&schema).len();
    }
    assert!(of_specs > 20, "{of_specs}");
}

/// A newer daemon reads what an older one says of itself, and what a definition leaves out of what it says itself: a field that has to be
/// there, and is not, would make its node a dead one. A new one is `#[serde(default)]`.
#[test]
fn a_heartbeat_needs_no_field_that_it_did_not_always_have() {
    let required = schema("StorageNode")["properties"]["status"]["required"].clone();
    let mut required: Vec<String> = serde_json::from_value(required).unwrap();
    required.sort_unstable();
    let first = ["bootId", "endpoint", "heartbeatAt", "hostId", "hostNqn", "kernel", "missing", "version"];
    assert_eq!(required, first);
}

#[test]
fn in_sync_sets_are_one_value() {
    let in_sync = schema("Volume")["properties"]["status"]["properties"]["inSync"].clone();
    assert_eq!(in_sync["x-kubernetes-list-type"], "atomic");
}

#[test]
fn the_limits_are_the_domain_s() {
    let rules = json!(of_spec(&schema("Volume"))).to_string();
    let size = |bytes: Bytes| super::super::form::quantity(bytes);
    assert!(rules.contains(&format!("quantity('{}')", size(MIN_VOLUME))));
    assert!(rules.contains(&format!("quantity('{}')", size(MAX_VOLUME))));
}

fn volume() -> Value {
    let mut spec = without_nulls(serde_json::to_value(volume_spec("v")).unwrap());
    spec.as_object_mut().unwrap().remove("name");
    spec["size"] = json!("1Gi");
    json!({ "metadata": { "name": "v" }, "spec": spec })
}

fn with_status(change: impl FnOnce(&mut VolumeStatus)) -> Value {
    let first = member(1, "n1", MemberState::Synced, Timestamp(0));
    let mut status = VolumeStatus {
        phase: VolumePhase::Synced,
        epoch: Epoch(3),
        created: true,
        in_sync: [first.replica].into(),
        members: vec![first],
        ..VolumeStatus::default()
    };
    change(&mut status);
    let mut object = volume();
    object["status"] = without_nulls(serde_json::to_value(status).unwrap());
    object
}

fn edited(field: &str, value: Value) -> Value {
    let mut object = volume();
    object["spec"][field] = value;
    object
}

/// What is said to an edit of a new volume.
fn said_to(field: &str, value: Value) -> Vec<String> {
    refusals(&schema("Volume"), &edited(field, value), Some(&volume()))
}

#[test]
fn a_volume_may_be_what_a_volume_may_be() {
    let schema = schema("Volume");
    assert_eq!(refusals(&schema, &volume(), None), [""; 0]);
    assert_eq!(refusals(&schema, &with_status(|_| {}), Some(&volume())), [""; 0]);
    for (field, value) in [("size", json!("2Gi")), ("replicas", json!(3)), ("deleting", json!(true))] {
        assert_eq!(said_to(field, value), [""; 0], "{field}");
    }
    for (size, word) in
        [("299Mi", "smallest"), ("2Pi", "largest"), ("1073741825", "multiple"), ("500Mi", "smaller")]
    {
        let said = said_to("size", json!(size));
        assert!(said.iter().any(|text| text.contains(word)), "{size}: {said:?}");
    }
    let two = |node: &str| json!({ "generation": 1, "entries": [{ "node": "n1" }, { "node": node }] });
    assert_eq!(said_to("placement", two("n2")), [""; 0]);
    assert_eq!(said_to("placement", two("n1")).len(), 1);
}

/// What is said to a volume of that kind that is attached so.
fn said_to_attached(fs: &str, mount: Option<&str>, published: &[&str]) -> Vec<String> {
    let mut object = volume();
    object["spec"]["fs"] = json!(fs);
    let published: Vec<Value> = published.iter().map(|path| json!({ "path": path })).collect();
    object["spec"]["attachment"] = json!({ "node": "n1", "published": published });
    if let Some(path) = mount {
        object["spec"]["attachment"]["mount"] = json!({ "path": path });
    }
    refusals(&schema("Volume"), &object, None)
}

#[test]
fn a_volume_is_mounted_and_published_where_that_can_be() {
    for (fs, mount, published) in [
        ("xfs", None, &[][..]),
        ("xfs", Some("/mnt"), &["/a", "/a/.b/..c/...", "/ "][..]),
        ("raw", None, &["/dev/shown"][..]),
    ] {
        assert_eq!(said_to_attached(fs, mount, published), [""; 0], "{fs} {mount:?} {published:?}");
    }
    for bad in ["", "a", "/", "/a/", "//a", "/a//b", "/a/../b", "/..", "/a/.", "/./a"] {
        let mounted = said_to_attached("ext4", Some(bad), &[]);
        assert!(matches!(mounted.as_slice(), [one] if one.contains("mount at")), "{bad:?}: {mounted:?}");
        let published = said_to_attached("ext4", Some("/mnt"), &["/a", bad]);
        assert!(
            matches!(published.as_slice(), [one] if one.contains("publish at")),
            "{bad:?}: {published:?}"
        );
    }
    let mut going = edited("deleting", json!(true));
    going["spec"]["attachment"] = json!({ "node": "n1" });
    assert!(refusals(&schema("Volume"), &going, Some(&volume()))[0].contains("attached"));
    assert!(said_to_attached("raw", Some("/mnt"), &[])[0].contains("raw"));
    assert!(said_to_attached("xfs", None, &["/a"])[0].contains("not mounted"));
}

#[test]
fn what_a_volume_is_made_of_does_not_change() {
    for (field, value) in [("stripeWidth", json!(2)), ("fs", json!("raw")), ("sectorSize", json!("512"))] {
        let said = said_to(field, value);
        assert!(said.iter().any(|text| text.starts_with(field)), "{field}: {said:?}");
    }
    assert_eq!(said_to("uid", json!(uuid::Uuid::max())).len(), 1);
    assert_eq!(said_to("createdAt", json!(5)).len(), 1);
    let going = edited("deleting", json!(true));
    assert_eq!(refusals(&schema("Volume"), &volume(), Some(&going)).len(), 1);
    let long = json!({ "metadata": { "name": "v".repeat(64) }, "spec": volume()["spec"] });
    assert_eq!(refusals(&schema("Volume"), &long, None).len(), 1);
}

#[test]
fn the_last_copy_that_has_everything_stays() {
    let schema = schema("Volume");
    let before = with_status(|_| {});
    let said = |after: Value| refusals(&schema, &after, Some(&before));
    assert!(said(with_status(|status| status.in_sync.clear()))[0].starts_with("inSync"));
    assert!(said(volume())[0].starts_with("inSync"), "`status: null` is no way around it");
    let deleting = |status: &mut VolumeStatus| status.phase = VolumePhase::Deleting;
    let emptied = with_status(|status| {
        deleting(status);
        status.in_sync.clear();
    });
    assert_eq!(said(emptied), [""; 0]);
    assert_eq!(refusals(&schema, &volume(), Some(&with_status(deleting))), [""; 0]);
    assert!(said(with_status(|status| status.epoch = Epoch(2)))[0].starts_with("epoch"));
    assert!(said(with_status(|status| status.created = false))[0].starts_with("created"));
}

#[test]
fn a_drive_is_added_by_the_command_line() {
    let schema = schema("Drive");
    let drive = |spec: Value| json!({ "metadata": { "name": "d" }, "spec": spec });
    let added = |guid: u128| {
        drive(json!({ "id": "S1", "node": "n1", "diskGuid": uuid::Uuid::from_u128(guid), "cordoned": false }))
    };
    assert_eq!(refusals(&schema, &drive(json!({})), None), [""; 0]);
    assert_eq!(refusals(&schema, &added(1), Some(&drive(json!({})))), [""; 0]);
    assert_eq!(refusals(&schema, &drive(json!({})), Some(&added(1))), [""; 0]);
    assert_eq!(refusals(&schema, &added(2), Some(&added(1))).len(), 1);
    assert_eq!(refusals(&schema, &drive(json!({ "cordoned": true })), None).len(), 1);
}

#[test]
fn a_copy_does_not_move() {
    let schema = schema("Replica");
    let copy = |node: &str, drive: &str| {
        json!({ "metadata": { "name": "r" }, "spec": {
            "volume": "v", "volumeUid": uuid::Uuid::nil(), "node": node, "drives": [drive], "partitionSize": 1,
            "wanted": "Present",
        }})
    };
    assert_eq!(refusals(&schema, &copy("n1", "S1"), None), [""; 0]);
    assert_eq!(refusals(&schema, &copy("n2", "S1"), Some(&copy("n1", "S1"))).len(), 1);
    assert_eq!(refusals(&schema, &copy("n1", "S2"), Some(&copy("n1", "S1"))).len(), 1);
}

#[test]
fn what_was_made_of_a_copy_is_not_taken_back() {
    let schema = schema("Replica");
    let copy = |size: u64, epoch: Option<u64>, status: Option<Value>| {
        let mut copy = json!({ "metadata": { "name": "r" }, "spec": {
            "volume": "v", "volumeUid": uuid::Uuid::nil(), "node": "n1", "drives": ["S1"], "partitionSize": size,
            "wanted": "Present",
        }});
        if let Some(epoch) = epoch {
            copy["spec"]["export"] = json!({ "node": "n1", "hostNqn": "nqn", "epoch": epoch });
        }
        if let Some(status) = status {
            copy["status"] = status;
        }
        copy
    };
    let status = |zeroed: bool, acked: u64, gone: bool| {
        Some(json!({
            "state": "Created", "partitions": [], "zeroed": zeroed, "ackedEpoch": acked, "gone": gone, "updatedAt": 0,
        }))
    };
    let before = copy(2, Some(3), status(true, 3, false));
    for (after, said) in [
        (copy(3, Some(4), status(true, 4, true)), None),
        (copy(2, None, status(true, 3, false)), None),
        (copy(1, Some(3), status(true, 3, false)), Some("partitionSize")),
        (copy(2, Some(2), status(true, 3, false)), Some("export")),
        (copy(2, Some(3), None), Some("status")),
        (copy(2, Some(3), status(false, 3, false)), Some("zeroed")),
        (copy(2, Some(3), status(true, 2, false)), Some("ackedEpoch")),
    ] {
        let refused = refusals(&schema, &after, Some(&before));
        let about = refused.first().and_then(|text| text.split_once(':')).map(|(field, _)| field);
        assert_eq!(about, said, "{refused:?}");
    }
    let gone = copy(2, None, status(true, 3, true));
    assert_eq!(refusals(&schema, &copy(2, None, None), Some(&gone)), [""; 0]);
    assert_eq!(
        refusals(&schema, &copy(2, None, status(false, 0, false)), Some(&copy(2, None, None))),
        [""; 0]
    );
}
