//! A process of a service: a `Kms` that remembers nothing at first.
use crate::{
    kms::{Aws, Client, Named},
    plan::{Service, TENANTS},
    promises::STAMPEDE,
    world::{Called, Host, World},
};
use libkms::{
    Aad, DekPolicy, EncryptionContext, Freshness, Header, Kms, Opened, OutagePolicy, Result, Scope,
    WrapPolicy,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

pub struct Process {
    pub number: u32,
    /// The service's place among all.
    pub service: usize,
    pub kms: Kms,
    pub clients: Vec<Client>,
    pub calls_per_second: u32,
    pub host: Host,
    /// When a stampede last began.
    overrun: Option<Duration>,
    scopes: Vec<Scope>,
}

/// What a caller gets.
pub enum Answer {
    Sealed(Result<Vec<u8>>),
    Opened(Result<Opened>),
    Freshness(Freshness),
    Rewrapped(Result<Option<Vec<u8>>>),
}

impl Process {
    pub fn start(number: u32, place: usize, service: &Service, aws: &Aws, world: &World) -> Self {
        let client = |region: &usize| Client {
            aws: aws.clone(),
            process: number,
            region: *region,
            calls_per_second: service.calls_per_second,
            // Whoever configures it knows the keys so far.
            accepts: (!service.accepts_account).then(|| Arc::new(Mutex::new(aws.state().arns(*region)))),
        };
        let clients: Vec<_> = service.regions.iter().map(client).collect();
        let host = world.host();
        let dek = DekPolicy::reuse().for_time(service.dek_time).for_messages(service.messages);
        let wrap = if service.all_wrap { WrapPolicy::all() } else { WrapPolicy::at_least(1) };
        let builder = clients.iter().fold(Kms::builder(), |builder, client| builder.kek(client.clone()));
        let kms = builder
            .runtime(host.clone())
            .dek_policy(dek)
            .wrap_policy(wrap)
            .outage_policy(OutagePolicy::default().seal_for(service.seal_for))
            .most_deks(service.most_deks, service.most_deks)
            .build()
            .unwrap();
        let scopes = (0..TENANTS).map(|tenant| kms.scope(context(tenant))).collect();
        let (calls_per_second, overrun) = (service.calls_per_second, None);
        Self { number, service: place, kms, clients, calls_per_second, host, overrun, scopes }
    }

    pub fn is_overrun_from(&mut self, now: Duration) {
        self.overrun = Some(now);
    }

    /// In a stampede, when its quota is spent.
    pub fn is_overrun(&self, from: Duration, to: Duration) -> bool {
        self.overrun.is_some_and(|since| since <= to && from < since + STAMPEDE)
    }

    /// Whether it may ask for this key.
    pub fn allows(&self, named: &Named) -> bool {
        self.clients.iter().any(|client| client.region == named.region && client.allows(named))
    }

    pub fn seals(&self, tenant: u64, aad: u64, plaintext: Vec<u8>) -> Called<Answer> {
        let scope = self.scope(tenant);
        Called::new(async move { Answer::Sealed(scope.seal(Aad::new(&aad.to_be_bytes()), &plaintext).await) })
    }

    pub fn opens(&self, tenant: u64, aad: u64, sealed: Vec<u8>) -> Called<Answer> {
        let scope = self.scope(tenant);
        Called::new(async move { Answer::Opened(scope.open(Aad::new(&aad.to_be_bytes()), &sealed).await) })
    }

    pub fn asks_for_freshness(&self, sealed: &[u8]) -> Called<Answer> {
        let (kms, header) = (self.kms.clone(), Header::parse(sealed).unwrap());
        Called::new(async move { Answer::Freshness(kms.freshness(&header).await) })
    }

    pub fn rewraps(&self, tenant: u64, sealed: Vec<u8>) -> Called<Answer> {
        let scope = self.scope(tenant);
        Called::new(async move { Answer::Rewrapped(scope.rewrap(&sealed).await) })
    }

    fn scope(&self, tenant: u64) -> Scope {
        self.scopes[tenant as usize].clone()
    }
}

pub fn context(tenant: u64) -> EncryptionContext {
    EncryptionContext::new([("tenant", tenant.to_string())]).unwrap()
}
