-- The trunk that carried a call; and of calls that came in the number that was called first, and what the
-- trunk found out about the caller's.
ALTER TABLE calls ADD COLUMN trunk TEXT;
ALTER TABLE calls ADD COLUMN redirected_from TEXT;
ALTER TABLE calls ADD COLUMN verification TEXT;
