-- What was looked up about a number. Kept for a day.
CREATE TABLE lookups (
    id          TEXT PRIMARY KEY,            -- lookup_…, sorts by time
    number      TEXT NOT NULL,               -- E.164
    state       TEXT NOT NULL,               -- pending, complete, error
    imessage    TEXT,                        -- available, unavailable, unknown; of a complete one
    facetime    TEXT,
    problem     TEXT,                        -- of one that failed, for the client
    created_at  TEXT NOT NULL,
    finished_at TEXT
) STRICT;

CREATE INDEX lookups_number ON lookups (number, created_at);
CREATE INDEX lookups_pending ON lookups (state) WHERE state = 'pending';

-- Who paid for it, and when: within the hour the same wallet does not pay for the same number again.
CREATE TABLE lookup_buyers (
    lookup  TEXT NOT NULL REFERENCES lookups (id) ON DELETE CASCADE,
    wallet  TEXT NOT NULL,
    paid_at TEXT NOT NULL,
    PRIMARY KEY (lookup, wallet)
) STRICT, WITHOUT ROWID;
