-- What became of handing the call to somebody else; NULL where nobody asked for it.
ALTER TABLE calls ADD COLUMN transfer TEXT;

-- The number that was dialled for it (E.164): the caps count it like a call.
ALTER TABLE calls ADD COLUMN transfer_number TEXT;
