-- +goose Up
CREATE EXTENSION IF NOT EXISTS unaccent;

-- A text in small letters without accents: jose is how many type José. unaccent is not immutable, as its rules could change;
-- those that PostgreSQL comes with are named here, and an index over them is written again (REINDEX) if they ever do.
CREATE FUNCTION folded(written text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT lower(public.unaccent('public.unaccent'::regdictionary, normalize(written, NFC)) COLLATE "default") $$;

DROP INDEX profiles_search;
CREATE INDEX profiles_search ON profiles USING gin (folded(email || ' ' || first_name || ' ' || last_name) gin_trgm_ops);
ANALYZE profiles;
