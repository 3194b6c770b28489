//! A definition's schema, as far as ours use it.

use serde_json::{Map, Value};

use crate::store::kube::crd::each_object;

/// A value as it is stored: without what the schema does not know, with its defaults; or what is wrong with it.
pub(crate) fn shaped(schema: &Value, value: &Value) -> Result<Value, String> {
    at("", schema, value)
}

/// Where a value has a field that the schema does not know: `.status.growth`, for a value that is at `.status`.
pub(crate) fn undeclared(path: &str, schema: &Value, value: &Value) -> Option<String> {
    match (schema["type"].as_str(), value) {
        (Some("object"), Value::Object(fields)) => fields.iter().find_map(|(field, value)| {
            let path = format!("{path}.{field}");
            match schema["properties"].get(field) {
                Some(property) => undeclared(&path, property, value),
                None => Some(path),
            }
        }),
        (Some("array"), Value::Array(items)) => {
            items.iter().find_map(|item| undeclared(path, &schema["items"], item))
        }
        _ => None,
    }
}

/// The schema with the rules that can refuse an object: where it is what it was, only those that hold it against that. What the others say there is a
/// warning (`CRDValidationRatcheting`).
pub(crate) fn ratcheted(schema: &Value, new: &Value, old: &Value) -> Value {
    let mut schema = schema.clone();
    ease(&mut schema, new, old);
    schema
}

fn ease(schema: &mut Value, new: &Value, old: &Value) {
    if new == old {
        return each_object(schema, &mut |object| {
            if let Some(Value::Array(rules)) = object.get_mut("x-kubernetes-validations") {
                rules.retain(|rule| rule["rule"].as_str().unwrap().contains("oldSelf"));
            }
        });
    }
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (field, property) in properties {
        if let (Some(new), Some(old)) = (new.get(field), old.get(field)) {
            ease(property, new, old);
        }
    }
}

fn at(path: &str, schema: &Value, value: &Value) -> Result<Value, String> {
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        return Err(format!("{path}: {value} is none of {allowed:?}"));
    }
    match (schema["type"].as_str(), value) {
        (None, value) => Ok(value.clone()),
        (Some("object"), Value::Object(fields)) => object(path, schema, fields),
        (Some("array"), Value::Array(items)) => array(path, schema, items),
        (Some("string"), Value::String(text)) => {
            let longest = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
            fits(path, text.chars().count() as u64 <= longest, value).map(|()| value.clone())
        }
        (Some("integer"), Value::Number(number)) => {
            let number = number.as_i64().ok_or_else(|| format!("{path}: {value} is no int64"))?;
            let (least, most) = (bound(schema, "minimum"), bound(schema, "maximum"));
            let fitting = least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
            fits(path, fitting, value).map(|()| value.clone())
        }
        (Some("boolean"), Value::Bool(_)) => Ok(value.clone()),
        (Some(expected), _) => Err(format!("{path}: {value} is no {expected}")),
    }
}

fn bound(schema: &Value, field: &str) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, reason = "bounds of schemas are small whole numbers")]
    schema[field].as_f64().map(|bound| bound as i64)
}

fn fits(path: &str, fits: bool, value: &Value) -> Result<(), String> {
    if fits { Ok(()) } else { Err(format!("{path}: {value} is out of bounds")) }
}

fn array(path: &str, schema: &Value, items: &[Value]) -> Result<Value, String> {
    fits(path, items.len() as u64 <= schema["maxItems"].as_u64().unwrap(), &Value::Null)?;
    items.iter().map(|item| at(path, &schema["items"], item)).collect::<Result<_, _>>().map(Value::Array)
}

fn object(path: &str, schema: &Value, fields: &Map<String, Value>) -> Result<Value, String> {
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let mut shaped = Map::new();
    for (field, property) in properties {
        let path = format!("{path}.{field}");
        let given = fields.get(field).filter(|value| !value.is_null());
        match given.or(property.get("default")) {
            Some(value) => drop(shaped.insert(field.clone(), at(&path, property, value)?)),
            None if fields.contains_key(field) && property["nullable"] == true => {
                shaped.insert(field.clone(), Value::Null);
            }
            None => {}
        }
    }
    let required = schema["required"].as_array().into_iter().flatten();
    let missing = required.filter_map(Value::as_str).find(|field| !shaped.contains_key(*field));
    match missing {
        Some(field) => Err(format!("{path}.{field}: is required")),
        None => Ok(Value::Object(shaped)),
    }
}
