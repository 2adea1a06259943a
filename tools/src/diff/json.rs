//! Where two JSON values differ.

use serde::Serialize;
use serde_json::Value;

/// One place where two values differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Difference {
    /// Where: `devices[1].name`.
    pub path: String,
    /// The one value; `None` if there is none.
    pub a: Option<Value>,
    /// The other.
    pub b: Option<Value>,
}

/// All places where `a` and `b` differ, in order.
pub(super) fn differences(a: &Value, b: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(a), Some(b), &mut found);
    found
}

fn compare(path: &str, a: Option<&Value>, b: Option<&Value>, found: &mut Vec<Difference>) {
    match (a, b) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut names: Vec<_> = a.keys().chain(b.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(&inner, a.get(name), b.get(name), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                compare(&format!("{path}[{index}]"), a.get(index), b.get(index), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(Difference { path: path.into(), a: a.cloned(), b: b.cloned() }),
    }
}

/// A value, or that there is none.
pub(super) fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".into(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(a: Value, b: Value, expected: &[&str]) {
        let show = |d: &Difference| format!("{}: {} / {}", d.path, shown(d.a.as_ref()), shown(d.b.as_ref()));
        assert_eq!(differences(&a, &b).iter().map(show).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_difference_has_its_path() {
        let a = json!({ "cpus": 1, "devices": [{ "name": "x" }], "boot": { "kernel": null } });
        check(a.clone(), a.clone(), &[]);
        let b = json!({ "cpus": 2, "devices": [{ "name": "y" }, { "name": "z" }], "boot": {} });
        let all = [
            "boot.kernel: null / nothing",
            "cpus: 1 / 2",
            r#"devices[0].name: "x" / "y""#,
            r#"devices[1]: nothing / {"name":"z"}"#,
        ];
        check(a, b, &all);
        check(json!([1]), json!({ "a": 1 }), &[r#": [1] / {"a":1}"#]);
    }
}
