//! IAM, as a simulator has it that is not ours: it judges calls by what `kms policy aws`
//! prints.
#![allow(dead_code, reason = "each test file uses its own part")]
use crate::proxy::Request;
use libkms::{EncryptionContext, kek::AwsPolicy};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{LazyLock, Mutex},
};

/// moto's.
pub const ACCOUNT: &str = "123456789012";
pub const ROLE: &str = "arn:aws:iam::123456789012:role/libkms";

/// A call, as far as a policy looks at it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    pub operation: String,
    /// Its ARN.
    pub key: String,
    /// What the key was asked for by, if by an alias.
    pub by: Option<String>,
    /// What the key has.
    pub aliases: Vec<String>,
    pub context: BTreeMap<String, String>,
}

impl Call {
    /// `aliases`: each with the ARN of its key. One that is not among them is some key's.
    pub fn of(request: &Request, aliases: &[(&str, &str)]) -> Self {
        let (body, here) = (request.body(), format!("arn:aws:kms:{}:{ACCOUNT}:", request.region));
        let asked = body["KeyId"].as_str().unwrap_or_default();
        let by = asked.split(':').next_back().filter(|name| name.starts_with("alias/"));
        let key = match by {
            Some(by) => aliases.iter().find(|a| a.0 == by).map_or(format!("{here}key/some"), |a| a.1.into()),
            None if asked.starts_with("arn:") => asked.into(),
            None => format!("{here}key/{asked}"),
        };
        let had = aliases.iter().filter(|a| a.1 == key).map(|a| a.0);
        let aliases: BTreeSet<_> = had.chain(by).map(Into::into).collect();
        Self {
            operation: request.operation.clone(),
            key,
            by: by.map(Into::into),
            aliases: aliases.into_iter().collect(),
            context: serde_json::from_value(body["EncryptionContext"].clone()).unwrap_or_default(),
        }
    }

    fn has_context(&self) -> bool {
        self.operation != "DescribeKey"
    }

    /// As AWS gives it to a policy.
    fn to_json(&self) -> Value {
        let mut context = json!({});
        for (key, value) in &self.context {
            context[format!("kms:EncryptionContext:{key}")] = json!(value);
        }
        if !self.context.is_empty() {
            context["kms:EncryptionContextKeys"] = json!(self.context.keys().collect::<Vec<_>>());
        }
        if let Some(by) = &self.by {
            context["kms:RequestAlias"] = json!(by);
        }
        if !self.aliases.is_empty() {
            context["kms:ResourceAliases"] = json!(self.aliases);
        }
        let action = format!("kms:{}", self.operation);
        json!({ "action": action, "resource": self.key, "principal": ROLE, "context": context })
    }
}

/// What the program printed.
#[derive(Clone, Debug)]
pub struct Printed(Value);

impl Printed {
    pub fn of(policy: &AwsPolicy) -> Self {
        Self::new(policy.clone().principal(ROLE).to_json().unwrap().as_bytes())
    }

    pub fn new(text: &[u8]) -> Self {
        Self(serde_json::from_slice(text).unwrap())
    }

    /// Which calls it allows: in the IAM policy, under keys that leave all to IAM, and in the
    /// same way in the keys' policies, whatever IAM says.
    pub fn allows(&self, calls: &[Call]) -> Vec<bool> {
        let by_iam = self.by_iam(calls);
        for (call, by_iam) in calls.iter().zip(&by_iam) {
            assert_eq!(self.by_key(call), *by_iam, "by the key's own policy, {call:?}");
        }
        by_iam
    }

    fn by_iam(&self, calls: &[Call]) -> Vec<bool> {
        let mut accounts: BTreeSet<_> = calls.iter().map(|call| part(&call.key, 4)).collect();
        accounts.insert(ACCOUNT);
        let accounts: Vec<_> =
            accounts.iter().map(|account| format!("arn:aws:iam::{account}:root")).collect();
        let all = json!({ "Effect": "Allow", "Principal": { "AWS": accounts }, "Action": "kms:*", "Resource": "*" });
        judge(&self.0["iam_policy"], &document(vec![all]), calls)
    }

    fn by_key(&self, call: &Call) -> bool {
        let all = json!({ "Effect": "Allow", "Action": "kms:*", "Resource": "*" });
        let of_keys = self.0["key_policy_statements"].as_array().unwrap().iter();
        let of_key = of_keys.filter(|of| is_of(of["key"].as_str().unwrap(), call));
        let statements: Vec<_> = of_key.flat_map(|of| of["statements"].as_array().unwrap().clone()).collect();
        !statements.is_empty()
            && judge(&document(vec![all]), &document(statements), std::slice::from_ref(call))[0]
    }

    /// Every IAM policy that allows one action less, or one resource; and which that is.
    fn lessened(&self) -> Vec<(String, Self)> {
        let mut all = Vec::new();
        for (i, statement) in self.statements().iter().enumerate() {
            for part in ["Action", "Resource"] {
                for (j, value) in statement[part].as_array().unwrap().iter().enumerate() {
                    let mut less = self.clone();
                    less.take(i, part, j);
                    all.push((format!("{value} of {statement}"), less));
                }
            }
        }
        all
    }

    fn statements(&self) -> &Vec<Value> {
        self.0["iam_policy"]["Statement"].as_array().unwrap()
    }

