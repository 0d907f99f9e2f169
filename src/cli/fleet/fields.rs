//! What stands in the file of a fleet: the fields, where each may stand, and what is to be in it. The parser, its "did you mean"
//! and the schema for editors go by this one list.

/// Where a field may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// At the top.
    Top,
    /// In `[defaults]` and in each account.
    Both,
    /// In an account alone.
    Account,
    /// In a place that is a table.
    Place,
}

pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) table: Table,
    /// Of what is to be in it, as JSON Schema.
    #[cfg_attr(not(test), expect(dead_code, reason = "the schema is written by a test"))]
    pub(super) schema: &'static str,
}

const fn field(name: &'static str, table: Table, schema: &'static str) -> Field {
    Field { name, table, schema }
}

pub(super) const FIELDS: &[Field] = &[
    field(
        "fleet",
        Table::Top,
        r#"{"type":"string","pattern":"^[a-z0-9][a-z0-9._-]{0,63}$","description":"What tells this file's credentials from those of other files; --prune needs it"}"#,
    ),
    field("defaults", Table::Top, r##"{"$ref":"#/$defs/defaults"}"##),
    field(
        "account",
        Table::Top,
        r##"{"type":"object","propertyNames":{"pattern":"^[a-z0-9][a-z0-9._-]{0,63}$"},"additionalProperties":{"$ref":"#/$defs/account"}}"##,
    ),
    field(
        "kind",
        Table::Both,
        r#"{"enum":["service-account","pat"],"description":"Service account (if left out) or personal access token"}"#,
    ),
    field(
        "days",
        Table::Both,
        r#"{"type":"integer","minimum":1,"maximum":730,"description":"How many days a new token lives"}"#,
    ),
    field(
        "rotate_every",
        Table::Both,
        r#"{"type":"string","pattern":"^[0-9]+[dhms]$","description":"Replace the key when it is this old, such as 90d; at least 1h"}"#,
    ),
    field(
        "renew_before",
        Table::Both,
        r#"{"type":"string","pattern":"^[0-9]+[dhms]$","description":"Replace key and token this long before the token ends, such as 30d; at least 1h"}"#,
    ),
    field(
        "grace",
        Table::Both,
        r#"{"type":"string","pattern":"^([0-9]+[dhms]|0|manual)$","description":"How long an old key stays beside the new one: a duration, 0, or manual for until `rotate --finish`"}"#,
    ),
    field(
        "permissions",
        Table::Both,
        r#"{"type":"array","items":{"type":"string","minLength":1},"uniqueItems":true,"description":"The permissions it has and no others, by name or id; [] for none; left out, they are left alone"}"#,
    ),
    field(
        "deliver",
        Table::Account,
        r##"{"type":"array","items":{"anyOf":[{"type":"string"},{"$ref":"#/$defs/place"}]},"description":"The places that have it and no others; left out, they are left alone"}"##,
    ),
    field(
        "external_id",
        Table::Account,
        r#"{"type":"string","minLength":1,"description":"What Dfns is to know a new account by"}"#,
    ),
    field(
        "to",
        Table::Place,
        r#"{"type":"string","description":"The place, such as file:/etc/payments/dfns.env?host=pay1"}"#,
    ),
    field(
        "then",
        Table::Place,
        r#"{"type":"array","items":{"type":"string"},"minItems":1,"description":"The words of a program to be run there after each change; no shell runs it"}"#,
    ),
];

/// The names of the fields that may stand there.
pub(super) fn names(is: impl Fn(Table) -> bool) -> Vec<&'static str> {
    FIELDS
        .iter()
        .filter(|field| is(field.table))
        .map(|field| field.name)
        .collect()
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a page of the documents is no file of the program's"
)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    fn properties(is: impl Fn(Table) -> bool) -> Value {
        let fields = FIELDS.iter().filter(|field| is(field.table));
        let fields = fields.map(|field| (field.name.to_owned(), serde_json::from_str(field.schema).unwrap()));
        Value::Object(fields.collect::<Map<_, _>>())
    }

    /// The schema that editors go by, as it follows from the fields.
    fn schema() -> Value {
        let table =
            |properties: Value| json!({"type": "object", "properties": properties, "additionalProperties": false});
        let mut schema = table(properties(|table| table == Table::Top));
        let mut place = table(properties(|table| table == Table::Place));
        place["required"] = json!(["to"]);
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        schema["title"] = json!("dfns-keys.toml: the credentials of an organisation, for `dfns-keys plan` and `apply`");
        schema["$defs"] = json!({
            "defaults": table(properties(|table| table == Table::Both)),
            "account": table(properties(|table| matches!(table, Table::Both | Table::Account))),
            "place": place,
        });
        schema
    }

    /// `UPDATE_DOCS=1 cargo test --lib schema` writes it anew.
    #[test]
    fn the_schema_for_editors_is_what_the_parser_goes_by() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/dfns-keys.schema.json");
        let text = format!("{:#}\n", schema());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    }
}
