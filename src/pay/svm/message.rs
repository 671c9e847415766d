//! A transaction as it goes over the wire: signatures, and the message that they sign, of the first kind or of
//! version 0 (docs.anza.xyz, "Transactions" and "Versioned transactions"). Read strictly: one transaction has one
//! spelling here, and every index in it points to something.

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use super::Key;

/// What a validator takes, in bytes.
const LONGEST: usize = 1232;
/// The first bit of a message says that a version follows; before versions it could not be set.
const VERSIONED: u8 = 0x80;

pub type SignatureBytes = [u8; 64];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// One for each of the first accounts of the message; zeros where it is still to be signed.
    pub signatures: Vec<SignatureBytes>,
    pub message: Message,
    /// The message's bytes: what is signed.
    signed: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// 0, or none.
    pub version: Option<u8>,
    /// Accounts that sign, which of them and of the others are only read.
    pub signers: u8,
    pub read_only_signers: u8,
    pub read_only_others: u8,
    pub accounts: Vec<Key>,
    pub blockhash: Key,
    pub instructions: Vec<Instruction>,
}

/// Program and accounts are places in the message's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    pub program: u8,
    pub accounts: Vec<u8>,
    pub data: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the transaction is longer than {LONGEST} bytes")]
    TooLong,
    #[error("the transaction ends too early")]
    TooShort,
    #[error("the transaction goes on after its end")]
    Trailing,
    #[error("a length is written in more bytes than it needs")]
    Length,
    #[error("the transaction is of another version than 0")]
    Version,
    #[error("the transaction's header does not fit its accounts and signatures")]
    Header,
    #[error("an instruction names an account that the transaction does not have")]
    Account,
    #[error("the transaction reads accounts from lookup tables")]
    Lookup,
}

impl Transaction {
    /// A message that nobody has signed yet.
    pub fn unsigned(message: Message) -> Transaction {
        let signatures = vec![[0; 64]; usize::from(message.signers)];
        Transaction { signatures, signed: message.encode(), message }
    }

    pub fn decode(bytes: &[u8]) -> Result<Transaction, Unreadable> {
        if bytes.len() > LONGEST {
            return Err(Unreadable::TooLong);
        }
        let mut reader = Reader(bytes);
        let signatures: Vec<SignatureBytes> = reader.list(Reader::array)?;
        let signed = reader.0.to_vec();
        let message = reader.message()?;
        if !reader.0.is_empty() {
            return Err(Unreadable::Trailing);
        }
        if signatures.len() != usize::from(message.signers) {
            return Err(Unreadable::Header);
        }
        Ok(Transaction { signatures, message, signed })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LONGEST);
        write_length(self.signatures.len(), &mut bytes);
        bytes.extend(self.signatures.iter().flatten());
        bytes.extend(&self.signed);
        bytes
    }

    /// What is signed.
    pub fn signed(&self) -> &[u8] {
        &self.signed
    }

    /// Names what is signed: the chain takes one transaction of a message, whatever its signatures look like.
    pub fn digest(&self) -> Key {
        Sha256::digest(&self.signed).into()
    }

    /// Whether this account has signed the message.
    pub fn is_signed_by(&self, account: &Key) -> bool {
        let place = self.message.accounts.iter().position(|key| key == account);
        let Some(signature) = place.and_then(|place| self.signatures.get(place)) else { return false };
        let Ok(key) = VerifyingKey::from_bytes(account) else { return false };
        key.verify_strict(&self.signed, &Signature::from_bytes(signature)).is_ok()
    }
}

impl Message {
    /// The account of an instruction.
    pub fn account(&self, instruction: &Instruction, place: usize) -> Option<&Key> {
        self.accounts.get(usize::from(*instruction.accounts.get(place)?))
    }

    pub fn program(&self, instruction: &Instruction) -> Option<&Key> {
        self.accounts.get(usize::from(instruction.program))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LONGEST);
        bytes.extend(self.version.map(|version| VERSIONED | version));
        bytes.extend([self.signers, self.read_only_signers, self.read_only_others]);
        write_length(self.accounts.len(), &mut bytes);
        bytes.extend(self.accounts.iter().flatten());
        bytes.extend(self.blockhash);
        write_length(self.instructions.len(), &mut bytes);
        for instruction in &self.instructions {
            bytes.push(instruction.program);
            write_length(instruction.accounts.len(), &mut bytes);
            bytes.extend(&instruction.accounts);
            write_length(instruction.data.len(), &mut bytes);
            bytes.extend(&instruction.data);
        }
        if self.version.is_some() {
            write_length(0, &mut bytes);
        }
        bytes
    }

    fn check(&self) -> Result<(), Unreadable> {
        let (signers, accounts) = (usize::from(self.signers), self.accounts.len());
        let others = accounts.checked_sub(signers).ok_or(Unreadable::Header)?;
        if self.read_only_signers >= self.signers || usize::from(self.read_only_others) > others {
            return Err(Unreadable::Header);
        }
        let places = |instruction: &Instruction| {
            let all = instruction.accounts.iter().chain([&instruction.program]);
            all.copied().max().map_or(0, usize::from)
        };
        match self.instructions.iter().map(places).all(|place| place < accounts) {
            true => Ok(()),
            false => Err(Unreadable::Account),
        }
    }
}

/// Lengths are written seven bits a byte, the lowest first, in at most three bytes ("compact-u16").
fn write_length(length: usize, bytes: &mut Vec<u8>) {
    let mut rest = length;
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unreadable::TooShort)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.take(N)?.try_into().map_err(|_| Unreadable::TooShort)
    }

    fn length(&mut self) -> Result<usize, Unreadable> {
        let mut length = 0;
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let is_short = byte != 0 || shift == 0;
                return if is_short { Ok(length) } else { Err(Unreadable::Length) };
            }
        }
        Err(Unreadable::Length)
    }

    /// Each element takes a byte at least, so that a length without elements ends soon.
    fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, Unreadable> {
        (0..self.length()?).map(|_| element(self)).collect()
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Unreadable> {
        let length = self.length()?;
        Ok(self.take(length)?.to_vec())
    }

    fn instruction(&mut self) -> Result<Instruction, Unreadable> {
        Ok(Instruction { program: self.byte()?, accounts: self.bytes()?, data: self.bytes()? })
    }

    fn message(&mut self) -> Result<Message, Unreadable> {
        let (version, signers) = match self.byte()? {
            first if first < VERSIONED => (None, first),
            VERSIONED => (Some(0), self.byte()?),
            _ => return Err(Unreadable::Version),
        };
        let message = Message {
            version,
            signers,
            read_only_signers: self.byte()?,
            read_only_others: self.byte()?,
            accounts: self.list(Reader::array)?,
            blockhash: self.array()?,
            instructions: self.list(Reader::instruction)?,
        };
        if version.is_some() && self.length()? != 0 {
            return Err(Unreadable::Lookup);
        }
        message.check()?;
        Ok(message)
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
