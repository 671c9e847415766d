-- The numbers this node leases out, and who has each. All times are RFC 3339 in UTC with no padding of
-- the fraction: as text they sort as the moments do, and the rules below compare them.
CREATE TABLE numbers (
    number       TEXT PRIMARY KEY,           -- E.164
    trunk        TEXT NOT NULL,              -- the entry of [[sip.trunks]] that carries it
    country      TEXT NOT NULL,              -- ISO 3166-1 alpha-2
    area_code    TEXT NOT NULL,              -- '' where it is not known
    capabilities TEXT NOT NULL,              -- JSON list of words
    added_at     TEXT NOT NULL,
    retired_at   TEXT                        -- no longer offered and not renewed; leases run out
) STRICT;

CREATE INDEX numbers_on_offer ON numbers (country, area_code) WHERE retired_at IS NULL;

-- A number that is not free: held for a buyer whose payment is on its way (no owner yet), then leased.
CREATE TABLE leases (
    id          TEXT PRIMARY KEY,            -- lease_…, sorts by time
    number      TEXT NOT NULL REFERENCES numbers (number),
    claim       TEXT NOT NULL UNIQUE,        -- the payment that bought it
    held_until  TEXT,                        -- of a hold
    owner       TEXT,                        -- wallet, EVM in lower case
    family      TEXT,                        -- the API that sold it
    starts_at   TEXT,
    expires_at  TEXT,
    released_at TEXT,                        -- ended early, or given up after its grace
    CHECK ((owner IS NULL) = (held_until IS NOT NULL)),
    CHECK ((owner IS NULL) = (family IS NULL)),
    CHECK ((owner IS NULL) = (starts_at IS NULL)),
    CHECK ((owner IS NULL) = (expires_at IS NULL)),
    CHECK (owner IS NOT NULL OR released_at IS NULL)
) STRICT;

-- No number has two holds, two leases, or a hold and a lease, whatever the code does.
CREATE UNIQUE INDEX leases_live ON leases (number) WHERE released_at IS NULL;
CREATE INDEX leases_owner ON leases (owner) WHERE released_at IS NULL;

-- What was paid for, one row a payment: the purchase and each renewal.
CREATE TABLE lease_terms (
    claim      TEXT PRIMARY KEY,             -- the payment
    lease      TEXT NOT NULL REFERENCES leases (id),
    added_at   TEXT NOT NULL,
    expires_at TEXT NOT NULL                 -- the lease's end with this term
) STRICT, WITHOUT ROWID;

CREATE INDEX lease_terms_lease ON lease_terms (lease);
