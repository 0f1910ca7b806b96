-- +goose Up
-- Accounts that were suspended, and whether they still are, as auth last told. Others have no row.
CREATE TABLE standings (
    account_id  uuid PRIMARY KEY,
    suspended   boolean NOT NULL,
    told_at     timestamptz NOT NULL -- when it became so: topics overtake each other, and the later one counts
);
