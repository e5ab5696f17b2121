//! Row 55: whatever a crash leaves of what was not synced, one copy is whole.
use super::*;
use crate::{Dek, EncryptionContext, Header, KeyId, Recipient, Suite, WrappedDek, envelope::Plan};
use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

const PLACE: usize = 4096;
const SECTOR: usize = 512;
const SECTORS: usize = 2 * PLACE / SECTOR;
const JUNK: [u8; SECTOR] = [0xa5; SECTOR];
/// Ways of one crash that are all looked at. If there are more, these are too many already.
const MOST: usize = 100_000;

/// What lies in each sector of both copies, by its number in [`Case::contents`].
type State = [u8; SECTORS];
/// What may lie there after a crash, for each sector: a set of such numbers, as bits.
type Crash = [u16; SECTORS];

/// A disk with a cache: what was written and not synced may be there after a crash, sector by
/// sector, or not, or be junk.
struct Disk<'a> {
    case: &'a mut Case,
    synced: State,
    cached: State,
    /// What each sector held in the cache since the last sync.
    pending: [Vec<u8>; SECTORS],
    /// What a crash can leave: between any two syncs.
    crashes: Vec<Crash>,
    reads: usize,
}

impl<'a> Disk<'a> {
    fn new(case: &'a mut Case, state: State) -> Self {
        let pending = std::array::from_fn(|_| Vec::new());
        Self { case, synced: state, cached: state, pending, crashes: Vec::new(), reads: 0 }
    }

    fn crash(&self) -> Crash {
        std::array::from_fn(|s| {
            let torn = if self.pending[s].is_empty() { 0 } else { 1 << self.case.number(&JUNK) };
            self.pending[s].iter().fold(torn | 1 << self.synced[s], |set, n| set | 1 << n)
        })
    }
}

impl Medium for Disk<'_> {
    fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<()> {
        self.reads += bytes.len();
        bytes.copy_from_slice(&self.case.bytes(&self.cached)[at as usize..][..bytes.len()]);
        Ok(())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        assert_eq!((at as usize % SECTOR, bytes.len() % SECTOR), (0, 0), "whole sectors");
        for (s, sector) in (at as usize / SECTOR..).zip(bytes.chunks(SECTOR)) {
            self.cached[s] = self.case.learn(sector);
            self.pending[s].push(self.cached[s]);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        // All that was possible before this moment was possible just before it.
        self.crashes.push(self.crash());
        self.pending.iter_mut().for_each(Vec::clear);
        self.synced = self.cached;
        Ok(())
    }
}

/// Headers of one DEK under several KEKs, and the sectors they are made of.
struct Case {
    keys: Rc<DerivedKeys>,
    headers: Vec<HeaderCopy>,
    contents: Vec<Vec<u8>>,
    numbers: HashMap<Vec<u8>, u8>,
}

impl Case {
    fn new() -> Self {
        let context = EncryptionContext::empty();
        let keys = Rc::new(DerivedKeys::of(&Dek::generate().unwrap(), Suite::Chunked, &context).unwrap());
        let recipients = |wraps: &[(u8, usize)]| -> Vec<Recipient> {
            let wrapped = |n: u8, len| WrappedDek::new(KeyId::new(format!("k/{n}")).unwrap(), vec![n; len]);
            wraps.iter().map(|(n, len)| Recipient::new("local", wrapped(*n, *len))).collect()
        };
        let old = recipients(&[(1, 40)]);
        let plan = Plan { suite: Suite::Chunked, copies: Copies::Two, recipients: &old, context: None };
        let old = HeaderCopy::build(&plan, &keys).unwrap();
        // Long enough to reach into several sectors, each its own way.
        let longer = old.rewrapped(recipients(&[(2, 1200), (3, 700)]), &keys).unwrap();
        let other = old.rewrapped(recipients(&[(4, 600)]), &keys).unwrap();
        let headers = vec![old, longer, other];
        assert!(headers.iter().all(|h| h.bytes().len() == PLACE));
        let mut case = Self { keys, headers, contents: Vec::new(), numbers: HashMap::new() };
        case.learn(&JUNK);
        case
    }

    fn learn(&mut self, sector: &[u8]) -> u8 {
        if let Some(number) = self.numbers.get(sector) {
            return *number;
        }
        let number = self.contents.len() as u8;
        assert!(number < 16);
        self.contents.push(sector.into());
        self.numbers.insert(sector.into(), number);
        number
    }

    fn number(&self, sector: &[u8]) -> u8 {
        self.numbers[sector]
    }

    fn state(&mut self, bytes: &[u8]) -> State {
        let numbers: Vec<_> = bytes.chunks(SECTOR).map(|sector| self.learn(sector)).collect();
        numbers.try_into().unwrap()
    }

    /// Both copies as header `n` has them.
    fn whole(&mut self, n: usize) -> State {
        let bytes = self.headers[n].all_copies();
        self.state(&bytes)
    }

    fn bytes(&self, state: &State) -> Vec<u8> {
        state.iter().flat_map(|number| &self.contents[usize::from(*number)]).copied().collect()
    }

