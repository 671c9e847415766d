-- One row a payment that an agent has offered: the claim that it buys one thing, once.
CREATE TABLE claims (
    id           TEXT PRIMARY KEY,       -- pay_…, sorts by time
    scheme       TEXT NOT NULL,          -- x402, mpp
    network      TEXT NOT NULL,          -- CAIP-2, such as eip155:8453
    asset        TEXT NOT NULL,          -- the token's contract, lower case
    payer        TEXT NOT NULL,          -- the wallet
    nonce        TEXT NOT NULL,          -- what makes the authorisation one of its kind
    amount       INTEGER NOT NULL,       -- millionths of a dollar
    pay_to       TEXT NOT NULL,
    valid_before TEXT NOT NULL,          -- after this the authorisation is worth nothing
    route        TEXT NOT NULL,          -- method and path it was sent to
    body_sha256  TEXT NOT NULL,
    proof        TEXT NOT NULL,          -- JSON, to settle and to look up after a restart
    state        TEXT NOT NULL,
    work         TEXT,                   -- JSON: what was reserved for it
    settlement   TEXT,                   -- the transaction
    status       INTEGER,                -- the stored answer
    answer       TEXT,
    created_at   TEXT NOT NULL,
    updated_at   TEXT NOT NULL
) STRICT;

-- An authorisation spends once, whatever is asked for with it and however many ask at the same instant.
CREATE UNIQUE INDEX claims_authorisation ON claims (network, asset, payer, nonce);
CREATE INDEX claims_open ON claims (state) WHERE state NOT IN ('delivered', 'released', 'refunded');

-- One row for every change of a claim's state. Never updated, never deleted.
CREATE TABLE ledger (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    claim    TEXT NOT NULL REFERENCES claims (id),
    at       TEXT NOT NULL,
    state    TEXT NOT NULL,
    amount   INTEGER NOT NULL,           -- what moved with this change, in millionths; refunds are negative
    detail   TEXT NOT NULL
) STRICT;

CREATE INDEX ledger_claim ON ledger (claim);

-- Challenges to sign in with a wallet: issued by this node, used once.
CREATE TABLE sign_in_nonces (
    nonce      TEXT PRIMARY KEY,
    used_at    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
