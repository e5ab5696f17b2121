//! What can be measured of any [`Peer`].
use crate::{
    messages::{KeyUse, Messages},
    peers::{AwsLc, Direction, Peer, Tag},
};
use std::{cell::RefCell, hint::black_box, rc::Rc};

/// Does so many calls in a row.
pub type Burst = Box<dyn FnMut(usize)>;

pub struct Contestant {
    pub name: &'static str,
    pub burst: Burst,
}

/// By all contestants of a work: in the same memory none has the better place.
pub type Shared = Rc<RefCell<Messages>>;

/// A [`Peer`] as works need it.
pub trait Library {
    fn called(&self) -> &'static str;
    fn gcm(&self, direction: Direction, key: KeyUse, messages: &Shared) -> Contestant;
    fn set_up(&self, bytes: usize) -> Contestant;
    /// Panics if it does not make of messages what [`AwsLc`] makes of them.
    fn check(&self);
}

impl<P: Peer> Library for P {
    fn called(&self) -> &'static str {
        self.name()
    }

    fn gcm(&self, direction: Direction, key: KeyUse, messages: &Shared) -> Contestant {
        let (peer, messages) = (*self, messages.clone());
        let (bytes, first) = (messages.borrow().bytes(), *messages.borrow().reused_key());
        let warm = peer.key(&first, direction, bytes);
        let burst: Burst = match (direction, key) {
            (Direction::Seal, KeyUse::Reused) => seal_reused::<P>(warm, messages),
            (Direction::Open, KeyUse::Reused) => open_reused::<P>(warm, messages),
            (Direction::Seal, KeyUse::Fresh) => seal_fresh(peer, messages),
            (Direction::Open, KeyUse::Fresh) => open_fresh(peer, messages),
        };
        Contestant { name: self.name(), burst }
    }

    fn set_up(&self, bytes: usize) -> Contestant {
        let (peer, mut keys) = (*self, Messages::new(KeyUse::Fresh, 0, Direction::Seal));
        let burst = Box::new(move |calls| {
            for _ in 0..calls {
                black_box(&peer.key(black_box(keys.take().key), Direction::Seal, bytes));
            }
        });
        Contestant { name: self.name(), burst }
    }

    fn check(&self) {
        for (bytes, number) in [1, 15, 16, 17, 64, 100, 255, 1024, 4095, 16_384, 70_001].into_iter().zip(0..)
        {
            let (key, nonce) = ([number; 32], [number; 12]);
            let plain: Vec<_> = (0..bytes).map(|i| (i ^ i >> 8) as u8).collect();
            let (mut expected, mut made) = (plain.clone(), plain.clone());
            let expected_tag =
                AwsLc::seal(&mut AwsLc.key(&key, Direction::Seal, bytes), &nonce, &mut expected);
            let tag = P::seal(&mut self.key(&key, Direction::Seal, bytes), &nonce, &mut made);
            let same = (&made, tag) == (&expected, expected_tag);
            assert!(same, "{}: another ciphertext of {bytes} bytes", self.name());
            let open = |data: &mut [u8], tag: &Tag| {
                P::open(&mut self.key(&key, Direction::Open, bytes), &nonce, data, tag)
            };
            assert!(!open(&mut made.clone(), &[0; 16]), "{}: opens under a wrong tag", self.name());
            assert!(open(&mut made, &tag) && made == plain, "{}: opens to something else", self.name());
        }
    }
}

fn seal_reused<P: Peer>(mut key: P::Key, messages: Shared) -> Burst {
    Box::new(move |calls| {
        let mut messages = messages.borrow_mut();
        for _ in 0..calls {
            let message = messages.take();
            black_box(P::seal(black_box(&mut key), black_box(message.nonce), message.data));
        }
    })
}

fn open_reused<P: Peer>(mut key: P::Key, messages: Shared) -> Burst {
    Box::new(move |calls| {
        let mut messages = messages.borrow_mut();
        let mut authentic = true;
        for _ in 0..calls {
            let message = messages.take();
            authentic &= P::open(black_box(&mut key), black_box(message.nonce), message.data, message.tag);
        }
        assert!(authentic);
    })
}

fn seal_fresh<P: Peer>(peer: P, messages: Shared) -> Burst {
    Box::new(move |calls| {
        let mut messages = messages.borrow_mut();
        for _ in 0..calls {
            let message = messages.take();
            black_box(peer.seal_once(black_box(message.key), message.nonce, message.data));
        }
    })
}

fn open_fresh<P: Peer>(peer: P, messages: Shared) -> Burst {
    Box::new(move |calls| {
        let mut messages = messages.borrow_mut();
        let mut authentic = true;
        for _ in 0..calls {
            let message = messages.take();
            authentic &= peer.open_once(black_box(message.key), message.nonce, message.data, message.tag);
        }
        assert!(authentic);
    })
}
