//! AWS KMS as far as libkms sees it: an alias that moves, keys that come and go, a quota, and
//! whatever is wrong at the time.
use crate::{
    log::Log,
    plan::{Call, Fault, How, MS, Random},
    promises::CALL_TIMEOUT,
    seen::Seen,
    world::World,
};
use libkms::{
    Dek, EncryptionContext, Error, ErrorKind, KeyId, Result, WrappedDek, async_trait, kek::KmsBackend,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::pending,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// A clone is another handle on the same.
#[derive(Clone)]
pub struct Aws(Arc<Inner>);

struct Inner {
    world: World,
    log: Log,
    faults: Vec<Fault>,
    state: Mutex<State>,
}

pub struct State {
    random: Random,
    regions: Vec<Region>,
    deks: BTreeMap<[u8; 32], usize>,
    made: Vec<Made>,
    blobs: Vec<Blob>,
    names: BTreeMap<String, Named>,
    seen: BTreeMap<(u32, usize), Seen>,
    /// The last Decrypt that told a process this DEK: when it began and when it ended.
    told: BTreeMap<(u32, usize), (Duration, Duration)>,
}

struct Region {
    name: &'static str,
    keys: Vec<Key>,
    alias: usize,
    /// What was current, and since when.
    history: Vec<(Duration, Named)>,
    /// This second, and the calls that passed in it while the quota is low.
    passed: (u64, u64),
}

struct Key {
    arn: String,
    material: u32,
    disabled: Vec<(Duration, Duration)>,
}

/// A key in a region, and its material.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    pub region: usize,
    pub key: usize,
    pub material: u32,
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.region, self.key, self.material)
    }
}

/// A wrapped DEK. Its number is the ciphertext.
struct Blob {
    named: Named,
    dek: usize,
    context: EncryptionContext,
}

/// Of a DEK: when the call began that made it, and for which process.
#[derive(Clone, Copy)]
pub struct Made {
    pub at: Duration,
    pub process: u32,
    bytes: [u8; 32],
}

impl Aws {
    pub fn new(world: World, log: Log, seed: u64, names: &[&'static str], faults: Vec<Fault>) -> Self {
        let region = |name: &&'static str| Region {
            name,
            keys: Vec::new(),
            alias: 0,
            history: Vec::new(),
            passed: (0, 0),
        };
        let state = State {
            random: Random(seed),
            regions: names.iter().map(region).collect(),
            deks: BTreeMap::new(),
            made: Vec::new(),
            blobs: Vec::new(),
            names: BTreeMap::new(),
            seen: BTreeMap::new(),
            told: BTreeMap::new(),
        };
        let aws = Self(Arc::new(Inner { world, log, faults, state: Mutex::new(state) }));
        (0..names.len()).for_each(|region| aws.moves(region, 0));
        aws
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// The alias leads to a new key, or to one that it led to before.
    pub fn moves(&self, region: usize, pick: u64) {
        let mut state = self.state();
        let r = &mut state.regions[region];
        let (old, many) = (pick as usize / 2, r.keys.len());
        r.alias = if pick.is_multiple_of(2) || many == 0 { many } else { old % many };
        if r.alias == many {
            let arn = format!("{}{:08x}-0000-4000-8000-000000000000", account(r.name), many);
            r.keys.push(Key { arn, material: 0, disabled: Vec::new() });
        }
        self.changed(&mut state, region);
    }

    pub fn rotates(&self, region: usize) {
        let mut state = self.state();
        let r = &mut state.regions[region];
        r.keys[r.alias].material += 1;
        self.changed(&mut state, region);
    }

    /// The one that wraps, or any.
    pub fn disables(&self, region: usize, pick: u64, time: Duration) {
        let mut state = self.state();
        let now = self.0.world.now();
        let r = &mut state.regions[region];
        let key = if pick.is_multiple_of(2) { r.alias } else { pick as usize / 2 % r.keys.len() };
        r.keys[key].disabled.push((now, now + time));
        self.0.log.say(now, format_args!("{}: key {key} is disabled for {time:?}", r.name));
    }

    fn changed(&self, state: &mut State, region: usize) {
        let now = self.0.world.now();
        let r = &mut state.regions[region];
        let named = Named { region, key: r.alias, material: r.keys[r.alias].material };
        if r.history.last().is_none_or(|(_, last)| *last != named) {
            r.history.push((now, named));
            self.0.log.say(now, format_args!("{}: {named:?} is current", r.name));
        }
        let id = r.id(named);
        state.names.insert(id, named);
    }
}

/// What the judges want to know.
impl State {
    /// What was current at some time between the two.
    pub fn current(&self, region: usize, from: Duration, to: Duration) -> BTreeSet<Named> {
        let history = &self.regions[region].history;
        let ends = history.iter().skip(1).map(|(since, _)| *since).chain([Duration::MAX]);
        let spans = history.iter().zip(ends);
        spans.filter(|((since, _), end)| *since <= to && *end >= from).map(|((_, named), _)| *named).collect()
    }

