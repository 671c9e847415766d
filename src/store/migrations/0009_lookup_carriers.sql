-- What somebody who knows carriers said of a number that was looked up; NULL where nobody could say.
ALTER TABLE lookups ADD COLUMN carrier TEXT;
ALTER TABLE lookups ADD COLUMN number_type TEXT;
