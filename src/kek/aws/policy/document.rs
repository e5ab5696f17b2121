//! The policies' text.
use super::{
    bound::Bound,
    permits::{Alias, Permit},
};
use crate::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a managed policy of IAM may have, blanks not counted. A key policy, of 32 KiB, says less of
/// the same.
const MOST: usize = 6144;

/// By operator and key.
pub(super) type Conditions = BTreeMap<&'static str, BTreeMap<String, Value>>;

#[derive(Serialize)]
struct Printed<'a> {
    iam_policy: Document,
    key_policy_statements: Vec<OfKey<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    version: &'static str,
    statement: Vec<Statement<'static>>,
}

#[derive(Serialize)]
struct OfKey<'a> {
    key: String,
    statements: Vec<Statement<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement<'a> {
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Principal<'a>>,
    action: Vec<&'static str>,
    resource: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: Conditions,
}

#[derive(Serialize)]
struct Principal<'a> {
    #[serde(rename = "AWS")]
    aws: &'a str,
}

/// # Errors
/// Limit if AWS does not take as much.
pub(super) fn json(permits: &[Permit], bound: &Bound, principal: &str) -> Result<String> {
    let iam_policy = Document { version: "2012-10-17", statement: identity(permits, bound) };
    let len = text(&iam_policy).chars().filter(|c| !c.is_whitespace()).count();
    if len > MOST {
        let said =
            format!("aws-kms: the IAM policy has {len} characters, AWS takes {MOST}: of fewer keys or pairs");
        return Err(Error::new(ErrorKind::Limit, said));
    }
    Ok(text(&Printed { iam_policy, key_policy_statements: of_keys(permits, bound, principal) }))
}

/// One statement for all keys of which the same is said.
fn identity(permits: &[Permit], bound: &Bound) -> Vec<Statement<'static>> {
    let mut all = Vec::<(&Permit, Statement<'_>)>::new();
    for permit in permits {
        let is_said = |p: &&Permit| {
            (p.is_bound, &p.calls, &p.keys.alias) == (permit.is_bound, &permit.calls, &permit.keys.alias)
        };
        match all.iter_mut().find(|(p, _)| is_said(p)) {
            Some((_, statement)) => statement.resource.push(permit.keys.arn()),
            None => {
                let alias = permit.keys.alias.as_ref();
                all.push((permit, statement(permit, bound, alias, permit.keys.arn())));
            }
        }
    }
    all.into_iter().map(|(_, statement)| statement).collect()
}

fn of_keys<'a>(permits: &[Permit], bound: &Bound, principal: &'a str) -> Vec<OfKey<'a>> {
    let mut all = Vec::<OfKey<'_>>::new();
    for permit in permits {
        // In a key policy the resource is that key, and there is no condition on its aliases.
        let alias = permit.keys.alias.as_ref().filter(|alias| matches!(alias, Alias::Asked(_)));
        let said = Statement {
            principal: Some(Principal { aws: principal }),
            ..statement(permit, bound, alias, "*".into())
        };
        let key = permit.keys.title();
        match all.iter_mut().find(|of| of.key == key) {
            Some(of) => of.statements.push(said),
            None => all.push(OfKey { key, statements: vec![said] }),
        }
    }
    all
}

fn statement<'a>(permit: &Permit, bound: &Bound, alias: Option<&Alias>, resource: String) -> Statement<'a> {
    let mut condition = Conditions::new();
    if permit.is_bound {
        bound.add_to(&mut condition);
    }
    match alias {
        None => {}
        Some(Alias::Asked(name)) => add(&mut condition, "StringEquals", "kms:RequestAlias", json!(name)),
        Some(Alias::Had(name)) => {
            add(&mut condition, "ForAnyValue:StringEquals", "kms:ResourceAliases", json!([name]));
        }
    }
    let action = permit.calls.clone();
    Statement { effect: "Allow", principal: None, action, resource: vec![resource], condition }
}

pub(super) fn add(conditions: &mut Conditions, operator: &'static str, key: &str, value: Value) {
    conditions.entry(operator).or_default().insert(key.into(), value);
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("maps of strings")
}