    /// The same, and what was said to this process meanwhile.
    pub fn current_or_told(
        &self,
        region: usize,
        process: u32,
        from: Duration,
        to: Duration,
    ) -> BTreeSet<Named> {
        let mut named = self.current(region, from, to);
        if let Some(seen) = self.seen.get(&(process, region)) {
            named
                .extend(seen.told.iter().filter(|(at, _)| *at >= from && *at <= to).map(|(_, named)| *named));
        }
        named
    }

    pub fn is_disabled(&self, region: usize, key: usize, from: Duration, to: Duration) -> bool {
        self.regions[region].keys[key].disabled.iter().any(|(since, until)| *since <= to && *until >= from)
    }

    /// Of a stored id.
    pub fn named(&self, id: &KeyId) -> Option<Named> {
        self.names.get(id.as_str()).copied()
    }

    /// The DEK in a wrapped one.
    pub fn dek_of(&self, ciphertext: &[u8]) -> Option<usize> {
        Some(self.blob(ciphertext)?.dek)
    }

    pub fn made(&self, dek: usize) -> Made {
        self.made[dek]
    }

    pub fn seen(&self, process: u32, region: usize) -> Option<&Seen> {
        self.seen.get(&(process, region))
    }

    /// When a Decrypt last told a process this DEK.
    pub fn told(&self, process: u32, dek: usize) -> Option<(Duration, Duration)> {
        self.told.get(&(process, dek)).copied()
    }

    /// All keys so far, as an operator would list them.
    pub fn arns(&self, region: usize) -> BTreeSet<String> {
        self.regions[region].keys.iter().map(|key| key.arn.clone()).collect()
    }

    pub fn calls(&self) -> u64 {
        self.seen.values().map(|seen| seen.calls).sum()
    }

    fn blob(&self, ciphertext: &[u8]) -> Option<&Blob> {
        let number = u64::from_be_bytes(ciphertext.try_into().ok()?);
        self.blobs.get(usize::try_from(number).ok()?)
    }
}

impl Region {
    fn id(&self, named: Named) -> String {
        format!("{}#{:064x}", self.keys[named.key].arn, named.material)
    }
}

fn account(region: &str) -> String {
    format!("arn:aws:kms:{region}:111122223333:key/")
}

/// What one process has of one region: the backend.
#[derive(Clone)]
pub struct Client {
    pub aws: Aws,
    pub process: u32,
    pub region: usize,
    pub calls_per_second: u32,
    /// The keys that open; `None`: all of the account.
    pub accepts: Option<Arc<Mutex<BTreeSet<String>>>>,
}

impl Client {
    pub fn allows(&self, named: &Named) -> bool {
        let id = self.aws.state().regions[named.region].id(*named);
        self.accepts(&KeyId::new(id).unwrap())
    }