    fn take(&mut self, statement: usize, part: &str, at: usize) {
        let statements = self.0["iam_policy"]["Statement"].as_array_mut().unwrap();
        let values = statements[statement][part].as_array_mut().unwrap();
        values.remove(at);
        if values.is_empty() {
            statements.remove(statement);
        }
    }

    /// These calls are allowed, and for nothing less.
    pub fn is_just_enough_for(&self, calls: &[Call]) {
        for (call, allowed) in calls.iter().zip(self.allows(calls)) {
            assert!(allowed, "{call:?} by {:#}", self.0);
        }
        for (what, less) in self.lessened() {
            let needs_it = less.statements().is_empty() || less.by_iam(calls).contains(&false);
            assert!(needs_it, "nothing needs {what}");
        }
    }
}

/// Judges what a test asked, when its proxy ends. Every call is one that is printed for a KEK
/// of its key, in its context, and none that is printed for another context of that test.
pub fn hold(requests: Vec<Request>) {
    let is_a_tests = |r: &Request| r.header("authorization").is_some_and(|a| a.contains("Credential=test/"));
    // Credentials are fetched elsewhere.
    let is_of_kms = |r: &Request| r.header("x-amz-target").is_some_and(|t| t.starts_with("TrentService."));
    let asked = requests.iter().filter(|r| is_of_kms(r) && !is_a_tests(r));
    let asked = asked.map(|r| (name(r), Call::of(r, &[]))).filter(|(_, call)| can_be_said(&call.context));
    let asked: BTreeSet<_> = asked.collect();
    let contexts: BTreeSet<_> = asked.iter().map(|(_, call)| call.context.clone()).collect();
    for (name, call) in &asked {
        for context in &contexts {
            let printed = Printed::of(&policy(context).kek(&name.parse().unwrap()));
            let wanted = !call.has_context() || *context == call.context;
            let allowed = printed.allows(std::slice::from_ref(call))[0];
            assert_eq!(allowed, wanted, "{call:?}, as {name} in the context {context:?}: {:#}", printed.0);
        }
    }
}

/// Whether a policy can have this context: long and strange ones are sent all the same.
fn can_be_said(context: &BTreeMap<String, String>) -> bool {
    let keys: BTreeSet<_> = context.keys().map(|key| key.to_lowercase()).collect();
    let len: usize = context.iter().map(|(key, value)| 2 * key.len() + value.len()).sum();
    len < 2000
        && keys.len() == context.len()
        && context.keys().all(|key| key.chars().all(|c| (' '..='~').contains(&c)))
}

fn name(request: &Request) -> String {
    format!("aws-kms:{}?region={}", request.body()["KeyId"].as_str().unwrap_or_default(), request.region)
}

/// For one context. Of what no policy can say, any value.
fn policy(context: &BTreeMap<String, String>) -> AwsPolicy {
    let policy = AwsPolicy::new(&EncryptionContext::new(context.clone()).unwrap());
    let is_plain = |c| matches!(c, ' '..='~' | '\u{a1}'..='ÿ');
    let unsaid = context.iter().filter(|(_, value)| !value.chars().all(is_plain));
    unsaid.fold(policy, |policy, (key, _)| policy.any_value(key))
}

fn document(statements: Vec<Value>) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// Whether a key policy called so is one of the key that is asked for.
fn is_of(title: &str, call: &Call) -> bool {
    let same = |i| part(title, i) == "*" || part(title, i) == part(&call.key, i);
    let is_it = match part(title, 5) {
        alias if alias.starts_with("alias/") => call.aliases.iter().any(|a| a == alias),
        "key/*" => true,
        key => part(&call.key, 5) == key,
    };
    [1, 3, 4].into_iter().all(same) && is_it
}

fn part(arn: &str, i: usize) -> &str {
    arn.splitn(6, ':').nth(i).unwrap_or_default()
}

fn judge(identity: &Value, key: &Value, calls: &[Call]) -> Vec<bool> {
    static SIMULATOR: LazyLock<Mutex<Simulator>> = LazyLock::new(|| Mutex::new(Simulator::start()));
    let calls: Vec<_> = calls.iter().map(Call::to_json).collect();
    let asked = json!({ "identity": identity, "key": key, "calls": calls });
    let said = SIMULATOR.lock().unwrap_or_else(|e| e.into_inner()).ask(&asked);
    assert_eq!(said["wrong"], json!([]), "{identity:#} {key:#}");
    serde_json::from_value(said["allowed"].clone()).unwrap()
}

/// It ends when this program does: then its standard input is closed.
struct Simulator {
    _child: Child,
    asks: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Simulator {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = std::env::var_os("LIBKMS_IAM").map(Into::into);
        let modules = modules.unwrap_or_else(|| root.join("target/tools/iam/node_modules"));
        assert!(modules.exists(), "no IAM to test with: tests/run installs a simulator and runs the tests");
        let mut command = Command::new("node");
        command.arg(root.join("tests/aws/iam.cjs")).env("NODE_PATH", modules);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
        let (asks, says) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { _child: child, asks, says }
    }

    fn ask(&mut self, asked: &Value) -> Value {
        writeln!(self.asks, "{asked}").unwrap();
        let mut said = String::new();
        self.says.read_line(&mut said).unwrap();
        serde_json::from_str(&said).expect("the simulator answers")
    }
}
