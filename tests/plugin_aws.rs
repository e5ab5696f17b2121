//! The KMS plugin over AWS KMS: aliases that move, new material, and what aws-encryption-provider
//! wrote.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/plugin.rs"]
mod plugin;
#[path = "common/program.rs"]
mod program;
#[path = "common/proxy.rs"]
mod proxy;

use aws_sdk_kms::primitives::Blob;
use common::Folder;
use libkms::{
    EncryptionContext, Kms, OutagePolicy, Wait,
    kek::{AwsKms, PluginClient, Wrapped},
    plugin::Plugin,
};
use moto::*;
use plugin::{Running, endpoint, runtime, until};
use proxy::{Answer, Proxy};
use std::{collections::HashMap, thread, time::Duration};

const SEED: [u8; 32] = [7; 32];

fn serve(proxy: &Proxy, key: &str, at: &str) -> Running {
    let kek = AwsKms::from_client(client(proxy.at), key).unwrap();
    let outage =
        OutagePolicy::default().deadline(Duration::from_secs(10)).call_timeout(Duration::from_secs(10));
    let kms = Kms::builder().kek(kek).outage_policy(outage).build().unwrap();
    let context = EncryptionContext::new([("cluster", "prod")]).unwrap();
    let plugin = Plugin::new(&kms, context).health_interval(Duration::from_secs(1)).unwrap();
    let running = Running::start(&plugin, at);
    until("it is healthy", || running.get("/readyz").0 == 200);
    running
}

#[test]
fn an_alias_that_moves_and_new_material_change_the_key_id_and_nothing_is_lost() {
    let (folder, proxy) = (Folder::new("plugin-aws-alias"), Proxy::before(MOTO.at));
    let (one, two) = (new_key(), new_key());
    let alias = new_alias("plugin-moves", &one);
    let at = endpoint(&folder.0, "kms.sock");
    let running = serve(&proxy, &alias, &at);
    let client = PluginClient::new(&at).unwrap().timeout(Duration::from_secs(20));
    let told = || client.status().wait().unwrap().check().unwrap().to_owned();
    let wrap = || client.encrypt(&SEED).wait().unwrap();
    let mut all = vec![wrap()];
    assert_eq!((told(), &*all[0].key_id), (format!("aws-kms:{one}"), &*format!("aws-kms:{one}")));
    assert!(all[0].ciphertext.len() < 600);
    // Whichever is seen first, the other is the same.
    move_alias(&alias, &two);
    until("the alias is seen to have moved", || told() == format!("aws-kms:{two}"));
    all.push(wrap());
    assert_eq!(all[1].key_id, format!("aws-kms:{two}"));
    for material in ["5a".repeat(32), "a5".repeat(32)] {
        proxy.material(Some(&material));
        let id = format!("aws-kms:{two}#{material}");
        until("new material is seen", || told() == id);
        all.push(wrap());
        assert_eq!(all.last().unwrap().key_id, id);
    }
    for wrapped in &all {
        assert_eq!(client.decrypt(wrapped).wait().unwrap().expose().unwrap(), SEED);
    }
    // Another process opens what the alias leads to by now.
    running.end().unwrap();
    let _running = serve(&proxy, &alias, &at);
    assert_eq!(client.decrypt(&all[1]).wait().unwrap().expose().unwrap(), SEED);
}

/// As aws-encryption-provider did it.
fn foreign(proxy: &Proxy, version: u8, key: &str, plaintext: &[u8]) -> Wrapped {
    let context = HashMap::from([("cluster".into(), "prod".into())]);
    let reply = runtime().block_on(async {
        let call = client(proxy.at).encrypt().key_id(key).plaintext(Blob::new(plaintext));
        call.set_encryption_context(Some(context)).send().await.unwrap()
    });
    let ciphertext = [&[version], reply.ciphertext_blob.unwrap().as_ref()].concat();
    Wrapped { ciphertext, key_id: key.into(), ..Default::default() }
}

#[test]
fn what_aws_encryption_provider_wrote_is_read() {
    let (folder, proxy, key) = (Folder::new("plugin-aws-foreign"), Proxy::before(MOTO.at), new_key());
    let at = endpoint(&folder.0, "kms.sock");
    let _running = serve(&proxy, &key, &at);
    let client = PluginClient::new(&at).unwrap().timeout(Duration::from_secs(20));
    let back = |wrapped: &Wrapped| client.decrypt(wrapped).wait().map(|b| b.expose().unwrap().to_vec());
    let of = |version| foreign(&proxy, version, &key, &SEED);
    assert_eq!(back(&of(b'2')).unwrap(), SEED);
    // Of version 1 no key id was stored; of version 2 it may be that of an alias.
    for said in ["", "arn:aws:kms:eu-central-1:123456789012:alias/cluster"] {
        assert_eq!(back(&Wrapped { key_id: said.into(), ..of(b'1') }).unwrap(), SEED);
    }
    // Thirty at once are one call.
    let wrapped = of(b'2');
    proxy.always("Decrypt", Answer::Late(Duration::from_millis(500)));
    proxy.forget();
    thread::scope(|s| {
        (0..30).for_each(|_| {
            s.spawn(|| assert_eq!(back(&wrapped).unwrap(), SEED));
        });
    });
    assert_eq!(proxy.count("Decrypt"), 1);
    proxy.pass().forget();
    // A key that is not allowed is not asked; altered bytes are refused.
    let e = back(&Wrapped { key_id: new_key(), ..of(b'2') }).unwrap_err();
    assert!(e.to_string().contains("FailedPrecondition"), "{e}");
    assert_eq!(proxy.count("Decrypt"), 0);
    let mut altered = of(b'2');
    *altered.ciphertext.last_mut().unwrap() ^= 1;
    assert!(back(&altered).is_err());
    let other = foreign(&proxy, b'2', &key, b"16 bytes, no DEK");
    assert!(back(&other).unwrap_err().to_string().contains("32 bytes"));
}
