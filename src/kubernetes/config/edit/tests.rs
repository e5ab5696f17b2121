use super::*;

const BLOCK: &str = "\
# The cluster's.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets, configmaps] # and nothing else
  providers:
  # it writes
  - aescbc:
      keys:
        # of 2020
        - secret: QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=
          name: old   # not good
        - name: older
          secret: |
            QkJCQkJCQkJCQkJCQkJCQkJC
            QkJCQkJCQkJCQkJCQkI=

  - identity: {}  # to read
# the end
";
const FLOW: &str = r#"{"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
 "resources": [{"resources": ["secrets"], "providers": [
   {"aescbc": {"keys": [{"name": "old", "secret": "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="},
     {"name": "older", "secret": "QkJCQkJCQkJCQkJCQkJCQg=="}]}},  {"identity": {}}]}]}"#;

fn text(text: &str) -> ConfigurationText {
    ConfigurationText::new(text.as_bytes(), Gate::default()).unwrap()
}

fn key(name: &str) -> KeyRef {
    name.parse().unwrap()
}

fn new(name: &str) -> NewProvider {
    NewProvider::Key(key(name))
}

fn kms(name: &str) -> NewProvider {
    NewProvider::Kms {
        name: name.into(),
        endpoint: "unix:///run/kms.sock".into(),
        timeout: Some("5s".into()),
    }
}

fn refs(text: &ConfigurationText) -> String {
    let providers = text.config().entries().iter().flat_map(|entry| entry.providers());
    let refs = providers.flat_map(|provider| provider.key_refs());
    refs.map(|key| key.to_string()).collect::<Vec<_>>().join(" ")
}

/// A survey by which no value depends on any key.
fn none(text: &ConfigurationText) -> Survey {
    Survey::new(text.config())
}

#[test]
fn an_edit_changes_what_it_means_and_nothing_else() {
    let mut file = text(BLOCK);
    file.add("secrets", &new("aescbc:new")).unwrap();
    assert_eq!(refs(&file), "aescbc:old aescbc:new aescbc:older identity");
    let (before, after) = BLOCK.split_at(BLOCK.find("        - name: older").unwrap());
    let between = file.text().strip_prefix(before).unwrap().strip_suffix(after).unwrap();
    assert!(between.starts_with("        - name: new\n          secret: ") && between.lines().count() == 2);
    file.promote("secrets", &key("aescbc:older")).unwrap();
    assert_eq!(refs(&file), "aescbc:older aescbc:old aescbc:new identity");
    file.drop_key("configmaps", &key("aescbc:new"), &none(&file)).unwrap();
    file.promote("secrets", &key("aescbc:old")).unwrap();
    assert_eq!(file.text(), BLOCK, "there and back");
}

#[test]
fn a_cluster_moves_to_a_plugin() {
    for begin in [BLOCK.to_owned(), BLOCK.replace('\n', "\r\n"), BLOCK.trim_end().into(), FLOW.into()] {
        let mut file = text(&begin);
        file.add("secrets", &kms("plug")).unwrap();
        assert_eq!(refs(&file), "aescbc:old aescbc:older kms:plug identity");
        file.promote("secrets", &key("kms:plug")).unwrap();
        assert_eq!(refs(&file), "kms:plug aescbc:old aescbc:older identity");
        for which in ["aescbc:older", "aescbc:old", "identity"] {
            file.drop_key("secrets", &key(which), &none(&file)).unwrap();
        }
        assert_eq!(refs(&file), "kms:plug");
        assert_eq!(begin.contains("# it writes"), file.text().contains("# the end"));
        assert!(begin.contains("\r\n") || !file.text().contains('\r'));
        assert!(
            !begin.contains("\r\n") || file.text().matches('\n').count() == file.text().matches('\r').count()
        );
    }
}