    /// A reader finds a copy that holds.
    fn opens(&self, state: &State) -> bool {
        let sealed = [self.bytes(state), vec![0; 72]].concat();
        Header::parse(&sealed).is_ok_and(|h| h.tries().iter().any(|copy| copy.verify(&self.keys).is_ok()))
    }

    /// A rewrap for the KEKs of header `new`: what is there after it, and what if it crashed.
    fn rewrap(&mut self, state: State, new: usize) -> Result<Vec<Crash>> {
        let (keys, new) = (self.keys.clone(), self.headers[new].clone());
        let mut disk = Disk::new(self, state);
        replace_in_place(&mut disk, &keys, &new)?;
        assert_eq!(disk.reads, 2 * PLACE, "nothing of the payload");
        let (synced, crashes) = (disk.synced, disk.crashes);
        assert!(self.bytes(&synced) == new.all_copies(), "done is done: a crash undoes nothing");
        Ok(crashes)
    }
}

/// Each way to choose one of every set; every so many if they are too many to look at.
fn ways(crash: &Crash) -> impl Iterator<Item = State> {
    let choices: Vec<Vec<u8>> =
        crash.iter().map(|set| (0..16).filter(|n| set >> n & 1 == 1).collect()).collect();
    let all = choices.iter().map(|c| c.len() as u64).product::<u64>();
    let step = (all / MOST as u64).max(1) | 1;
    (0..all).step_by(step as usize).map(move |mut way| {
        std::array::from_fn(|s| {
            let len = choices[s].len() as u64;
            let choice = choices[s][(way % len) as usize];
            way /= len;
            choice
        })
    })
}

#[test]
fn f55_every_torn_state_opens_in_both_stages() {
    let mut case = Case::new();
    let old = case.whole(0);
    let crashes = case.rewrap(old, 1).unwrap();
    let touched = |crash: &Crash| crash.map(|set| set.count_ones() > 1);
    let half = SECTORS / 2;
    let second: [bool; SECTORS] = std::array::from_fn(|s| s >= half);
    assert_eq!(crashes.iter().map(touched).collect::<Vec<_>>(), [second, second.map(|s| !s)]);
    // Of eight sectors three are zeros in both headers: they can be that, or junk.
    let states: Vec<_> = crashes.iter().flat_map(ways).collect();
    assert_eq!(states.len(), 2 * 3usize.pow(5) * 2usize.pow(3));
    assert!(states.iter().all(|state| case.opens(state)));
}

/// A crash while the damage of a crash is mended, and so on: every state that any number of
/// crashes can leave, of rewraps that go to one KEK or another, opens, and the next rewrap
/// makes it whole.
#[test]
fn f55_every_torn_state_of_a_repair_opens_and_is_mended() {
    let mut case = Case::new();
    let (mut open, mut known, mut seen) = (vec![case.whole(0)], HashSet::new(), Vec::<Crash>::new());
    let mut damaged = 0;
    while let Some(state) = open.pop() {
        for new in 1..case.headers.len() {
            for crash in case.rewrap(state, new).expect("it is mended") {
                // What can be after a crash that could leave more was looked at.
                let is_part_of = |of: &Crash| of.iter().zip(&crash).all(|(of, set)| set & !of == 0);
                if seen.iter().any(is_part_of) {
                    continue;
                }
                seen.push(crash);
                for torn in ways(&crash) {
                    if known.insert(torn) {
                        assert!(case.opens(&torn), "{torn:?}");
                        damaged += 1;
                        open.push(torn);
                    }
                }
            }
        }
    }
    assert!(damaged > 10_000, "{damaged} states");
}

#[test]
fn two_copies_that_fail_are_left_alone() {
    let mut case = Case::new();
    let mut bytes = case.headers[0].all_copies();
    bytes[PLACE - 1] ^= 1;
    bytes[2 * PLACE - 1] ^= 1;
    let (state, keys, new) = (case.state(&bytes), case.keys.clone(), case.headers[1].clone());
    let mut disk = Disk::new(&mut case, state);
    assert!(replace_in_place(&mut disk, &keys, &new).is_err());
    assert_eq!((disk.cached, disk.crashes.len()), (state, 0));
}

#[test]
fn what_was_verified_before_is_replaced_without_keys() {
    let mut case = Case::new();
    let (old, new) = (case.headers[0].clone(), case.headers[1].clone());
    let [whole, done] = [0, 1].map(|n| case.whole(n));
    let torn = case.state(&[new.bytes(), old.bytes()].concat());
    // One copy is another by now: it is mended first. Both: nothing is written.
    for (state, syncs) in [(whole, 2), (torn, 3)] {
        let mut disk = Disk::new(&mut case, state);
        replace_known(&mut disk, &old, &new).unwrap();
        assert!(disk.synced == done && disk.crashes.len() == syncs);
    }
    let mut disk = Disk::new(&mut case, done);
    assert!(replace_known(&mut disk, &old, &new).is_err() && disk.crashes.is_empty());
}
