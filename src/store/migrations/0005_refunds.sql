-- What may come after a payment: a refund, and a second look at the chain.
ALTER TABLE claims ADD COLUMN refund       TEXT;     -- the transaction that pays it back
ALTER TABLE claims ADD COLUMN refund_raw   TEXT;     -- it, signed, in hexadecimal: what is sent again; NULL by hand
ALTER TABLE claims ADD COLUMN refund_nonce INTEGER;  -- its number in its account
ALTER TABLE claims ADD COLUMN confirmed_at TEXT;     -- since then the settlement is deep in its chain

-- No transaction pays two claims back.
CREATE UNIQUE INDEX claims_refund ON claims (refund) WHERE refund IS NOT NULL;
CREATE INDEX claims_call ON claims (json_extract(work, '$.call'));
CREATE INDEX claims_unconfirmed ON claims (created_at) WHERE confirmed_at IS NULL AND settlement IS NOT NULL;
CREATE INDEX calls_failed ON calls (id) WHERE status = 'failed' AND fault IN ('us', 'carrier');
