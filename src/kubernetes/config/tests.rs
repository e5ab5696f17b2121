use super::*;
use std::time::Instant;

const HEAD: &str = "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\n";
const KEY: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";

fn parse(text: &str) -> Result<EncryptionConfiguration> {
    EncryptionConfiguration::parse(text.as_bytes(), Gate::default())
}

/// `entries`: `RESOURCES PROVIDERS`, in flow style.
fn of(entries: &[(&str, &str)]) -> Result<EncryptionConfiguration> {
    let entry = |(names, providers)| format!("- resources: [{names}]\n  providers: [{providers}]\n");
    parse(&format!("{HEAD}resources:\n{}", entries.iter().copied().map(entry).collect::<String>()))
}

fn key(kind: &str, name: &str) -> String {
    format!("{kind}: {{keys: [{{name: '{name}', secret: {KEY}}}]}}")
}

#[test]
fn an_error_says_line_column_and_field() {
    let file =
        |provider: &str| format!("{HEAD}resources:\n- resources: [secrets]\n  providers:\n  - {provider}\n");
    for (provider, said) in [
        (
            "identity: {}\n  - aesgcm:\n      keys:\n      - name: k\n        secret: YWJj",
            "line 10, column 17: resources[0].providers[1].aesgcm.keys[0].secret: is a key of 3 bytes, not of 16, 24, 32",
        ),
        ("kms: {name: a}", "line 6, column 10: resources[0].providers[0].kms.endpoint: is missing"),
        (
            "kms: {name: a, pandas: 1}",
            "line 6, column 20: resources[0].providers[0].kms: an unknown field; there is \
          apiVersion, name, cachesize, endpoint, timeout",
        ),
        ("kms: {name: 1}", "line 6, column 17: resources[0].providers[0].kms.name: must be a text: quote it"),
        ("kms: {name: a, name: a}", "line 6, column 20: resources[0].providers[0].kms: has name twice"),
        (
            "identity: {}\n    kms: {}",
            "line 6, column 5: resources[0].providers[0]: must be one of aescbc, aesgcm, \
          identity, kms and secretbox",
        ),
        (
            "aesgcm: {keys: [{name: é, secret: [}]}",
            "line 6, column 40: resources[0].providers[0].aesgcm.keys[0]\
          .secret: no YAML: ",
        ),
        (
            "kms: {name: a, endpoint: tcp://a}",
            "line 6, column 30: resources[0].providers[0].kms.endpoint: must be a \
          URL of the scheme unix",
        ),
    ] {
        let ours = parse(&file(provider)).unwrap_err().to_string();
        assert!(ours.contains(said), "{ours}\n{said}");
    }
    let json = r#"{"kind": "EncryptionConfig", "apiVersion": "v1", "resources": [{"resources": [1e3]}]}"#;
    let said = "line 1, column 79: resources[0].resources[0]: must be a text: quote it";
    assert!(parse(json).unwrap_err().to_string().contains(said), "{}", parse(json).unwrap_err());
    let said = EncryptionConfiguration::parse(b"kind: a\n\xff", Gate::default()).unwrap_err().to_string();
    assert!(said.contains("line 2, column 1: not UTF-8"), "{said}");
}

#[test]
fn a_resource_has_the_providers_of_its_name_or_of_the_nearest_wildcard() {
    let keys = ["a", "b", "c", "d", "e"].map(|name| key("secretbox", name));
    let entries = [
        ("secrets, x.g", &keys[0]),
        ("secrets", &keys[1]),
        ("'*.apps'", &keys[2]),
        ("'*.'", &keys[3]),
        ("'*.*'", &keys[4]),
    ];
    let config = of(&entries.map(|(names, key)| (names, key.as_str()))).unwrap();
    let names = |resource| {
        let name = |provider: &&Provider| match provider {
            Provider::Secretbox(keys) => keys[0].name().to_owned(),
            _ => unreachable!("there is no other"),
        };
        config.for_resource(resource).unwrap().iter().map(name).collect::<String>()
    };
    let found = ["secrets", "x.g", "pods", "deployments.apps", "y.g", "secrets.g"].map(names);
    assert_eq!(found, ["ab", "a", "d", "c", "e", "e"]);
    assert!(of(&[("secrets", "identity: {}")]).unwrap().for_resource("pods").is_none());
}

#[test]
fn the_gate_and_the_reload_of_the_server_count() {
    let kms = "kms: {name: a, endpoint: 'unix:///a'}";
    let twice = format!("{HEAD}resources:\n- resources: [secrets]\n  providers: [{kms}, {kms}]\n");
    let judged = |kms_v1, reload| EncryptionConfiguration::parse(twice.as_bytes(), Gate { kms_v1, reload });
    assert!(judged(true, false).is_ok());
    assert!(judged(true, true).unwrap_err().to_string().contains("is that of another kms provider"));
    assert!(judged(false, false).unwrap_err().to_string().contains("KMSv1=true"));
}

#[test]
fn hostile_configurations_end_soon() {
    let begun = Instant::now();
    let level = |i: usize| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i.max(1) - 1); 9].join(", "));
    let bomb = (0..60).map(level).collect::<String>().replacen("*a0", "x", 9);
    let resources = (0..40_000).map(|i| format!("r{i}, ")).collect::<String>();
    for (text, said) in [
        (bomb, "holds too much"),
        (format!("a: &a {}\nb: [{}]", "x".repeat(500_000), "*a, ".repeat(100_000)), "holds too much"),
        ("[".repeat(1 << 19), "recursion limit"),
        ("{".repeat(1 << 19), "no JSON"),
        ("- ".repeat(1 << 19), ""),
        ("? ".repeat(1 << 19), ""),
        ("a: ".repeat(1 << 18), ""),
        ("{\"a\":".repeat(1 << 17), "too deep"),
        (" ".repeat((1 << 20) + 1), "longer than 1 MiB"),
        ("&a [*a]".into(), "itself part of"),
        ("a\n".repeat(1 << 19), ""),
        ("\"".repeat(1 << 20), ""),
        ("#\n".repeat(1 << 19), ""),
        ("%YAML 1.1\n".repeat(100_000), ""),
        ("k: v\n".repeat(200_000), ""),
    ] {
        let ours = parse(&text).unwrap_err().to_string();
        assert!(ours.contains(said) && ours.len() < 500, "{said}: {ours}");
    }
    assert!(of(&[(&resources, "identity: {}")]).is_ok());
    assert!(begun.elapsed().as_secs() < 60);
}

#[test]
fn lists_are_of_both_styles() {
    let keys = format!("- {{name: a, secret: {KEY}}}\n      - name: b\n        secret: |\n          {KEY}\n");
    let text = |keys: &str| {
        parse(&format!(
            "{HEAD}resources:\n- resources: [a]\n  providers:\n  - secretbox:\n      keys:\n{keys}"
        ))
    };
    assert!(text(&format!("      {keys}")).is_ok());
    assert!(text(&format!("        {}", keys.replace("\n ", "\n   "))).is_ok());
    let within = format!("      - {{name: a, secret: |\n          {KEY}\n}}\n");
    assert!(text(&within).is_err());
}