#[test]
fn no_key_goes_that_writes_or_that_values_depend_on() {
    let mut file = text(BLOCK);
    let said = |result: Result<()>| result.unwrap_err().to_string();
    let mut survey = none(&file);
    assert!(said(file.drop_key("secrets", &key("aescbc:old"), &survey)).contains("is what writes"));
    survey.count(b"k8s:enc:aescbc:v1:older:1234567890123456");
    survey.count(b"plain");
    survey.count(b"plain, too");
    assert!(
        said(file.drop_key("secrets", &key("aescbc:older"), &survey))
            .contains("a value depends on aescbc:older")
    );
    assert!(
        said(file.drop_key("secrets", &key("identity"), &survey)).contains("2 values depend on identity")
    );
    let other = Survey::from_json(br#"{"counts": {"k8s:enc:aescbc:v1:old:": 0}, "more": []}"#).unwrap();
    assert!(said(file.drop_key("secrets", &key("aescbc:older"), &other)).contains("tells nothing"));
    assert!(said(file.drop_key("secrets", &key("identity"), &other)).contains("tells nothing"));
    // The values of `older:x` may be those of `older`.
    let json = br#"{"counts": {"k8s:enc:aescbc:v1:older:": 0, "k8s:enc:aescbc:v1:older:x:": 3}, "plain": 0}"#;
    let longer = Survey::from_json(json).unwrap();
    assert!(said(file.drop_key("secrets", &key("aescbc:older"), &longer)).contains("3 values"));
    assert_eq!(file.text(), BLOCK);
    for wrong in ["", "[]", "{}", r#"{"counts": {"a": -1}}"#, r#"{"counts": {}, "plain": "0"}"#] {
        assert!(Survey::from_json(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn what_an_edit_would_change_besides_is_not_edited() {
    let shared = "kind: EncryptionConfig\napiVersion: v1\nresources:\n- resources: [secrets]\n  providers: &all\n  - \
                  identity: {}\n  - kms: {name: a, endpoint: 'unix:///a'}\n- resources: [pods]\n  providers: *all\n";
    let mut file = text(&shared.replace("kms: {name", "kms: {apiVersion: v1, name"));
    for result in [file.add("pods", &new("secretbox:k")), file.promote("secrets", &key("kms:a"))] {
        assert!(result.unwrap_err().to_string().contains("edit it by hand"));
    }
    let mut file = text(FLOW);
    for (resource, of, said) in [
        ("pods", new("secretbox:k"), "stored plain"),
        ("secrets", new("aescbc:old"), "is there already"),
        ("secrets", NewProvider::Identity, "is there already"),
        ("secrets", new("secretbox:a:b"), "1 to 64"),
        ("secrets", new("secretbox:-"), "begins with no -"),
        ("secrets", new("kms:k"), "have no keys"),
        ("secrets", kms(""), "1 to 64"),
    ] {
        let error = file.add(resource, &of).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    assert!(file.promote("secrets", &key("kms:no")).is_err());
    assert_eq!(file.text(), FLOW);
}

#[test]
fn a_new_one_is_what_was_asked_for() {
    let names = ["secrets".to_owned(), "*.apps".to_owned(), "x.g".to_owned()];
    let file = ConfigurationText::create(&names, &new("secretbox:1"), true).unwrap();
    assert_eq!(refs(&file), "secretbox:1 identity");
    assert_eq!(file.config().entries()[0].resources(), names);
    assert!(file.config().remarks().unwrap().is_empty());
    let other = ConfigurationText::create(&names, &new("secretbox:1"), true).unwrap();
    assert_ne!(file.text(), other.text(), "keys are fresh");
    let file = ConfigurationText::create(&names[..1], &kms("no"), false).unwrap();
    assert_eq!(refs(&file), "kms:no");
    assert!(ConfigurationText::create(&["Secrets".into()], &kms("a"), false).is_err());
    let secret = file.to_secret("enc", Some("kube-system")).unwrap();
    let data = secret.trim_end().rsplit_once(": ").unwrap().1;
    assert_eq!(*super::super::base64::decode(data).unwrap(), file.text().as_bytes());
    assert!(file.to_secret("a\nb", None).is_err() && file.to_secret("a", Some("-")).is_err());
}

#[test]
fn weak_ones_are_told() {
    let remarks = |text: &str| {
        let config = EncryptionConfiguration::parse(text.as_bytes(), Gate::default()).unwrap();
        config.remarks().unwrap().join("\n")
    };
    assert!(remarks(BLOCK).starts_with("resources[0]: aescbc writes") && remarks(BLOCK).lines().count() == 1);
    let twice = BLOCK.replace(
        "  - identity: {}  # to read",
        "  - secretbox: {keys: [{name: x, secret: \
        QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=}]}",
    );
    assert!(remarks(&twice).contains("aescbc:old and secretbox:x are the same key"));
    assert!(remarks(&BLOCK.replace("aescbc", "aesgcm")).contains("200,000"));
    let kms = "kind: EncryptionConfig\napiVersion: v1\nresources:\n- resources: [a]\n  providers: [{identity: {}}]\n\
               - resources: [b]\n  providers: [{kms: {name: a, endpoint: 'unix:///a'}}]\n";
    assert!(remarks(kms).contains("stored plain") && remarks(kms).contains("resources[1]: kms v1 writes"));
}