    /// One call: what `answer` gives, if nothing is wrong. It is told the key to name: as old
    /// as the way is long, that was current when the call arrived.
    async fn visit<T>(
        &self,
        call: Call,
        answer: impl FnOnce(&mut State, Duration, Named) -> Result<T> + Send,
    ) -> Result<T> {
        let visit = self.arrives(call)?;
        let inner = &self.aws.0;
        let fault = inner.faults.iter().find(|f| {
            f.region == self.region && f.calls.contains(&call) && (f.from..f.to).contains(&visit.began)
        });
        let (latency, slow, luck, named) = self.draw(fault.map(|f| f.how));
        inner.world.sleep(latency).await;
        let answer = |state: &mut State| answer(state, visit.began, named);
        let said = match fault.map(|f| f.how) {
            Some(How::Hangs) => pending().await,
            Some(How::Unavailable) => Err(Error::new(ErrorKind::Unavailable, "HTTP 503")),
            Some(How::Denied) => Err(Error::new(ErrorKind::Denied, "AccessDeniedException")),
            Some(How::Flaky(bad)) if luck < bad => Err(Error::new(ErrorKind::Unavailable, "HTTP 500")),
            Some(How::Throttled(passes, retry_after)) if !self.passes(passes) => {
                let throttled = Error::new(ErrorKind::Unavailable, "ThrottlingException");
                Err(retry_after.map_or(throttled.clone(), |time| throttled.with_retry_after(time)))
            }
            Some(How::Slow(most)) => {
                inner.world.sleep(slow * most as u32).await;
                answer(&mut self.aws.state())
            }
            _ => answer(&mut self.aws.state()),
        };
        visit.leaves(said)
    }

    fn arrives(&self, call: Call) -> Result<Visit<'_>> {
        let began = self.aws.0.world.now();
        let mut state = self.aws.state();
        let seen = state.seen.entry((self.process, self.region)).or_default();
        if let Err(breach) = seen.arrives(call, began, self.calls_per_second) {
            self.aws.0.log.breach(began, format_args!("process {}: {breach}", self.process));
        }
        Ok(Visit { client: self, call, began, is_over: false })
    }

    /// How long it takes, a second's part of that if it is slow, a number below 100, and the
    /// key that is named.
    fn draw(&self, how: Option<How>) -> (Duration, Duration, u64, Named) {
        let mut state = self.aws.state();
        let state = &mut *state;
        let random = &mut state.random;
        let (latency, slow, luck) = (5 + random.below(50), random.below(1000), random.below(100));
        let history = &state.regions[self.region].history;
        let (last, before) = (history.len() - 1, history.len().saturating_sub(2));
        let place = match how {
            Some(How::Stale) => before,
            Some(How::Flapping) if luck < 50 => before,
            _ => last,
        };
        (MS * latency as u32, MS * slow as u32, luck, history[place].1)
    }

    /// Whether this call is among those of this second that pass.
    fn passes(&self, passes: u64) -> bool {
        let mut state = self.aws.state();
        let (second, passed) = &mut state.regions[self.region].passed;
        let now = self.aws.0.world.now().as_secs();
        if *second != now {
            (*second, *passed) = (now, 0);
        }
        *passed += 1;
        *passed <= passes
    }

    /// The id to store, which this client now accepts.
    fn told(&self, state: &mut State, named: Named) -> Result<KeyId> {
        let region = &state.regions[self.region];
        if let Some(accepts) = &self.accepts {
            accepts.lock().unwrap().insert(region.keys[named.key].arn.clone());
        }
        let id = KeyId::new(region.id(named));
        let seen = state.seen.get_mut(&(self.process, self.region)).expect("it arrived");
        seen.told.push((self.aws.0.world.now(), named));
        id
    }

    fn wrap(
        &self,
        state: &mut State,
        began: Duration,
        named: Named,
        dek: &Dek,
        context: &EncryptionContext,
    ) -> Result<WrappedDek> {
        let now = self.aws.0.world.now();
        if state.is_disabled(self.region, named.key, now, now) {
            return Err(disabled());
        }
        let bytes = *dek.expose()?;
        let next = state.made.len();
        let dek = *state.deks.entry(bytes).or_insert(next);
        if dek == next {
            state.made.push(Made { at: began, process: self.process, bytes });
        }
        let number = state.blobs.len() as u64;
        state.blobs.push(Blob { named, dek, context: context.clone() });
        Ok(WrappedDek::new(self.told(state, named)?, number.to_be_bytes().to_vec()))
    }

