-- What is set aside is noted together with the question to the chain: before that, a claim is reserved.
UPDATE claims SET state = 'reserved' WHERE state = 'worked';
UPDATE ledger SET state = 'reserved' WHERE state = 'worked';
-- The settlement is booked together with the answer: what was booked before is booked again by whoever takes it up.
INSERT INTO ledger (claim, at, state, amount, detail)
    SELECT id, updated_at, 'settling', -amount, 'to be booked with its answer' FROM claims WHERE state = 'settled';
UPDATE claims SET state = 'settling' WHERE state = 'settled';

-- Transactions of the same number that refund_raw took the place of, by offering more for gas: a JSON list.
ALTER TABLE claims ADD COLUMN refund_earlier TEXT;
