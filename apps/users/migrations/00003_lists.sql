-- +goose Up
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- Lists are sorted by what an index walks, account_id included. In the collation "C" the same index finds how an address
-- begins.
DROP INDEX profiles_email;
ALTER TABLE profiles ALTER COLUMN email TYPE text COLLATE "C";
CREATE INDEX profiles_email ON profiles (email, account_id);
CREATE INDEX profiles_created ON profiles (created_at, account_id);
CREATE INDEX profiles_name ON profiles (lower(last_name || ' ' || first_name), account_id);

-- What an address or a name holds.
CREATE INDEX profiles_search ON profiles USING gin (lower((email || ' ' || first_name || ' ' || last_name) COLLATE "default") gin_trgm_ops);

-- Few are either.
CREATE INDEX profiles_suspended ON profiles (account_id) WHERE suspended;
CREATE INDEX profiles_pending ON profiles (account_id) WHERE NOT suspended AND standing_at IS NULL AND told_at IS NOT NULL;

-- The planner knows nothing of a column whose collation is new, nor of a new expression.
ANALYZE profiles;
