-- How the line of an answered call was, as JSON.
ALTER TABLE calls ADD COLUMN quality TEXT;