    fn unwrap(
        &self,
        state: &mut State,
        began: Duration,
        wrapped: &WrappedDek,
        context: &EncryptionContext,
    ) -> Result<Dek> {
        let now = self.aws.0.world.now();
        let named = state.named(&wrapped.key_id).filter(|named| named.region == self.region);
        let Some(named) = named.filter(|_| self.accepts(&wrapped.key_id)) else {
            self.aws
                .0
                .log
                .breach(now, format_args!("Decrypt under {}, which nobody allowed", wrapped.key_id));
            return Err(Error::new(ErrorKind::Denied, "NotFoundException"));
        };
        if state.is_disabled(self.region, named.key, now, now) {
            return Err(disabled());
        }
        let blob = state.blob(&wrapped.ciphertext);
        let Some(blob) = blob.filter(|b| b.named.key == named.key && b.context == *context) else {
            return Err(Error::new(ErrorKind::Authentication, "InvalidCiphertextException"));
        };
        let dek = blob.dek;
        state.told.insert((self.process, dek), (began, now));
        Dek::take(state.made[dek].bytes)
    }

    fn was_refused(&self, wrapped: &WrappedDek, began: Duration) {
        let (now, mut state) = (self.aws.0.world.now(), self.aws.state());
        let seen = state.seen.get_mut(&(self.process, self.region)).expect("it arrived");
        if let Err(breach) = seen.refused(&wrapped.ciphertext, began, now) {
            self.aws.0.log.breach(now, format_args!("process {}: {breach}", self.process));
        }
    }
}

fn disabled() -> Error {
    Error::new(ErrorKind::Denied, "DisabledException").of_the_key()
}

/// A call under way. Dropped, it was given up.
struct Visit<'a> {
    client: &'a Client,
    call: Call,
    began: Duration,
    is_over: bool,
}

impl Visit<'_> {
    fn leaves<T>(mut self, said: Result<T>) -> Result<T> {
        self.is_over = true;
        self.ends(Some(said.as_ref().err()));
        said
    }

    /// `None`: it was given up.
    fn ends(&self, said: Option<Option<&Error>>) {
        let Client { aws, process, region, .. } = self.client;
        let now = aws.0.world.now();
        let mut state = aws.state();
        let seen = state.seen.get_mut(&(*process, *region)).expect("it arrived");
        seen.leaves(self.call, now, said);
        let said = said.map_or("given up".into(), |e| e.map_or("well".into(), ToString::to_string));
        let (call, took) = (self.call, now - self.began);
        if took > CALL_TIMEOUT {
            aws.0.log.breach(now, format_args!("process {process}: {call:?} took {took:?}"));
        }
        aws.0.log.say(now, format_args!("  {process} {call:?} in {region}: {said} after {took:?}"));
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.ends(None);
        }
    }
}

#[async_trait]
impl KmsBackend for Client {
    fn scheme(&self) -> &str {
        "aws-kms"
    }

    fn accepts(&self, key_id: &KeyId) -> bool {
        let arn = key_id.as_str().split('#').next().unwrap_or_default();
        match &self.accepts {
            Some(keys) => keys.lock().unwrap().contains(arn),
            None => arn.starts_with(&account(crate::plan::REGIONS[self.region])),
        }
    }

    async fn generate_dek(&self, context: &EncryptionContext) -> Result<(Dek, WrappedDek)> {
        self.visit(Call::GenerateDataKey, |state, began, named| {
            let dek = Dek::generate()?;
            let wrapped = self.wrap(state, began, named, &dek, context)?;
            Ok((dek, wrapped))
        })
        .await
    }

    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        self.visit(Call::Encrypt, |state, began, named| self.wrap(state, began, named, dek, context)).await
    }

    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        let began = self.aws.0.world.now();
        let said = self.visit(Call::Decrypt, |state, _, _| self.unwrap(state, began, wrapped, context)).await;
        if said.as_ref().is_err_and(|e| e.kind() == ErrorKind::Authentication) {
            self.was_refused(wrapped, began);
        }
        said
    }

    async fn current_key(&self) -> Result<Option<KeyId>> {
        self.visit(Call::DescribeKey, |state, _, named| self.told(state, named)).await.map(Some)
    }

    fn calls_per_second(&self) -> Option<u32> {
        Some(self.calls_per_second)
    }
}
