//! No branch and no address depends on a key, on plaintext or on what is made of them.
use super::CbcKey;
use crate::{
    arch::gcm::constant_time::engines,
    secret::constant_time::{constant_time, hidden, hide, is_hidden, show},
};

#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn f27_no_branch_and_no_address_of_cbc_depends_on_a_secret() {
    for (engine, size) in engines().into_iter().flat_map(|engine| [16, 24, 32].map(|size| (engine, size))) {
        let key = hidden([7; 32]);
        let key = constant_time(|| CbcKey::on(engine, &key[..size])).unwrap();
        for blocks in 0..40 {
            let (mut data, mut opened) = (vec![9; 16 * blocks], Vec::new());
            hide(&mut data[..]);
            constant_time(|| key.seal(&[4; 16], &mut data)).unwrap();
            assert!(is_hidden(&data) || blocks == 0);
            show(&mut data[..]);
            let sealed = [&[4; 16], &data[..]].concat();
            constant_time(|| key.open_onto(&sealed, &mut opened)).unwrap();
            assert!(is_hidden(&opened) || blocks == 0);
        }
    }
}
