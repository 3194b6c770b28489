//! The chart's admission policy, judged as an API server does.

use kube::core::cel::{AdmissionRequest, GroupVersionResource, VapEvaluator, VapExpression};
use serde_json::Value;

use super::*;

const POLICY: &str = include_str!("../../../../deploy/chart/templates/admissionpolicy.yaml");

/// Every validation. Each is an expression, a message and maybe an expression for one, all of them folded texts.
fn validations() -> Vec<VapExpression> {
    let (_, validations) = POLICY.split_once("\n  validations:\n").unwrap();
    let (validations, _) = validations.split_once("\n---\n").unwrap();
    let each = validations.split("- expression: >-").skip(1);
    each.map(|text| VapExpression {
        expression: folded(text),
        message: text.split_once("message: >-").map(|(_, text)| folded(text)),
        message_expression: text.split_once("messageExpression: >-").map(|(_, text)| folded(text)),
    })
    .collect()
}

/// The first lines of `text`, up to the next key.
fn folded(text: &str) -> String {
    let lines = text.lines().skip(1).map(str::trim);
    let is_key =
        |line: &str| ["message:", "messageExpression:", "reason:"].iter().any(|key| line.starts_with(key));
    lines.take_while(|line| !is_key(line)).collect::<Vec<_>>().join(" ")
}

/// What the policy says to a request of somebody who is no daemon.
fn said(operation: &str, resource: &str, old: Option<&Value>, new: Option<&Value>) -> Vec<String> {
    let of = GroupVersionResource { resource: resource.to_owned(), ..GroupVersionResource::default() };
    let request =
        AdmissionRequest { operation: operation.to_owned(), resource: of, ..AdmissionRequest::default() };
    let evaluator = VapEvaluator::builder().request(request);
    let evaluator = new.into_iter().fold(evaluator, |evaluator, new| evaluator.object(new.clone()));
    let evaluator = old.into_iter().fold(evaluator, |evaluator, old| evaluator.old_object(old.clone()));
    let results = evaluator.build().evaluate(&validations());
    assert_eq!(results.len(), 6);
    results.into_iter().filter_map(|result| result.message).collect()
}

fn object(held: bool, spec: &Value) -> Value {
    let finalizers = if held { vec!["somebody/else", FINALIZER] } else { vec!["somebody/else"] };
    json!({ "metadata": { "name": "o", "finalizers": finalizers }, "spec": spec })
}

#[track_caller]
fn is_refused(said: &[String], with: &str) {
    assert!(said.len() == 1 && said[0].contains(with), "{said:?}");
}

#[test]
fn copies_are_nobody_s_to_make_to_change_or_to_take_away() {
    let there = object(true, &json!({ "wanted": "Present", "volume": "v" }));
    is_refused(&said("CREATE", "replicas", None, Some(&there)), "copies are made by mdfabric");
    let unwanted = object(true, &json!({ "wanted": "Removed", "volume": "v" }));
    is_refused(&said("UPDATE", "replicas", Some(&there), Some(&unwanted)), "written by mdfabric alone");
    is_refused(&said("DELETE", "replicas", Some(&there), None), "its volume has this copy still");
    let mut labelled = there.clone();
    labelled["metadata"]["labels"] = json!({ "a": "b" });
    assert_eq!(said("UPDATE", "replicas", Some(&there), Some(&labelled)), [""; 0]);
    assert_eq!(said("DELETE", "replicas", Some(&unwanted), None), [""; 0]);
}

#[test]
fn what_holds_an_object_is_not_taken_away_from_it() {
    for resource in ["volumes", "replicas", "drives"] {
        let held = object(true, &json!({}));
        let without = |old: &Value| said("UPDATE", resource, Some(old), Some(&object(false, &json!({}))));
        is_refused(&without(&held), "nobody knows of the data");
        let mut bare = held.clone();
        bare["metadata"].as_object_mut().unwrap().remove("finalizers");
        is_refused(&said("UPDATE", resource, Some(&held), Some(&bare)), "nobody knows of the data");
        assert_eq!(said("UPDATE", resource, Some(&bare), Some(&held)), [""; 0]);
        assert_eq!(without(&object(false, &json!({}))), [""; 0]);
    }
}

#[test]
fn an_object_is_deleted_where_its_data_was_given_up_or_there_is_none() {
    let asked = |resource, held, spec: &Value| said("DELETE", resource, Some(&object(held, spec)), None);
    for spec in [json!({}), json!({ "deleting": false })] {
        let refused = asked("volumes", true, &spec);
        is_refused(
            &refused,
            "`mdfabric volume rm o`, or kubectl patch mdvol o --type=merge -p \"{spec: {deleting: true}}\"",
        );
    }
    assert_eq!(asked("volumes", true, &json!({ "deleting": true })), [""; 0]);
    assert_eq!(asked("volumes", false, &json!({})), [""; 0]);
    is_refused(&asked("drives", true, &json!({ "removing": false })), "`mdfabric drive remove`");
    assert_eq!(asked("drives", true, &json!({ "removing": true })), [""; 0]);
    let made = object(true, &json!({ "size": "1Gi" }));
    assert_eq!(said("CREATE", "volumes", None, Some(&made)), [""; 0]);
    let edited = object(true, &json!({ "size": "2Gi", "deleting": true }));
    assert_eq!(said("UPDATE", "volumes", Some(&made), Some(&edited)), [""; 0]);
}

#[test]
fn the_policy_is_about_the_kinds_that_are_held() {
    let of: Vec<String> = Place::ALL
        .into_iter()
        .filter(|place| place.has_data())
        .map(|place| place.resource().plural)
        .collect();
    let (kinds, ours) = (format!("resources: [{}]", of.join(", ")), format!("apiGroups: [{}]", crd::GROUP));
    assert!(POLICY.contains(&kinds) && POLICY.contains(&ours), "{kinds}");
    assert!(POLICY.contains(&format!("apiVersions: [{}]", crd::VERSION)));
    assert!(POLICY.contains(&format!("'{FINALIZER}' in object.metadata.finalizers")));
}
