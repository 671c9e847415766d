-- Who placed the call: the address of a wallet; NULL for the operator's calls and those that came in.
ALTER TABLE calls ADD COLUMN owner TEXT;

-- Caps count the calls of the last day.
CREATE INDEX calls_created_at ON calls (created_at);

-- Numbers that are never called.
CREATE TABLE do_not_call (
    number   TEXT PRIMARY KEY,               -- E.164
    reason   TEXT NOT NULL,
    added_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
