use proptest::prelude::*;

use super::*;

fn message() -> Message {
    Message {
        version: Some(0),
        signers: 2,
        read_only_signers: 1,
        read_only_others: 1,
        accounts: vec![[1; 32], [2; 32], [3; 32]],
        blockhash: [9; 32],
        instructions: vec![Instruction { program: 2, accounts: vec![0, 1], data: vec![7; 200] }],
    }
}

fn bytes(change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = message();
    change(&mut message);
    Transaction::unsigned(message).encode()
}

#[test]
fn both_kinds_of_message_are_read_as_they_were_written() {
    for version in [None, Some(0)] {
        let transaction = Transaction::unsigned(Message { version, ..message() });
        assert_eq!(Transaction::decode(&transaction.encode()), Ok(transaction));
    }
}

#[test]
fn every_index_points_to_something() {
    let read = |change: fn(&mut Message)| Transaction::decode(&bytes(change)).unwrap_err();
    assert_eq!(read(|m| m.instructions[0].program = 3), Unreadable::Account);
    assert_eq!(read(|m| m.instructions[0].accounts.push(255)), Unreadable::Account);
    assert_eq!(read(|m| m.signers = 4), Unreadable::Header);
    assert_eq!(read(|m| m.read_only_signers = 2), Unreadable::Header, "nobody could pay");
    assert_eq!(read(|m| m.read_only_others = 2), Unreadable::Header);
    assert_eq!(read(|m| m.version = Some(1)), Unreadable::Version);
}

#[test]
fn one_transaction_has_one_spelling() {
    let good = bytes(|_| ());
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(Transaction::decode(&longer), Err(Unreadable::Trailing));
    let mut lookup = good.clone();
    *lookup.last_mut().unwrap() = 1;
    assert_eq!(Transaction::decode(&lookup), Err(Unreadable::Lookup));
    // Two signatures, written as 0x82 0x00.
    let mut padded = vec![0x82, 0];
    padded.extend(&good[1..]);
    assert_eq!(Transaction::decode(&padded), Err(Unreadable::Length));
    assert_eq!(Transaction::decode(&vec![0; LONGEST + 1]), Err(Unreadable::TooLong));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_what_is_read_is_written_alike(
        mut noise in proptest::collection::vec(any::<u8>(), 0..300),
        place in 0..450_usize,
        value: u8,
    ) {
        if let Ok(read) = Transaction::decode(&noise) {
            prop_assert_eq!(read.encode(), noise.clone());
        }
        // A good one with one byte changed comes further.
        noise = bytes(|_| ());
        if let Some(byte) = noise.get_mut(place) {
            *byte = value;
        }
        if let Ok(read) = Transaction::decode(&noise) {
            prop_assert_eq!(read.encode(), noise);
        }
    }
}
