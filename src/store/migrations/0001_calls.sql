-- One row a call. `plan` is JSON (call::record::CallPlan); the numbers are columns for lookup.
CREATE TABLE calls (
    id          TEXT PRIMARY KEY,            -- call_…, sorts by time
    direction   TEXT NOT NULL,
    to_number   TEXT,                        -- E.164; NULL for a call that came in to a name
    from_number TEXT,
    plan        TEXT NOT NULL,
    status      TEXT NOT NULL,
    created_at  TEXT NOT NULL,               -- RFC 3339, UTC, as all times here
    answered_at TEXT,
    ended_at    TEXT,
    answered_by TEXT,
    ended_by    TEXT,
    fault       TEXT,
    end_reason  TEXT,
    voice_used  TEXT,
    length_secs REAL,
    summary     TEXT,
    recording   TEXT,                        -- file name under the recordings folder
    revision    INTEGER NOT NULL DEFAULT 0,  -- events applied; orders the row against the live feed
    closed      INTEGER NOT NULL DEFAULT 0   -- nothing more will come
) STRICT;

CREATE INDEX calls_to_number ON calls (to_number);
CREATE INDEX calls_from_number ON calls (from_number);
CREATE UNIQUE INDEX calls_recording ON calls (recording) WHERE recording IS NOT NULL;
CREATE INDEX calls_open ON calls (closed) WHERE closed = 0;

CREATE TABLE turns (
    call_id     TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    speaker     TEXT NOT NULL,
    start_ms    INTEGER NOT NULL,            -- from the answer
    end_ms      INTEGER NOT NULL,
    text        TEXT NOT NULL,
    interrupted INTEGER NOT NULL,
    latency     TEXT,                        -- JSON (call::record::LatencySplit)
    PRIMARY KEY (call_id, start_ms, speaker)
) STRICT, WITHOUT ROWID;
